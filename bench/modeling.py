"""Flax models, against transformers' Flax class and PyTorch."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import sources
from bench.history import Ratio
from bench.measure import VARIABLES, run
from bench.serving import BATCHES, TOKENS
from tests.support.environments import python

TITLE = "Flax models"
ROUNDS = 2
ROOT = Path(__file__).parents[1]
CLASSES = {"ved": "ved.modeling", "transformers": "transformers 4.57, Flax", "pytorch": "PyTorch"}
NAMES = {"load": "loading a checkpoint", f"further {BATCHES[-1]}": "generating"}


def measure(kept: Path, folder: Path) -> Iterator[str | Ratio]:
    """Yield the costs of loading a checkpoint and of generating, as Markdown.

    Args:
        kept: the directory of the sources.
        folder: an empty directory.
    """
    run(sources.vit_base(kept), sources.gpt2(kept), folder / "checkpoint")
    rounds = [
        {name: _serve(name, folder / "checkpoint") for name in CLASSES} for _ in range(ROUNDS)
    ]

    costs = {
        name: {
            stage: statistics.median(each[name][stage] for each in rounds)
            for stage in rounds[0][name]
        }
        for name in CLASSES
    }
    rows = [_row("import", "s", [cost["import"] for cost in costs.values()])]
    rows.append(_row("load the checkpoint", "s", [cost["load"] for cost in costs.values()]))
    memory = [(cost["load memory"] - cost["import memory"]) / 1e6 for cost in costs.values()]
    rows.append(_row("peak RSS of loading, above the import", "MB", memory))
    for batch in BATCHES:
        first, further = (
            [cost[f"{which} {batch}"] for cost in costs.values()] for which in ("first", "further")
        )
        rows.append(_row(f"first call of `generate`, batch {batch}", "s", first))
        rows.append(_row(f"further call, batch {batch}", "s", further))
        rates = [TOKENS * batch / seconds for seconds in further]
        rows.append(_row(f"further call, batch {batch}", "tokens/s", rates))
    yield (
        f"ViT-base and GPT-2, float32, greedy, {TOKENS} new tokens. The classes run in turns, in "
        f"fresh processes. Medians of {ROUNDS} runs."
    )
    columns = [*CLASSES.values(), "transformers / VED"]
    head = f"| | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}\n"
    yield head + "\n".join(rows)
    for stage in ("load", f"further {BATCHES[-1]}"):
        ratio = costs["transformers"][stage] / costs["ved"][stage]
        yield Ratio(f"{NAMES[stage]}: transformers' Flax class / ved.modeling", ratio)


def _row(title: str, unit: str, values: Sequence[float]) -> str:
    cells = [f"{value:,.2f} {unit}" for value in values]
    return f"| {title} | {' | '.join(cells)} | {values[1] / values[0]:.2f} |"


def _serve(name: str, checkpoint: Path) -> dict[str, float]:
    """Return seconds and bytes of each stage of a class."""
    environments = {"transformers": "oracle", "pytorch": "transformers5"}
    interpreter = Path(sys.executable) if name == "ved" else python(environments[name])
    printed = subprocess.check_output(
        [interpreter, ROOT / "bench" / "serving.py", name, checkpoint],
        env={**VARIABLES, "PYTHONPATH": str(ROOT) if name == "ved" else ""},
        text=True,
    )
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found
