"""The programs of examples/finetuning: the share of exact texts that they reach, and the time."""

import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import VARIABLES
from tests.support.building import assemble_pair
from tests.support.environments import ONE_THREAD, python
from ved.localhub import samples

TITLE = "Fine-tuning"
ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / "examples" / "finetuning"
SETTINGS = {
    "digits": "--epochs 20 --learning-rate 2e-3",
    "lines": "--image-size 16 48 --epochs 14 --patience 14 --learning-rate 3e-3",
}
_OWN = {**VARIABLES, "PYTHONPATH": str(ROOT)}  # VED is not installed in its own environment


def measure(kept: Path, folder: Path) -> Iterator[str]:
    """Yield the result and the time of each program, as Markdown.

    Args:
        kept: not needed.
        folder: an empty directory.

    Raises:
        CalledProcessError: a program failed.
    """
    vit, gpt2 = samples.vit().write(folder / "vit"), samples.gpt2().write(folder / "gpt2")
    assemble_pair(vit, gpt2, folder / "digits-base")
    sources = folder / "sources"
    subprocess.run([sys.executable, PROGRAMS / "make_sources.py", sources], check=True, env=_OWN)
    assemble_pair(sources / "dinov2", sources / "gpt2", folder / "lines-base")
    yield (
        "The [programs](../docs/fine-tuning.md) train tiny pairs with random weights: the sample "
        "ViT and GPT-2 for digits, the sources of `make_sources.py` for lines. Scores are those of "
        "test images. Times include imports, compiling without a cache, and evaluation after each "
        "epoch. PyTorch has one thread."
    )
    programs = {"Flax": Path(sys.executable), "PyTorch": python("transformers5")}
    rows = []
    for kind in SETTINGS:
        make = [sys.executable, str(PROGRAMS / "make_dataset.py"), kind, str(folder / kind)]
        subprocess.run(make, check=True)
        rows += [_run(kind, name, interpreter, folder) for name, interpreter in programs.items()]
    head = (
        "| dataset | program | exact texts | time | processor time |\n"
        "| --- | --- | ---: | ---: | ---: |\n"
    )
    yield head + "\n".join(rows)


def _run(kind: str, name: str, interpreter: Path, folder: Path) -> str:
    """Run a program on a dataset, and return its row of the table."""
    base, dataset, output = (folder / f"{kind}{end}" for end in ("-base", "", f"-{name}"))
    # More threads of PyTorch do not speed up a tiny model, and waste time while they wait.
    variables = {**(_OWN if name == "Flax" else VARIABLES), **ONE_THREAD}
    program = PROGRAMS / f"finetune_{name.lower()}.py"
    start, before = time.perf_counter(), _processor_seconds()
    printed = subprocess.check_output(
        [interpreter, program, base, dataset, output, *SETTINGS[kind].split()],
        env={**variables, "HF_HOME": str(output.with_suffix(".home"))},
        text=True,
    )
    wall, processor = time.perf_counter() - start, _processor_seconds() - before
    (exact,) = re.findall(r"^test: ([\d.]+)% exact texts", printed, re.MULTILINE)
    return f"| {kind} | {name} | {exact} % | {wall:.0f} s | {processor:.0f} s |"


def _processor_seconds() -> float:
    """Return the processor time of all processes that have ended, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
