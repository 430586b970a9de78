"""The free disk and the available memory of the machine."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ved.machine.disk import free_disk
from ved.machine.memory import available_memory, return_freed_memory

GB = 10**9
MEMINFO = "MemTotal:       9765625 kB\nMemFree:          97656 kB\nMemAvailable:    7812500 kB\n"
IN_MACHINE = 8 * GB  # what MEMINFO says is available
V1_UNLIMITED = 2**63 - 4096


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def v2(folder: str, limit: object, usage: int, inactive_file: int = 0) -> dict[str, str]:
    """Return the files of a cgroup of version 2."""
    return {
        f"sys/fs/cgroup/{folder}/memory.max": f"{limit}\n",
        f"sys/fs/cgroup/{folder}/memory.current": f"{usage}\n",
        f"sys/fs/cgroup/{folder}/memory.stat": f"anon 1\nfile 2\ninactive_file {inactive_file}\n",
    }


def v1(folder: str, limit: int, usage: int, inactive_file: int = 0) -> dict[str, str]:
    """Return the files of a cgroup of version 1."""
    folder = f"sys/fs/cgroup/memory/{folder}"
    return {
        f"{folder}/memory.limit_in_bytes": f"{limit}\n",
        f"{folder}/memory.usage_in_bytes": f"{usage}\n",
        f"{folder}/memory.stat": f"inactive_file 5\ntotal_inactive_file {inactive_file}\n",
    }


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        pytest.param("", {}, IN_MACHINE, id="no cgroups"),
        pytest.param("0::/\n", {}, IN_MACHINE, id="v2, root group of the machine"),
        pytest.param("0::/\n", v2("", 5 * GB, 2 * GB), 3 * GB, id="v2, in a container"),
        pytest.param("0::/\n", v2("", "max", 2 * GB), IN_MACHINE, id="v2, without a limit"),
        pytest.param("0::/\n", v2("", 99 * GB, 0), IN_MACHINE, id="v2, limit above the machine"),
        pytest.param("0::/\n", v2("", 5 * GB, 4 * GB, 3 * GB), 4 * GB, id="v2, reclaimable"),
        pytest.param("0::/\n", v2("", 5 * GB, GB, 3 * GB), 5 * GB, id="v2, counted a moment later"),
        pytest.param("0::/\n", v2("", GB, 2 * GB), 0, id="v2, above its limit"),
        pytest.param(
            "0::/a/b\n",
            v2("a", 4 * GB, 3 * GB) | v2("a/b", 5 * GB, 2 * GB),
            1 * GB,
            id="v2, parent has less",
        ),
        pytest.param("0::/a\n", v2("b", GB, 0), IN_MACHINE, id="v2, not this process's group"),
        pytest.param("0::/../..\n", v2("", 5 * GB, GB), 4 * GB, id="v2, outside the namespace"),
        pytest.param(
            "5:memory:/a\n", v1("a", 5 * GB, 4 * GB, 2 * GB), 3 * GB, id="v1, reclaimable"
        ),
        pytest.param("5:memory:/a\n", v1("a", V1_UNLIMITED, GB), IN_MACHINE, id="v1, no limit"),
        pytest.param(
            "5:memory:/docker/0a1b\n", v1("", 5 * GB, GB), 4 * GB, id="v1, the host's path"
        ),
        pytest.param(
            "9:name=systemd:/a\n5:cpu,memory:/a\n0::/a\n",
            v1("a", 5 * GB, GB),
            4 * GB,
            id="v1 and v2",
        ),
    ],
)
def test_available_memory_is_the_least_that_is_left(
    membership: str, files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    write(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": membership, **files})
    assert available_memory(tmp_path) == expected


def test_cgroup_alone_tells(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/\n", **v2("", 5 * GB, 2 * GB)})
    assert available_memory(tmp_path) == 3 * GB


def test_memory_is_unknown_where_the_system_does_not_tell(tmp_path: Path) -> None:
    assert available_memory(tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_memory_of_this_machine_is_at_most_what_is_built_in() -> None:
    available = available_memory()
    assert available is not None
    assert 0 < available < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_free_disk_is_that_of_the_nearest_directory_that_exists(tmp_path: Path) -> None:
    size = os.statvfs(tmp_path)
    for path in (tmp_path, tmp_path / "not" / "yet"):
        assert 0 < free_disk(path) < size.f_blocks * size.f_frsize


def test_free_disk_of_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert free_disk(Path("not/yet")) > 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says")
def test_return_freed_memory_gives_it_back_to_the_system() -> None:
    # Below glibc's threshold for mappings of their own. What stays is above all that is freed.
    *freed, _kept = [bytearray(100_000) for _ in range(1000)]
    del freed
    before = resident()

    return_freed_memory()

    assert before - resident() > 50_000_000


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    (found,) = re.findall(r"(?m)^RssAnon:\s+(\d+) kB$", Path("/proc/self/status").read_text())
    return int(found) * 1024


THREADS = """\
import ctypes, sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from ved.machine.memory import share_arenas

share_arenas()
barrier = Barrier(8)

def allocate(_):
    barrier.wait()
    return bytearray(100_000)

with ThreadPoolExecutor(8) as pool:
    kept = list(pool.map(allocate, range(8)))
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="needs glibc")
def test_share_arenas_leaves_two_arenas_to_all_threads(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", THREADS, tmp_path / "info.xml"], check=True)
    assert (tmp_path / "info.xml").read_text().count("<heap nr=") == 2
