"""Building many pairs, from a Hub and to it, against what its bandwidth alone would take.

Without Xet, a check downloads what was published. With Xet, it does not, and an upload sends hardly
more than the randomly initialized parameters. Then the first download and the last upload, which
nothing overlaps with, are a larger part of the bound.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench import sources
from bench.building import BuildCost, build, manifest_of, publish
from bench.history import Ratio
from bench.hub import hub_process
from ved.localhub import Exchange
from ved.manifest.fields import WeightFormat

TITLE = "Many pairs"
HEADER_BYTES = 10**6
"""What is less of a weight file was its header."""


@dataclass(frozen=True)
class _Case:
    """Pairs to build at once.

    Attributes:
        name: what is special about them.
        pairs: the directories of each one's encoder and decoder.
        weights: the weight files to publish.
        bandwidth: of the Hub in each direction, in bytes per second.
        max_disk: how many bytes of disk the build may take.
        xet: whether the Hub stores large files by Xet.
    """

    name: str
    pairs: Sequence[tuple[Path, Path]]
    weights: Sequence[WeightFormat]
    bandwidth: float
    max_disk: int
    xet: bool = False


@dataclass(frozen=True)
class _Run:
    """What a build took.

    Attributes:
        cost: what its process took.
        exchanges: what passed between it and the Hub.
    """

    cost: BuildCost
    exchanges: Sequence[Exchange]


def measure(kept: Path, folder: Path) -> Iterator[str | Ratio]:
    """Yield what building six pairs costs, as Markdown.

    Args:
        kept: the directory of the sources.
        folder: an empty directory.
    """
    yield (
        "`ved build` of six pairs, from a Hub on this machine whose bandwidth is limited. The "
        "bound is what the busier direction needs for its bytes alone. Sources come down. By LFS, "
        "published files come down, too, to be checked; by Xet, only samples of them do. Disk is "
        "that of temporary files and of the cache."
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
        _Case(
            "Six encoders and six decoders, by Xet",
            pairs=list(zip(encoders, decoders, strict=True)),
            weights=("safetensors",),
            bandwidth=10e6,
            max_disk=1_200_000_000,
            xet=True,
        ),
    )
    for number, case in enumerate(cases):
        yield from _section(case, _run(case, folder / str(number)))


def _section(case: _Case, run: _Run) -> Iterator[str | Ratio]:
    down = sum(exchange.bytes_out for exchange in run.exchanges)
    up = sum(exchange.bytes_in for exchange in run.exchanges)
    bound = max(down, up) / case.bandwidth
    rows = {
        "down": f"{down / 1e6:,.0f} MB",
        "up": f"{up / 1e6:,.0f} MB",
        "bound": f"{bound:.1f} s",
        "wall": f"{run.cost.wall:.1f} s",
        "wall, of the bound": f"{run.cost.wall / bound:.2f}",
        "CPU": f"{run.cost.cpu:.1f} s",
        "peak disk": f"{run.cost.disk / 1e6:,.0f} MB",
        "limit of disk": f"{case.max_disk / 1e6:,.0f} MB",
    }
    if not case.xet:  # which downloads parts of files
        rows["downloads of a source's weights, at most"] = str(_most_downloads(run.exchanges))
    yield (
        f"### {case.name}\n\nWeight files: {', '.join(case.weights)}. Each direction: "
        f"{case.bandwidth / 1e6:.0f} MB/s.\n\n| | |\n| --- | ---: |\n"
        + "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    )
    files = f"{len(case.weights)} weight file{'s'[: len(case.weights) - 1]}"
    by_xet = ", by Xet" if case.xet else ""
    yield Ratio(f"six pairs, {files}{by_xet}: wall / bound", run.cost.wall / bound)


def _most_downloads(exchanges: Sequence[Exchange]) -> int:
    """Return how often the LFS object that was downloaded most often was, not counting headers."""
    gets = [each for each in exchanges if each.method == "GET" and each.path.startswith("/lfs/")]
    return max(Counter(each.path for each in gets if each.bytes_out > HEADER_BYTES).values())


def _run(case: _Case, folder: Path) -> _Run:
    folder.mkdir()
    with hub_process(folder / "hub", xet=case.xet) as hub:
        publish({each for pair in case.pairs for each in pair}, hub.endpoint, xet=case.xet)
        manifest = folder / "pairs.yaml"
        manifest.write_text(manifest_of(case.pairs, case.weights))
        hub.reset(case.bandwidth)
        limit = ("--max-disk", str(case.max_disk))
        cost = build((manifest, "--endpoint", hub.endpoint, *limit), folder / "scratch")
        return _Run(cost, hub.reset(None))
