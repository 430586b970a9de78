"""Open the weight files of a checkpoint, in any format, as lazy tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ved.errors import ErrorCode, VedError
from ved.tensors import msgpack, pickled, safetensors
from ved.tensors.bounds import LimitError, check_count, refusal
from ved.tensors.tensor import Tensor
from ved.text import quoted

Layout = Literal["pytorch", "flax"]
"""The order of a kernel's axes: (out, in) in PyTorch, (in, out) in Flax."""


@dataclass(frozen=True)
class StoredWeight:
    """One tensor of a checkpoint.

    Attributes:
        name: its name in the file. Dots join the keys of nested maps.
        file: the name of the file.
        layout: the layout of kernels in the file.
        tensor: its elements, which are read lazily.
    """

    name: str
    file: str
    layout: Layout
    tensor: Tensor


def open_weights(paths: Sequence[Path]) -> list[StoredWeight]:
    """Return every tensor of one checkpoint, in the order of its files.

    This reads the headers of the files, but no elements of tensors.

    Args:
        paths: `*.safetensors`, `*.msgpack` or `*.bin`: one file, or all shards of one checkpoint.

    Raises:
        VedError: a file is damaged, or comes from another framework than PyTorch and Flax.
        OSError: a file cannot be read.
    """
    weights: list[StoredWeight] = []
    for path in paths:
        weights += _open(path)
        try:
            check_count(len(weights))
        except LimitError as error:
            raise refusal(error, path.name) from error
    return weights


def _open(path: Path) -> list[StoredWeight]:
    layout: Layout
    if path.suffix == ".safetensors":
        tensors, metadata = safetensors.read_header(path)
        # Files without metadata come from PyTorch. transformers refuses them, VED reads them.
        framework = metadata.get("format", "pt")
        if framework not in ("pt", "flax"):
            raise VedError(
                f"The metadata of {path.name} has the format {quoted(framework)}.",
                "Convert it to the format of PyTorch ('pt') or Flax ('flax').",
                code=ErrorCode.UNSUPPORTED_WEIGHTS,
            )
        layout = "flax" if framework == "flax" else "pytorch"
        return [StoredWeight(name, path.name, layout, tensor) for name, tensor in tensors.items()]
    if path.suffix == ".msgpack":
        index = msgpack.read_index(path)
        return [StoredWeight(name, path.name, "flax", tensor) for name, tensor in index.items()]
    state = pickled.read_index(path)
    return [StoredWeight(name, path.name, "pytorch", tensor) for name, tensor in state.items()]
