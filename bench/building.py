"""Runs `ved build` in a process of its own, against a Hub of the benchmark."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants

from bench.hub import OWNER, TOKEN
from bench.measure import DidNotFinishError
from ved.manifest.fields import WeightFormat

_SAMPLING = 0.1
"""Seconds between two looks at disk and memory."""


@dataclass(frozen=True)
class BuildCost:
    """What a build took.

    Attributes:
        wall: seconds from its start to its end, imports and all.
        cpu: seconds of its processor time, in user and in system mode.
        memory: bytes of its peak resident set size, as far as it is seen.
        disk: bytes of disk at its peak: temporary files and the cache.
    """

    wall: float
    cpu: float
    memory: int
    disk: int


def publish(directories: Iterable[Path], endpoint: str, *, xet: bool) -> None:
    """Publish sources on a Hub, each under the name of its directory.

    Args:
        directories: the sources.
        endpoint: URL of the Hub.
        xet: whether it has Xet, which huggingface_hub would use without asking.
    """
    constants.HF_HUB_DISABLE_XET = not xet
    api = HfApi(endpoint, token=TOKEN)
    for directory in sorted(directories):
        api.create_repo(f"{OWNER}/{directory.name}")
        api.upload_folder(repo_id=f"{OWNER}/{directory.name}", folder_path=directory)


def manifest_of(pairs: Sequence[tuple[Path, Path]], weights: Sequence[WeightFormat]) -> str:
    """Return a manifest of pairs of published directories. It is JSON, which is YAML, too."""
    return json.dumps(
        {
            "namespace": OWNER,
            "defaults": {"weights": weights},
            "pairs": [
                {
                    "repo": f"{encoder.name}-{decoder.name}",
                    "encoder": f"{OWNER}/{encoder.name}",
                    "decoder": f"{OWNER}/{decoder.name}",
                }
                for encoder, decoder in pairs
            ],
        }
    )


def build(
    arguments: Sequence[str | Path], scratch: Path, variables: Mapping[str, str] | None = None
) -> BuildCost:
    """Run `ved build`.

    Args:
        arguments: of the command.
        scratch: a directory to make, where all that it writes goes.
        variables: further environment variables.

    Raises:
        DidNotFinishError: it failed.
    """
    homes = {"TMPDIR": scratch / "temporary", "HF_HOME": scratch / "cache"}
    for home in homes.values():
        home.mkdir(parents=True)
    environment = {
        **os.environ,
        "HF_TOKEN": TOKEN,
        **{name: str(path) for name, path in homes.items()},
        **(variables or {}),
    }
    command = [sys.executable, "-m", "ved", "build", *map(str, arguments)]
    disk = memory = 0
    log = scratch.with_name(f"{scratch.name}.log")
    os.sync()  # what was written before does not slow this down
    start = time.perf_counter()
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        while True:
            disk = max(disk, _disk_usage(scratch))
            memory = max(memory, _peak_memory(process.pid))
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(_SAMPLING)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        raise DidNotFinishError(log.read_text())
    cpu = usage.ru_utime + usage.ru_stime
    return BuildCost(wall, cpu, memory, disk)


def _peak_memory(process: int) -> int:
    """Return the peak resident set size of a process so far, in bytes; 0 if it has ended.

    What `os.wait4` returns is at least that of the parent, which may have made the sources.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"(?m)^VmHWM:\s+(\d+) kB$", status)
    return int(found[1]) * 1024 if found else 0


def _disk_usage(folder: Path) -> int:
    """Return how many bytes of disk a directory takes; what vanishes meanwhile takes none."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(path, name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total
