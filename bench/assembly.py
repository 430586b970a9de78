"""Assembly, against the script that people use today."""

import hashlib
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import sources
from bench.history import Ratio
from bench.measure import Cost, DidNotFinishError, run, run_script
from bench.storage import new_bytes
from ved.tensors import msgpack, msgpack_writer, nbytes
from ved.tensors.safetensors import read_header

TITLE = "Assembly"
ROUNDS = 5
SCRIPT_MEMORY = 16 * 10**9


def measure(kept: Path, folder: Path) -> Iterator[str | Ratio]:
    """Yield what assembly costs, as Markdown.

    Args:
        kept: the directory of the sources.
        folder: an empty directory.
    """
    yield "Both sides run in turns on one machine: compare the ratios."
    yield from base_pair(kept, folder, ROUNDS)
    yield from _storage(kept, folder)
    yield from _large_pair(kept, folder)


def base_pair(kept: Path, folder: Path, rounds: int) -> Iterator[str | Ratio]:
    """Compare one pair in a fresh process, imports and all, and a further one in the same."""
    encoder = sources.vit_base(kept)
    first, second = sources.gpt2(kept, 0), sources.gpt2(kept, 1)
    output = folder / "output"
    script, ved, further = [], [], []
    for _ in range(rounds):
        script.append(_removed(output, run_script(encoder, first, output)))
        ved.append(_removed(output, run(encoder, first, output)))
        cost = run(encoder, first, folder / "first", second, output)
        further.append(_removed(output, cost))
    wall = _Sides.of(script, ved, lambda cost: cost.wall)
    cpu = _Sides.of(script, ved, lambda cost: cost.cpu)
    memory = _Sides.of(script, ved, lambda cost: cost.memory / 1e6)
    further_wall = _Sides.of(
        script, further, lambda cost: cost.pairs[1] if len(cost.pairs) > 1 else cost.wall
    )
    rows = [
        wall.row("wall, one pair in a fresh process", "s"),
        cpu.row("CPU, the same", "s"),
        memory.row("peak RSS, the same", "MB"),
        further_wall.row(
            "wall, a further pair with the same encoder, in the same process if it can", "s"
        ),
    ]
    yield (
        "### ViT-base and GPT-2\n\n"
        "float32. The script writes flax_model.msgpack; VED that and model.safetensors, and hashes "
        f"both and all sources. Medians of {rounds} runs.\n\n"
        "| | script | VED | ratio |\n| --- | ---: | ---: | ---: |\n" + "\n".join(rows)
    )
    yield Ratio("one pair, wall: script / VED", wall.ratio)
    yield Ratio("one pair, CPU: script / VED", cpu.ratio)
    yield Ratio("one pair, peak RSS: script / VED", memory.ratio)
    yield Ratio("a further pair, wall: script / VED", further_wall.ratio)


def _removed(output: Path, cost: Cost) -> Cost:
    """Return a cost, after the removal of the output, which is not part of it."""
    shutil.rmtree(output)
    return cost


class _Sides(NamedTuple):
    """A median of the script, and one of VED."""

    script: float
    ved: float

    @classmethod
    def of(cls, script: list[Cost], ved: list[Cost], value: Callable[[Cost], float]) -> "_Sides":
        """Return the medians of a value of both sides' costs."""
        return cls(*(statistics.median(map(value, costs)) for costs in (script, ved)))

    @property
    def ratio(self) -> float:
        """How many times as much the script takes."""
        return self.script / self.ved

    def row(self, name: str, unit: str) -> str:
        """Return a row of a table."""
        return f"| {name} | {self.script:,.1f} {unit} | {self.ved:,.1f} {unit} | {self.ratio:.1f} |"


