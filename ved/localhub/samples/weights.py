"""Random tensors under PyTorch names, and the files that hold them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import ml_dtypes
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

Tensors: TypeAlias = dict[str, NDArray[Any]]
DType: TypeAlias = Literal["float32", "float16", "bfloat16"]
Layout: TypeAlias = Literal["safetensors", "sharded", "flax"]

_FORMAT = {"format": "pt"}
_BUFFER = re.compile(r"position_ids$|position_index$|\.attn\.(masked_)?bias$")
_EMBEDDING = re.compile(
    r"^(wte|wpe|shared|embed_tokens|embed_positions|.*(word|position|type)_embeddings)$"
)


class RandomTensors:
    """A seeded source of tensors. No value is zero or one, so that a swapped tensor shows.

    Args:
        seed: of the random numbers.
        deviation: the standard deviation of weights, `initializer_range` of most configs.
    """

    def __init__(self, seed: int, deviation: float = 0.02) -> None:
        self._random = np.random.default_rng(seed)
        self._deviation = deviation

    def small(self, *shape: int) -> NDArray[np.float32]:
        """Return float32 values around zero, as weights are initialized."""
        return self._random.normal(scale=self._deviation, size=shape).astype(np.float32)

    def near_one(self, *shape: int) -> NDArray[np.float32]:
        """Return float32 values a little above one, in every dtype."""
        return self._random.uniform(1.05, 1.25, size=shape).astype(np.float32)

    def linear(self, name: str, inputs: int, outputs: int, *, bias: bool = True) -> Tensors:
        """Return a PyTorch linear layer: weight (outputs, inputs), bias (outputs,)."""
        weight = {f"{name}.weight": self.small(outputs, inputs)}
        return weight | ({f"{name}.bias": self.small(outputs)} if bias else {})

    def norm(self, name: str, width: int) -> Tensors:
        """Return a layer norm: weight and bias (width,)."""
        return {f"{name}.weight": self.near_one(width), f"{name}.bias": self.small(width)}

    def embedding(self, name: str, rows: int, width: int) -> Tensors:
        """Return an embedding: weight (rows, width)."""
        return {f"{name}.weight": self.small(rows, width)}


def under(module: str, *parts: Tensors) -> Tensors:
    """Return the tensors of all parts, named as members of a module."""
    return {f"{module}.{name}": tensor for part in parts for name, tensor in part.items()}


def tied_names(tensors: Tensors) -> list[list[str]]:
    """Return the names of each array, in the order of the tensors."""
    names: dict[int, list[str]] = {}
    for name, tensor in tensors.items():
        names.setdefault(id(tensor), []).append(name)
    return list(names.values())


def without_tied_names(tensors: Tensors) -> Tensors:
    """Return the tensors with only the first name of each array."""
    return {names[0]: tensors[names[0]] for names in tied_names(tensors)}


def cast(tensors: Tensors, dtype: DType) -> Tensors:
    """Return the tensors with floating-point ones cast. Tied names share one array again."""
    target = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    arrays = {id(tensor): tensor for tensor in tensors.values()}
    converted = {
        identity: array.astype(target) if array.dtype.kind == "f" else array
        for identity, array in arrays.items()
    }
    return {name: converted[id(tensor)] for name, tensor in tensors.items()}


def write_weights(
    directory: Path, tensors: Mapping[str, NDArray[Any]], layout: Layout, flax_prefix: str = ""
) -> None:
    """Write the weights of a checkpoint.

    Args:
        directory: an existing directory.
        tensors: the tensors by their names in the file.
        layout: the files to write.
        flax_prefix: what precedes the names in a file of Flax.
    """
    tensors = dict(tensors)
    if layout == "flax":
        _write_flax(directory, {f"{flax_prefix}{name}": each for name, each in tensors.items()})
    elif layout == "sharded":
        _write_sharded(directory, tensors)
    else:
        safetensors.numpy.save_file(tensors, directory / "model.safetensors", _FORMAT)


def _write_sharded(directory: Path, tensors: Tensors) -> None:
    """Write two files and the index that maps tensors to files."""
    names = list(tensors)
    half = len(names) // 2
    weight_map: dict[str, str] = {}
    for number, shard in enumerate([names[:half], names[half:]], start=1):
        file_name = f"model-{number:05}-of-00002.safetensors"
        members = {name: tensors[name] for name in shard}
        safetensors.numpy.save_file(members, directory / file_name, _FORMAT)
        weight_map |= dict.fromkeys(shard, file_name)
    total_size = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total_size}, "weight_map": weight_map}
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    (directory / "model.safetensors.index.json").write_text(text)


def _write_flax(directory: Path, tensors: Tensors) -> None:
    """Write flax_model.msgpack, with the names and axes of transformers' own conversion."""
    from flax.serialization import msgpack_serialize
    from flax.traverse_util import unflatten_dict

    converted = dict(
        _in_flax(name, tensor) for name, tensor in tensors.items() if not _BUFFER.search(name)
    )
    tree = unflatten_dict({path: converted[path] for path in sorted(converted)})
    (directory / "flax_model.msgpack").write_bytes(msgpack_serialize(tree))


def _in_flax(name: str, tensor: NDArray[Any]) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Return a tensor's path and axes in Flax: kernels are transposed, and norms have a scale."""
    *path, last = name.split(".")
    if last == "beta":
        last = "bias"
    elif last == "gamma" or (last == "weight" and tensor.ndim == 1):
        last = "scale"
    elif last == "weight" and _EMBEDDING.search(path[-1]):
        last = "embedding"
    elif last == "weight":
        last = "kernel"
        tensor = tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
    return (*path, last), np.ascontiguousarray(tensor)
