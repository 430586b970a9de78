"""Find the tensors in weight files, and read each one once.

Two formats have the same idea: names, shapes and dtypes, then the elements in row-major order. So
reading a tensor is reading a range of a file.

safetensors (https://huggingface.co/docs/safetensors): 8 bytes with the length of the header, little
endian; the header, JSON; the elements.

Flax's msgpack (`flax.serialization`): nested maps. A leaf is of extension type 1, with shape,
dtype name and bytes. An array above 2**30 bytes is a map of flat chunks.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ved.modeling.errors import ModelingError

SAFETENSORS = "model.safetensors"
MSGPACK = "flax_model.msgpack"

_DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
_DTYPES_BY_NAME = {dtype.name: dtype for dtype in _DTYPES.values()}

_CHUNKED = "__msgpack_chunked_array__"


@dataclass(frozen=True)
class Stored:
    """A tensor in a file.

    Attributes:
        path: the file.
        shape: the dimensions, outermost first.
        dtype: the dtype of the elements.
        offsets: where the elements begin in the file, in bytes; with several offsets, all parts but
            the last one have the length of the first.
        lengths: how many elements there are at each offset.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]

    def read(self) -> NDArray[Any]:
        """Return the elements, with the shape and the dtype of the file.

        Raises:
            ModelingError: the file is truncated.
        """
        array = np.empty(prod(self.shape), self.dtype)
        position = 0
        with self.path.open("rb") as file:
            for offset, length in zip(self.offsets, self.lengths, strict=True):
                part = array[position : position + length]
                file.seek(offset)
                memory = memoryview(part.view(np.uint8))  # type: ignore[arg-type]
                if file.readinto(memory) != part.nbytes:
                    raise ModelingError(f"{self.path.name} is truncated. Download it again.")
                position += length
        return array.reshape(self.shape)


def weight_files(directory: Path) -> list[Path]:
    """Return the weight files of a directory: all shards of one format.

    Raises:
        ModelingError: there are none, or an index names a file that is missing.
    """
    for name in (MSGPACK, SAFETENSORS):
        index = directory / f"{name}.index.json"
        if (directory / name).is_file():
            return [directory / name]
        if index.is_file():
            files = [directory / name for name in shards(index)]
            missing = [file.name for file in files if not file.is_file()]
            if missing:
                raise ModelingError(f"{index.name} names missing files: {', '.join(missing)}.")
            return files
    raise ModelingError(f"{directory} has neither {MSGPACK} nor {SAFETENSORS}.")


def shards(index: Path) -> list[str]:
    """Return the names of the files that an index lists, each once.

    Raises:
        ModelingError: it is not such an index.
    """
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelingError(f"{index.name} is not an index of weight files.") from error
    # The index comes from others, and must not name files elsewhere.
    if not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise ModelingError(f"{index.name} names a file outside of its directory.")
    return names


def read_index(path: Path) -> dict[str, Stored]:
    """Return the tensors of a weight file by name; dots join the keys of nested maps.

    Raises:
        ModelingError: the file is damaged.
    """
    read = _msgpack if path.suffix == ".msgpack" else _safetensors
    try:
        with path.open("rb") as file:
            found = dict(read(path, file))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelingError(f"{path.name} is damaged. Download it again.") from error
    size = path.stat().st_size
    for name, stored in found.items():
        ends = zip(stored.offsets, stored.lengths, strict=True)
        if any(start + length * stored.dtype.itemsize > size for start, length in ends):
            raise ModelingError(f"{path.name} is truncated: it ends before {name} does.")
    return found


def _safetensors(path: Path, file: BinaryIO) -> Iterator[tuple[str, Stored]]:
    length = int.from_bytes(file.read(8), "little")
    if length > path.stat().st_size:
        raise ValueError("the header is longer than the file")
    header = json.loads(file.read(length))
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        shape, dtype = tuple(entry["shape"]), _DTYPES[entry["dtype"]]
        if end - begin != prod(shape) * dtype.itemsize:
            raise ValueError("a tensor has another size than its shape")
        yield name, Stored(path, shape, dtype, (8 + length + begin,), (prod(shape),))


def _msgpack(path: Path, file: BinaryIO) -> Iterator[tuple[str, Stored]]:
    tree = _value(path, file)
    if not isinstance(tree, dict):
        raise ValueError("it is not a map")
    return _flatten(tree, "")


def _flatten(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Stored]]:
    for key, value in tree.items():
        if isinstance(value, Stored):
            yield prefix + key, value
        elif isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            raise ValueError("a leaf is not an array")


# Types of msgpack, https://github.com/msgpack/msgpack/blob/master/spec.md, by their first byte,
# with the number of bytes of their length. Short ones have the length in the first byte.
_MAPS = {0xDE: 2, 0xDF: 4}
_STRINGS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAYS = {0xDC: 2, 0xDD: 4}
_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_NUMBERS = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4, **dict.fromkeys((0xD4, 0xD5, 0xD6, 0xD7, 0xD8), 0)}
_TRUE = 0xC3


def _value(path: Path, file: BinaryIO) -> Any:
    """Return the next value; an array is a `Stored`, and its elements are skipped."""
    first = _number(file, 1)
    if first < 0x80:
        return first
    if first in _NUMBERS:
        return _number(file, _NUMBERS[first])
    if first == _TRUE:
        return True
    if first in _EXTENSIONS:
        _number(file, _EXTENSIONS[first] + 1)  # the length and the type
        return _array(path, file)
    if first & 0xE0 == 0xA0 or first in _STRINGS:
        length = _number(file, _STRINGS[first]) if first in _STRINGS else first & 0x1F
        return file.read(length).decode()
    if first & 0xF0 == 0x90 or first in _ARRAYS:
        length = _number(file, _ARRAYS[first]) if first in _ARRAYS else first & 0x0F
        return [_value(path, file) for _ in range(length)]
    if first & 0xF0 == 0x80 or first in _MAPS:
        length = _number(file, _MAPS[first]) if first in _MAPS else first & 0x0F
        tree = {_value(path, file): _value(path, file) for _ in range(length)}
        return _chunked(tree) if _CHUNKED in tree else tree
    raise ValueError("a type that Flax does not write")


def _array(path: Path, file: BinaryIO) -> Stored:
    if _number(file, 1) != 0x93:  # an array of three
        raise ValueError("an extension that is not an array")
    shape, dtype = tuple(_value(path, file)), _DTYPES_BY_NAME[_value(path, file)]
    length = _number(file, _BYTES[_number(file, 1)])
    if length != prod(shape) * dtype.itemsize:
        raise ValueError("a tensor has another size than its shape")
    offset = file.tell()
    file.seek(length, 1)
    return Stored(path, shape, dtype, (offset,), (prod(shape),))


def _chunked(tree: dict[str, Any]) -> Stored:
    shape = tuple(tree["shape"][str(axis)] for axis in range(len(tree["shape"])))
    chunks = [tree["chunks"][str(number)] for number in range(len(tree["chunks"]))]
    if sum(chunk.lengths[0] for chunk in chunks) != prod(shape):
        raise ValueError("the chunks have another size than the tensor")
    offsets = tuple(chunk.offsets[0] for chunk in chunks)
    lengths = tuple(chunk.lengths[0] for chunk in chunks)
    return Stored(chunks[0].path, shape, chunks[0].dtype, offsets, lengths)


def _number(file: BinaryIO, width: int) -> int:
    read = file.read(width)
    if len(read) < width:
        raise ValueError("it is truncated")
    return int.from_bytes(read, "big")
