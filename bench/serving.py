"""One process under measurement: loads a checkpoint and generates, with one of three classes.

usage: python bench/serving.py ved|transformers|pytorch DIRECTORY

It imports nothing of the benchmark, because it also runs in environments without VED. It prints,
as JSON, seconds (and bytes of resident memory) of each stage.
"""

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

TOKENS = 20
BATCHES = (1, 8)
REPEATS = 2


def generator(name: str, directory: str, record: Callable[[str], None]) -> Callable[..., Any]:
    """Load a checkpoint, and return a function that generates tokens for images.

    Args:
        name: the class.
        directory: the checkpoint.
        record: called at the end of each stage, with its name.
    """
    settings: dict[str, Any] = {"max_new_tokens": TOKENS, "do_sample": False}
    if name == "pytorch":
        import torch
        from transformers import VisionEncoderDecoderModel

        record("import")
        torch_model = VisionEncoderDecoderModel.from_pretrained(directory, dtype=torch.float32)
        record("load")
        return lambda images: torch_model.generate(torch.tensor(images), **settings)
    import jax

    package = "ved.modeling" if name == "ved" else "transformers"
    model_class = importlib.import_module(package).FlaxVisionEncoderDecoderModel
    record("import")
    model = model_class.from_pretrained(directory)
    jax.block_until_ready(model.params)  # type: ignore[no-untyped-call]
    record("load")
    return lambda images: np.asarray(model.generate(images, **settings).sequences)


def main(name: str, directory: str) -> None:
    """Print seconds and bytes by stage."""
    found: dict[str, float] = {}
    start = time.perf_counter()

    def record(stage: str) -> None:
        nonlocal start
        found[stage] = time.perf_counter() - start
        # Linux counts in KiB.
        found[f"{stage} memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        start = time.perf_counter()

    generate = generator(name, directory, record)
    for batch in BATCHES:
        images = np.random.default_rng(0).normal(size=(batch, 3, 224, 224)).astype(np.float32)
        start = time.perf_counter()
        generate(images)
        record(f"first {batch}")
        for _ in range(REPEATS):
            generate(images)
        record(f"further {batch}")
        found[f"further {batch}"] /= REPEATS
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
