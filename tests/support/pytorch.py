"""Read checkpoints with PyTorch, in an environment of consumers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.consumers import run_consumer

_CONSUMER = Path(__file__).parents[1] / "consumers" / "pytorch.py"
REPORTED = ("missing_keys", "unexpected_keys", "mismatched_keys")

Logits = Mapping[str, NDArray[np.float32]]


def read_with_pytorch(
    environment: str,
    directories: Mapping[str, Path],
    pixel_values: Mapping[str, NDArray[np.float32]],
    decoder_input_ids: list[list[int]],
    folder: Path,
) -> tuple[dict[str, Any], Logits]:
    """Return the reports of loading, with the keys of `REPORTED`, and the logits, by checkpoint.

    Args:
        environment: the name of the environment.
        directories: the checkpoints.
        pixel_values: the images for each of them.
        decoder_input_ids: the text for all.
        folder: a directory for the request and the answer.
    """
    for name, pixels in pixel_values.items():
        np.save(folder / f"{name}.npy", pixels)
    request = {
        "checkpoints": {name: str(directory) for name, directory in directories.items()},
        "pixel_values": {name: str(folder / f"{name}.npy") for name in directories},
        "decoder_input_ids": decoder_input_ids,
        "reported": REPORTED,
    }
    answer = run_consumer(environment, _CONSUMER, request, folder)
    return json.loads(str(answer["report"])), answer
