"""A checkpoint's weight files, whatever their format, as one mapping of lazy tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ved.errors import ErrorCode, VedError
from ved.tensors import msgpack, pickled, safetensors
from ved.tensors.tensor import Tensor

Layout = Literal["pytorch", "flax"]


@dataclass(frozen=True)
class StoredWeight:
    """One tensor of a checkpoint.

    Attributes:
        name: as the file has it; keys of nested maps are joined by dots.
        file: the name of the file that holds it.
        layout: "pytorch" where kernels are stored as PyTorch has them, "flax" as Flax has them.
    """

    name: str
    file: str
    layout: Layout
    tensor: Tensor


def open_weights(paths: Sequence[Path]) -> list[StoredWeight]:
    """Return every tensor of the files that make up one checkpoint, in the files' own order.

    Args:
        paths: `*.safetensors`, `*.msgpack` or `*.bin`: one file, or all shards of one checkpoint.

    Raises:
        VedError: a file is damaged, or is of a framework other than PyTorch and Flax.
        OSError: a file cannot be read.
    """
    return [weight for path in paths for weight in _open(path)]


def _open(path: Path) -> list[StoredWeight]:
    layout: Layout
    if path.suffix == ".safetensors":
        tensors, metadata = safetensors.read_header(path)
        # Files without metadata come from PyTorch; transformers refuses to read them at all.
        framework = metadata.get("format", "pt")
        if framework not in ("pt", "flax"):
            raise VedError(
                f"{path.name} says that its tensors are in the layout of {framework!r}.",
                "VED reads the layouts of PyTorch ('pt') and Flax ('flax').",
                code=ErrorCode.UNSUPPORTED_WEIGHTS,
            )
        layout = "flax" if framework == "flax" else "pytorch"
        return [StoredWeight(name, path.name, layout, tensor) for name, tensor in tensors.items()]
    if path.suffix == ".msgpack":
        index = msgpack.read_index(path)
        return [StoredWeight(name, path.name, "flax", tensor) for name, tensor in index.items()]
    state = pickled.read_index(path)
    return [StoredWeight(name, path.name, "pytorch", tensor) for name, tensor in state.items()]
