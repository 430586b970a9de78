"""Random tensors under PyTorch names, and the files that hold them."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias

import ml_dtypes
import numpy as np
import safetensors.numpy
import transformers
from numpy.typing import NDArray

Tensors: TypeAlias = dict[str, NDArray[Any]]
DType: TypeAlias = Literal["float32", "float16", "bfloat16"]
Layout: TypeAlias = Literal["safetensors", "sharded", "flax"]

_FORMAT = {"format": "pt"}


class RandomTensors:
    """A seeded source of tensors. No value is zero or one, so that a swapped tensor shows.

    Args:
        seed: of the random numbers.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def small(self, *shape: int) -> NDArray[np.float32]:
        """Return float32 values around zero, as weights are initialized."""
        return self._random.normal(scale=0.02, size=shape).astype(np.float32)

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
    directory: Path, config: Any, tensors: Mapping[str, NDArray[Any]], layout: Layout
) -> None:
    """Write the weights of a checkpoint.

    Args:
        directory: an existing directory.
        config: the config of the checkpoint.
        tensors: the tensors by their names in the file.
        layout: the files to write.
    """
    tensors = dict(tensors)
    if layout == "flax":
        _write_flax(directory, config, tensors)
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


def _write_flax(directory: Path, config: Any, tensors: Tensors) -> None:
    """Write flax_model.msgpack, with the names and axes of transformers' own conversion.

    The Flax class computes only shapes here, because the initialization of its parameters takes
    seconds.
    """
    from flax.serialization import msgpack_serialize
    from flax.traverse_util import flatten_dict, unflatten_dict
    from transformers.modeling_flax_pytorch_utils import convert_pytorch_state_dict_to_flax

    flax_class = getattr(transformers, f"Flax{config.architectures[0]}")
    shapes = flax_class(config, _do_init=False).params_shape_tree
    model = SimpleNamespace(base_model_prefix=flax_class.base_model_prefix, params=shapes)
    converted = flatten_dict(convert_pytorch_state_dict_to_flax(tensors, model))
    tree = unflatten_dict(
        {path: converted[path] for path in sorted(flatten_dict(shapes)) if path in converted}
    )
    (directory / "flax_model.msgpack").write_bytes(msgpack_serialize(tree))
