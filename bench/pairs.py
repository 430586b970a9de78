"""Building many pairs, from a Hub and to it, against what its bandwidth alone would take."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from huggingface_hub import HfApi

from bench import sources
from bench.hub import OWNER, TOKEN, hub_process
from bench.measure import DidNotFinishError
from ved.localhub import Exchange
from ved.manifest.fields import WeightFormat

TITLE = "Many pairs"
HEADER_BYTES = 10**6
"""What is less of a weight file was its header."""

_SAMPLING = 0.1
"""Seconds between two looks at the disk."""


@dataclass(frozen=True)
class _Case:
    """Pairs to build at once.

    Attributes:
        name: what is special about them.
        pairs: the directories of each one's encoder and decoder.
        weights: the weight files to publish.
        bandwidth: of the Hub in each direction, in bytes per second.
        max_disk: how many bytes of disk the build may take.
    """

    name: str
    pairs: Sequence[tuple[Path, Path]]
    weights: Sequence[WeightFormat]
    bandwidth: float
    max_disk: int


@dataclass(frozen=True)
class _Run:
    """What a build took.

    Attributes:
        wall: seconds from its start to its end, imports and all.
        cpu: seconds of its processor time, in user and in system mode.
        disk: bytes of disk at its peak.
        exchanges: what passed between it and the Hub.
    """

    wall: float
    cpu: float
    disk: int
    exchanges: Sequence[Exchange]


def measure(kept: Path, folder: Path) -> Iterator[str]:
    """Yield what building six pairs costs, as Markdown.

    Args:
        kept: the directory of the sources.
        folder: an empty directory.
    """
    yield (
        "`ved build` of six pairs, from a Hub on this machine whose bandwidth is limited. The "
        "bound is what the busier direction needs for its bytes alone; sources come down, and so "
        "does what was published, to be checked. Disk is that of temporary files and of the cache."
    )
    encoders = [sources.vit_small(kept, seed) for seed in range(6)]
    decoders = [sources.gpt2_half_as_wide(kept, 100 + seed) for seed in range(6)]
    cases = (
        _Case(
            "Six encoders and six decoders",
            pairs=list(zip(encoders, decoders, strict=True)),
            weights=("safetensors",),
            bandwidth=20e6,
            max_disk=1_200_000_000,
        ),
        _Case(
            "Three encoders, each with two decoders",
            pairs=list(product(encoders[:3], decoders[:2])),
            weights=("flax", "safetensors"),
            bandwidth=40e6,
            max_disk=2_000_000_000,
        ),
    )
    for number, case in enumerate(cases):
        yield _section(case, _run(case, folder / str(number)))


def _section(case: _Case, run: _Run) -> str:
    down = sum(exchange.bytes_out for exchange in run.exchanges)
    up = sum(exchange.bytes_in for exchange in run.exchanges)
    bound = max(down, up) / case.bandwidth
    rows = {
        "down": f"{down / 1e6:,.0f} MB",
        "up": f"{up / 1e6:,.0f} MB",
        "bound": f"{bound:.1f} s",
        "wall": f"{run.wall:.1f} s",
        "wall, of the bound": f"{run.wall / bound:.2f}",
        "CPU": f"{run.cpu:.1f} s",
        "peak disk": f"{run.disk / 1e6:,.0f} MB",
        "limit of disk": f"{case.max_disk / 1e6:,.0f} MB",
        "downloads of a source's weights, at most": str(_most_downloads(run.exchanges)),
    }
    return (
        f"### {case.name}\n\nWeight files: {', '.join(case.weights)}. Each direction: "
        f"{case.bandwidth / 1e6:.0f} MB/s.\n\n| | |\n| --- | ---: |\n"
        + "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    )


def _most_downloads(exchanges: Sequence[Exchange]) -> int:
    """Return how often the LFS object that was downloaded most often was, not counting headers."""
    gets = [each for each in exchanges if each.method == "GET" and each.path.startswith("/lfs/")]
    return max(Counter(each.path for each in gets if each.bytes_out > HEADER_BYTES).values())


def _run(case: _Case, folder: Path) -> _Run:
    folder.mkdir()
    with hub_process(folder / "hub") as hub:
        _publish(case.pairs, HfApi(hub.endpoint, token=TOKEN))
        manifest = folder / "pairs.yaml"
        manifest.write_text(_manifest(case))  # JSON is YAML
        hub.reset(case.bandwidth)
        limit = ("--max-disk", str(case.max_disk))
        wall, cpu, disk = _build((manifest, "--endpoint", hub.endpoint, *limit), folder / "scratch")
        return _Run(wall, cpu, disk, hub.reset(None))


def _publish(pairs: Sequence[tuple[Path, Path]], api: HfApi) -> None:
    for directory in sorted({directory for pair in pairs for directory in pair}):
        api.create_repo(f"{OWNER}/{directory.name}")
        api.upload_folder(repo_id=f"{OWNER}/{directory.name}", folder_path=directory)


def _manifest(case: _Case) -> str:
    return json.dumps(
        {
            "namespace": OWNER,
            "defaults": {"weights": case.weights},
            "pairs": [
                {
                    "repo": f"{encoder.name}-{decoder.name}",
                    "encoder": f"{OWNER}/{encoder.name}",
                    "decoder": f"{OWNER}/{decoder.name}",
                }
                for encoder, decoder in case.pairs
            ],
        }
    )


def _build(arguments: Sequence[str | Path], scratch: Path) -> tuple[float, float, int]:
    """Run `ved build`, and return its seconds, its seconds of processor time and its peak of disk.

    Args:
        scratch: a directory to make, where all that it writes goes.

    Raises:
        DidNotFinishError: it failed.
    """
    homes = {"TMPDIR": scratch / "temporary", "HF_HOME": scratch / "cache"}
    for home in homes.values():
        home.mkdir(parents=True)
    variables = {
        **os.environ,
        "HF_TOKEN": TOKEN,
        **{name: str(path) for name, path in homes.items()},
    }
    command = [sys.executable, "-m", "ved", "build", *map(str, arguments)]
    disk = 0
    log = scratch.with_name("log")
    os.sync()  # what was written before does not slow this down
    start = time.perf_counter()
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, env=variables, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        while True:
            disk = max(disk, _disk_usage(scratch))
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(_SAMPLING)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        raise DidNotFinishError(log.read_text())
    return wall, usage.ru_utime + usage.ru_stime, disk


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
