"""Validating a manifest of as many pairs as it may have."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.history import Ratio
from ved.manifest.fields import MAX_PAIRS

TITLE = "A manifest of many pairs"
_PARSER = "import sys, yaml; yaml.load(open(sys.argv[1]), yaml.CSafeLoader)"
_SIDE = round(MAX_PAIRS**0.5)
_KINDS = {
    "a list": "  - repo: pair-{0}\n    encoder: google/vit-{1}\n    decoder: openai/gpt2-{1}\n",
    "a list with flow style, quotes, escapes and comments": (
        "  - {{repo: 'p{0}', \"encoder\": 'g/v-{1}@main', decoder: d,  # pair {0}\n"
        '     description: "\\U0001F600"}}\n'
    ),
    "a list that libyaml may read differently": (
        "  - repo: p{0}\n    encoder: g/v{1}\n    decoder: d\n    description: Is {0} [a] pair?\n"
    ),
    "a list with three mistakes in each pair": (
        "  - repo: p--{0}\n    encoder: google/vit {1}\n    decodr: openai/gpt2\n"
    ),
}
"""What the manifests are, and the entry of a pair, with its number and that of its source."""


def measure(kept: Path, folder: Path, repeats: int = 5) -> Iterator[str | Ratio]:
    """Yield what `ved validate` costs, as Markdown.

    Args:
        kept: not needed.
        folder: an empty directory.
        repeats: how often each manifest is validated.
    """
    rows = ["| | VED | libyaml | ratio |", "| --- | ---: | ---: | ---: |"]
    for number, (kind, text) in enumerate(_manifests().items()):
        file = folder / f"{number}.yaml"
        file.write_text(text, encoding="utf-8")
        taken = [_turn(file) for _ in range(repeats)]
        ved, parser = (statistics.median(times) for times in zip(*taken, strict=True))
        rows.append(f"| {kind} | {ved:.2f} s | {parser:.2f} s | {ved / parser:.2f} |")
        if not number:
            yield Ratio(f"manifest of {MAX_PAIRS} pairs: validate / libyaml", ved / parser)
    yield (
        f"`ved validate` of {MAX_PAIRS:,} pairs in a fresh process, and a process that only loads "
        f"the file with PyYAML's binding of libyaml. Wall, medians of {repeats}, in turns."
    )
    yield "\n".join(rows)


def _manifests() -> dict[str, str]:
    """Return the manifests by what they are."""
    manifests = {
        kind: "namespace: bench\npairs:\n"
        + "".join(entry.format(pair, pair % _SIDE) for pair in range(MAX_PAIRS))
        for kind, entry in _KINDS.items()
    }
    names = range(_SIDE)
    manifests["a grid"] = (
        f"namespace: bench\ngrid:\n  encoders: [{', '.join(f'google/vit-{n}' for n in names)}]\n"
        f"  decoders: [{', '.join(f'openai/gpt2-{n}' for n in names)}]\n"
    )
    return manifests


def _turn(file: Path) -> tuple[float, float]:
    """Return the seconds that VED takes for a file, and those of libyaml."""
    return _seconds("-m", "ved", "validate", file), _seconds("-c", _PARSER, file)


def _seconds(*arguments: str | Path) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True)
    return time.perf_counter() - start
