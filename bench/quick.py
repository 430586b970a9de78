"""A few key ratios, in less than three minutes on an idle machine."""

from collections.abc import Iterator
from pathlib import Path

from bench import assembly, manifest, plan
from bench.history import Ratio

_ROUNDS = 2


def measure(kept: Path, folder: Path) -> Iterator[str | Ratio]:
    """Yield what a pair, a manifest and a plan of published pairs cost, as Markdown.

    Args:
        kept: the directory of the sources.
        folder: an empty directory.
    """
    yield from assembly.base_pair(kept, folder, _ROUNDS)
    (folder / "manifest").mkdir()
    yield from manifest.measure(kept, folder / "manifest", _ROUNDS + 1)
    yield from plan.skipping(folder / "plan", plan.PAIRS, _ROUNDS + 1)
