"""Sources whose language-model head differs from the token embeddings, or its two biases do."""

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from tests import checkpoints
from ved.families.table import DECODERS

WEIGHTS = "model.safetensors"


def decoder_with_head(
    family: str, directory: Path, *, tie_word_embeddings: bool, **options: Any
) -> Path:
    """Write a decoder whose file has both names of all tied tensors, and a head of its own."""
    config = {"tie_word_embeddings": tie_word_embeddings, **options.pop("config", {})}
    checkpoints.DECODERS[family](directory, tied="both", prefix=True, config=config, **options)
    head = DECODERS[family].head
    change_tensors(directory, {head: lambda weight: -2 * weight[::-1]})
    return directory


def change_tensors(directory: Path, changes: dict[str, Any]) -> None:
    """Change tensors of a source: a function for each, or None to remove it."""
    tensors = safetensors.numpy.load_file(directory / WEIGHTS)
    for name, change in changes.items():
        tensor = tensors.pop(name)
        if change is not None:
            tensors[name] = np.ascontiguousarray(change(tensor))
    safetensors.numpy.save_file(tensors, directory / WEIGHTS, {"format": "pt"})
