"""Assembly, against the script that people use today."""

import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import sources
from bench.measure import Cost, DidNotFinishError, run, run_script
from bench.storage import new_bytes
from ved.tensors import nbytes
from ved.tensors.safetensors import read_header

TITLE = "Assembly"
ROUNDS = 3
SCRIPT_MEMORY = 16 * 10**9


def measure(kept: Path, folder: Path) -> Iterator[str]:
    """Yield what assembly costs, as Markdown.

    Args:
        kept: the directory of the sources.
        folder: an empty directory.
    """
    yield "Both sides run in turns on one machine: compare the ratios."
    yield _base_pair(kept, folder)
    yield _storage(kept, folder)
    yield _large_pair(kept, folder)


def _base_pair(kept: Path, folder: Path) -> str:
    """Compare one pair in a fresh process, imports and all, and a further one in the same."""
    encoder = sources.vit_base(kept)
    first, second = sources.gpt2(kept, 0), sources.gpt2(kept, 1)
    output = folder / "output"
    script, ved, further = [], [], []
    for _ in range(ROUNDS):
        script.append(run_script(encoder, first, output))
        ved.append(run(encoder, first, output))
        further.append(run(encoder, first, output, second, output))
    rows = [
        _row("wall, one pair in a fresh process", script, ved, lambda cost: cost.wall, "s"),
        _row("CPU, the same", script, ved, lambda cost: cost.cpu, "s"),
        _row("peak RSS, the same", script, ved, lambda cost: cost.memory / 1e6, "MB"),
        _row(
            "wall, a further pair with the same encoder, in the same process if it can",
            *(script, further),
            lambda cost: cost.pairs[1] if len(cost.pairs) > 1 else cost.wall,
            "s",
        ),
    ]
    return (
        "### ViT-base and GPT-2\n\n"
        "float32. The script writes flax_model.msgpack; VED that and model.safetensors, and hashes "
        f"both and all sources. Medians of {ROUNDS} runs.\n\n"
        "| | script | VED | ratio |\n| --- | ---: | ---: | ---: |\n" + "\n".join(rows)
    )


def _row(
    name: str, script: list[Cost], ved: list[Cost], value: Callable[[Cost], float], unit: str
) -> str:
    theirs, ours = (statistics.median(map(value, costs)) for costs in (script, ved))
    return f"| {name} | {theirs:,.1f} {unit} | {ours:,.1f} {unit} | {theirs / ours:.1f} |"


def _storage(kept: Path, folder: Path) -> str:
    """Measure what the Hub's storage takes of each file, when it has the sources."""
    rows = []
    for masks in (False, True):
        stored = [sources.vit_base(kept), sources.gpt2(kept, masks=masks)]
        output = folder / "stored"
        run("--keep", *stored, output)
        tensors, _ = read_header(output / "model.safetensors")
        fresh = sum(nbytes(tensor) for name, tensor in tensors.items() if "cross" in name)
        files = [source / "model.safetensors" for source in stored]
        for name in ("model.safetensors", "flax_model.msgpack"):
            size = (output / name).stat().st_size
            new = new_bytes(files, output / name, folder / f"store-{name}-{masks}")
            rows.append(
                f"| {name}{', of a GPT-2 that holds its causal masks' if masks else ''} "
                f"| {size / 1e6:,.1f} MB | {new / 1e6:,.1f} MB | {new / fresh:.3f} |"
            )
        shutil.rmtree(output)
    return (
        "### What the Hub's storage takes\n\n"
        "By hf_xet's engine, with both sources stored before. The fresh parameters alone are "
        f"{fresh / 1e6:,.1f} MB. Masks are left out of a checkpoint, and each costs the storage a "
        "piece before it and one behind.\n\n"
        "| file | size | new bytes | of the fresh parameters |\n| --- | ---: | ---: | ---: |\n"
        + "\n".join(rows)
    )


def _large_pair(kept: Path, folder: Path) -> str:
    """Assemble 2.5 billion parameters, and let the script try it in 16 GB."""
    pair: Sequence[Path] = (sources.vit_base(kept), sources.gpt2_large_and_wide(kept))
    cost = run(*pair, folder / "large")
    try:
        script = f"{run_script(*pair, folder / 'large', memory_limit=SCRIPT_MEMORY).wall:.0f} s"
    except DidNotFinishError as error:
        script = f"did not finish: `{str(error)[:160]}`"
    return (
        "### ViT-base and a GPT-2 of 2.4 billion parameters\n\n"
        f"VED: {cost.wall:.0f} s, peak RSS {cost.memory / 1e6:,.0f} MB.\n\n"
        f"The script, with {SCRIPT_MEMORY / 1e9:.0f} GB of memory: {script}"
    )
