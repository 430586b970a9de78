"""Whole models as sources: two checkpoints in one repo, each with the names of its half."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy
from numpy.typing import NDArray


def whole(
    directory: Path,
    model_type: str,
    halves: Mapping[str, tuple[str, Path]],
    *,
    others: Mapping[str, NDArray[Any]] | None = None,
    **config: Any,
) -> Path:
    """Write a whole model into a directory, and return the directory.

    Args:
        directory: a directory that may be missing.
        model_type: the `model_type` of the whole model.
        halves: the key of the config of each half, with the prefix of its tensors and the directory
            of a checkpoint.
        others: tensors outside of both halves.
        config: other settings of the whole model.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tensors = dict(others or {})
    content: dict[str, Any] = {"model_type": model_type, **config}
    for key, (prefix, half) in halves.items():
        content[key] = json.loads((half / "config.json").read_text())
        stored = safetensors.numpy.load_file(half / "model.safetensors")
        tensors |= {f"{prefix}{name}": tensor for name, tensor in stored.items()}
        for path in half.iterdir():
            if path.name not in ("config.json", "model.safetensors"):
                shutil.copyfile(path, directory / path.name)
    (directory / "config.json").write_text(json.dumps(content))
    safetensors.numpy.save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    return directory