def _storage(kept: Path, folder: Path) -> Iterator[str | Ratio]:
    """Measure what the Hub's storage takes of each file, when it has the sources."""
    stored = [sources.vit_base(kept), sources.gpt2(kept)]
    with_masks = sources.gpt2(kept, masks=True)
    output = folder / "stored"
    run(*stored, output)
    tensors, _ = read_header(output / "model.safetensors")
    fresh = sum(nbytes(tensor) for name, tensor in tensors.items() if "cross" in name)
    files = [source / "model.safetensors" for source in stored]
    cases = (
        ("model.safetensors", "", files),
        (
            "model.safetensors",
            ", of a GPT-2 that holds its causal masks",
            [files[0], with_masks / files[1].name],
        ),
        ("flax_model.msgpack", "", files),
        ("flax_model.msgpack", ", of sources that have their own", own_msgpacks(output, folder)),
    )
    rows = []
    for number, (name, remark, known) in enumerate(cases):
        size = (output / name).stat().st_size
        new = new_bytes(known, output / name, folder / f"store-{number}")
        rows.append(
            f"| {name}{remark} | {size / 1e6:,.1f} MB | {new / 1e6:,.1f} MB | {new / fresh:.3f} |"
        )
        yield Ratio(f"{name}{remark}: new / newly initialized bytes", new / fresh)
    shutil.rmtree(output)
    yield (
        "### What the Hub's storage takes\n\n"
        "By hf_xet's engine, with both sources stored before. The fresh parameters alone are "
        f"{fresh / 1e6:,.1f} MB. Masks are left out of a checkpoint, and each costs the storage a "
        "piece before it and one behind.\n\n"
        "| file | size | new bytes | of the fresh parameters |\n| --- | ---: | ---: | ---: |\n"
        + "\n".join(rows)
    )


def own_msgpacks(checkpoint: Path, folder: Path) -> list[Path]:
    """Write the flax_model.msgpack that each source of a GPT-2 pair has if transformers saves it.

    Args:
        checkpoint: the directory of the pair's checkpoint.
        folder: an existing directory for both files.
    """
    tensors = msgpack.read_index(checkpoint / "flax_model.msgpack")
    paths = []
    for half in ("encoder", "decoder"):
        own = {
            tuple(name.split(".")[1:]): tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{half}.") and "cross" not in name
        }
        paths.append(folder / f"{half}.msgpack")
        msgpack_writer.write(paths[-1], own)
    return paths


def _large_pair(kept: Path, folder: Path) -> Iterator[str | Ratio]:
    """Assemble 2.4 billion parameters, and let the script try it in 16 GB."""
    pair: Sequence[Path] = (sources.vit_base(kept), sources.gpt2_large_and_wide(kept))
    output = folder / "large"
    cost = run(*pair, output)
    size = sum(file.stat().st_size for file in output.iterdir())
    hashing = _seconds_to_hash(output)
    shutil.rmtree(output)
    try:
        script = f"{run_script(*pair, output, memory_limit=SCRIPT_MEMORY).wall:.0f} s"
    except DidNotFinishError as error:
        script = f"did not finish: `{str(error)[:160]}`"
    yield (
        "### ViT-base and a GPT-2 of 2.4 billion parameters\n\n"
        f"VED: {cost.wall:.0f} s, peak RSS {cost.memory / 1e6:,.0f} MB. The files have "
        f"{size / 1e9:.1f} GB. VED takes {cost.wall / hashing:.1f} times as long as reading and "
        f"hashing them, and {cost.memory / size:.1%} of their size in memory.\n\n"
        f"The script, with {SCRIPT_MEMORY / 1e9:.0f} GB of memory: {script}"
    )
    yield Ratio("2.4 billion parameters: wall / hashing the files", cost.wall / hashing)
    yield Ratio("2.4 billion parameters: peak RSS / size of the files", cost.memory / size)


def _seconds_to_hash(directory: Path) -> float:
    """Return how long it takes to read a directory's files and to compute their sha256."""
    os.sync()
    start = time.perf_counter()
    for path in directory.iterdir():
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
    return time.perf_counter() - start
