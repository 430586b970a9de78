"""Tensors under PyTorch's names: drawn, spelled as asked, and written in one of four layouts."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import safetensors.numpy
import transformers
from numpy.typing import NDArray

from ved.localhub.checkpoints.options import Options
from ved.localhub.checkpoints.torch_pickle import write_torch_pickle

Tensors: TypeAlias = dict[str, NDArray[Any]]

_FORMAT = {"format": "pt"}


class Draw:
    """A seeded source of tensors in which nothing is zero or one, so that no mix-up is hidden."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def small(self, *shape: int) -> NDArray[np.float32]:
        """Return values around zero, as weights are initialized."""
        return self._random.normal(scale=0.02, size=shape).astype(np.float32)

    def near_one(self, *shape: int) -> NDArray[np.float32]:
        """Return values a little above one, in every dtype."""
        return self._random.uniform(1.05, 1.25, size=shape).astype(np.float32)

    def linear(self, name: str, inputs: int, outputs: int, *, bias: bool = True) -> Tensors:
        """Return a PyTorch linear layer, its weight of shape (outputs, inputs)."""
        weight = {f"{name}.weight": self.small(outputs, inputs)}
        return weight | ({f"{name}.bias": self.small(outputs)} if bias else {})

    def norm(self, name: str, width: int) -> Tensors:
        """Return a layer norm."""
        return {f"{name}.weight": self.near_one(width), f"{name}.bias": self.small(width)}

    def embedding(self, name: str, rows: int, width: int) -> Tensors:
        """Return an embedding of shape (rows, width)."""
        return {f"{name}.weight": self.small(rows, width)}


def under(module: str, *parts: Tensors) -> Tensors:
    """Return the tensors of all parts, named as members of `module`."""
    return {f"{module}.{name}": tensor for part in parts for name, tensor in part.items()}


def write_weights(directory: Path, options: Options, config: Any, tensors: Tensors) -> None:
    """Write tensors, given under their published names, in the layout and dtype asked for."""
    tensors = _spelled(_cast(tensors, options.dtype), options)
    if options.layout == "pickle":
        write_torch_pickle(directory / "pytorch_model.bin", tensors)
    elif options.layout == "flax":
        _write_flax(directory, config, tensors)
    elif options.layout == "sharded":
        _write_sharded(directory, tensors)
    else:
        safetensors.numpy.save_file(tensors, directory / "model.safetensors", _FORMAT)


def _cast(tensors: Tensors, dtype: str) -> Tensors:
    """Cast floating-point tensors; names of one array stay names of one array."""
    target = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    arrays = {id(tensor): tensor for tensor in tensors.values()}
    cast = {
        identity: array.astype(target) if array.dtype.kind == "f" else array
        for identity, array in arrays.items()
    }
    return {name: cast[id(tensor)] for name, tensor in tensors.items()}


def _spelled(tensors: Tensors, options: Options) -> Tensors:
    spelled = {}
    for name, tensor in tensors.items():
        if name.startswith(options.without):
            continue
        for text, replacement in options.rename.items():
            name = name.replace(text, replacement)
        spelled[name] = tensor
    return spelled


def _write_sharded(directory: Path, tensors: Tensors) -> None:
    """Write two files and the index that says which tensor is in which."""
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
    """Write flax_model.msgpack, with the names and axes that transformers itself gives.

    The Flax class is asked for its shapes only: drawing its own parameters takes seconds.
    """
    from flax.serialization import msgpack_serialize
    from flax.traverse_util import flatten_dict, unflatten_dict
    from transformers.modeling_flax_pytorch_utils import convert_pytorch_state_dict_to_flax

    flax_class = getattr(transformers, f"Flax{config.architectures[0]}")
    shapes = flax_class(config, _do_init=False).params_shape_tree
    model = SimpleNamespace(base_model_prefix=flax_class.base_model_prefix, params=shapes)
    found = flatten_dict(convert_pytorch_state_dict_to_flax(tensors, model))
    tree = unflatten_dict(
        {path: found[path] for path in sorted(flatten_dict(shapes)) if path in found}
    )
    (directory / "flax_model.msgpack").write_bytes(msgpack_serialize(tree))
