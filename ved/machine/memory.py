"""The memory that this process may still use, and what it takes and gives back."""

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may still use; None if the system does not report them.

    On Linux this is the minimum over the machine and over every cgroup of the process, up to the
    root. Swap does not count.

    Args:
        root: the directory with /proc and /sys/fs/cgroup.
    """
    machine = _fields(root / "proc/meminfo").get("MemAvailable")
    known = [] if machine is None else [machine * 1024]
    return min((*known, *_left_by_cgroups(root)), default=None)


def return_freed_memory() -> None:
    """Give memory that was freed back to the system, which glibc does only when asked.

    Does nothing with another C library.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def share_arenas() -> None:
    """Have new threads allocate from two arenas together, instead of an arena each.

    Each pair has threads of its own, and an arena keeps the gaps that its threads leave. Does
    nothing with another C library than glibc. Source: M_ARENA_MAX in mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)


_M_ARENA_MAX = -8  # in malloc.h


@dataclass(frozen=True)
class _CgroupFiles:
    """The files in which a version of cgroups keeps the memory of a group and its subgroups."""

    folder: str
    limit: str
    usage: str
    reclaimable: str


# By the controllers of a line of /proc/self/cgroup: see cgroups(7). The files are described in the
# kernel's Documentation/admin-guide, as cgroup-v2.rst and cgroup-v1/memory.rst.
_V2 = _CgroupFiles("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
_V1 = _CgroupFiles(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
)


def _left_by_cgroups(root: Path) -> Iterator[int]:
    """Yield the bytes that each cgroup of the process leaves, on every level with a limit."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            files = _V2
        elif "memory" in controllers.split(","):
            files = _V1
        else:
            continue
        # A limit on any level counts. In a container the path may be the host's; then only the
        # folder itself exists, which is the container's own level.
        path = Path(group.lstrip("/"))
        for level in (path, *path.parents):
            yield from _left_by_cgroup(root / files.folder / level, files)


def _left_by_cgroup(directory: Path, files: _CgroupFiles) -> Iterator[int]:
    """Yield the bytes that one cgroup leaves, if it exists and has a limit."""
    limit, usage = _text(directory / files.limit).strip(), _text(directory / files.usage).strip()
    if limit.isdecimal() and usage.isdecimal():  # the limit may be "max"
        # Inactive file pages count as used, but the kernel reclaims them when memory is needed.
        reclaimable = _fields(directory / "memory.stat").get(files.reclaimable, 0)
        yield max(0, int(limit) - max(0, int(usage) - reclaimable))


def _fields(path: Path) -> dict[str, int]:
    """Return a file's numbers by name, from lines such as ``name 1`` or ``name:  1 kB``."""
    return {name: int(number) for name, number in re.findall(r"(?m)^(\w+):? +(\d+)", _text(path))}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "surrogateescape")  # a cgroup's name may be any bytes
    except OSError:  # another system, or a kernel without it
        return ""
