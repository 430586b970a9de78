"""Weights, read lazily and written as a stream.

`tensor` defines a tensor. `safetensors`, `msgpack`, `msgpack_writer` and `pickled` are the file
formats, and `files` opens any of them. `names` finds the source tensor of each Flax parameter.
"""

from ved.tensors.files import Layout, StoredWeight, open_weights
from ved.tensors.names import Match, ParameterPath, buffers, pytorch_name, second_names
from ved.tensors.tensor import DTYPES, Array, Tensor, as_bytes, nbytes, read

__all__ = [
    "DTYPES",
    "Array",
    "Layout",
    "Match",
    "ParameterPath",
    "StoredWeight",
    "Tensor",
    "as_bytes",
    "buffers",
    "nbytes",
    "open_weights",
    "pytorch_name",
    "read",
    "second_names",
]
