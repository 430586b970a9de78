"""Find the tensors in Flax's msgpack files without reading their elements.

`flax.serialization` defines the format on top of msgpack
(https://github.com/msgpack/msgpack/blob/master/spec.md): nested maps, whose leaves are of extension
type 1. A leaf contains an array of (shape, dtype name, row-major bytes). An array above 2**30 bytes
is a map of `__msgpack_chunked_array__`, `shape` and `chunks`; the keys of the latter two are
numbers from "0". `ved.tensors.msgpack_writer` writes such files.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ved.errors import ErrorCode, VedError
from ved.limits import JSON_DEPTH, NAME_LENGTH, RANK, TENSORS
from ved.tensors import safetensors
from ved.tensors.bounds import LimitError, check_count, check_name, refusal
from ved.tensors.tensor import Array, StoredTensor, Tensor
from ved.text import quoted

CHUNKED = "__msgpack_chunked_array__"
ARRAY_EXTENSION = 1
SCALAR_EXTENSION = 3

Node = dict[str, "Node | Tensor | int"]

# The first bytes of the types that Flax writes, and how many bytes of length follow each. Short
# values have their length in the first byte itself.
_MAP = {0xDE: 2, 0xDF: 4}
_STRING = {0xD9: 1, 0xDA: 2, 0xDB: 4}
BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_ARRAY = {0xDC: 2, 0xDD: 4}
_UNSIGNED = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
EXTENSION = {0xC7: 1, 0xC8: 2, 0xC9: 4}
FIXED_EXTENSION = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_TRUE = 0xC3

_MAX_VALUES = 4 * TENSORS
"""The most maps, tensors and numbers. A map has several tensors as a rule."""

_DTYPES = {dtype.name: dtype for dtype in safetensors.DTYPES.values()}


@dataclass(frozen=True)
class ChunkedTensor:
    """A tensor in a file whose elements are in several chunks.

    Attributes:
        shape: the dimensions, outermost first.
        chunks: the elements in row-major order, of shape (elements,) each.
    """

    shape: tuple[int, ...]
    chunks: tuple[StoredTensor, ...]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The dtype of the elements."""
        return self.chunks[0].dtype

    def blocks(self) -> Iterator[Array]:
        """Yield the elements in row-major order; see `ved.tensors.tensor.Tensor.blocks`."""
        return chain.from_iterable(chunk.blocks() for chunk in self.chunks)


def read_index(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name. Dots join the keys of nested maps.

    Raises:
        VedError: `flax.serialization.to_bytes` does not write such a file, or it is truncated.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return index_of(path, file)


def index_of(path: Path, file: BinaryIO) -> dict[str, Tensor]:
    """Return the tensors of an open file by name; see `read_index`.

    Args:
        path: the path of the file, for the tensors and for errors.
        file: the open file, at any position.
    """
    try:
        reader = _Reader(path, file)
        tree = reader.value(0)
        if file.tell() != reader.size:
            raise _FormatError(f"its value ends at byte {file.tell()}, but the file does not")
        tensors = dict(_flatten(tree, ())) if isinstance(tree, dict) else {}
        check_count(len(tensors))
        for name in tensors:
            check_name(name)
    except LimitError as error:
        raise refusal(error, path.name) from error
    except (_FormatError, UnicodeDecodeError) as error:
        raise VedError(
            f"{path.name} is not a Flax checkpoint: {error}.",
            "Download it again; if that does not help, the source itself is damaged.",
            code=ErrorCode.DAMAGED_SOURCE,
        ) from error
    return tensors


class _FormatError(Exception):
    """Flax does not write such bytes."""


class _Reader:
    """Reads a file value by value, and skips the elements of tensors."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        self.values = 0
        file.seek(0)

    def value(self, depth: int) -> "Node | Tensor | int":
        first = self._unsigned(1)
        if depth > JSON_DEPTH:
            raise _FormatError(f"its maps are nested more than {JSON_DEPTH} deep")
        self.values += 1
        if self.values > _MAX_VALUES:
            raise LimitError(f"The weights have more than {_MAX_VALUES} maps and tensors")
        if first <= 0x7F or first in _UNSIGNED:
            return self._number(first)
        if first == _TRUE:
            return 1
        if first in EXTENSION or first in FIXED_EXTENSION:
            return self._tensor(first)
        count = self._length(first, 0x80, 0x0F, _MAP)
        if count is None:
            raise _FormatError(
                f"byte {self.file.tell() - 1} begins a type that Flax does not write"
            )
        node: Node = {}
        for _ in range(count):
            key = self._string()
            if key in node:
                raise _FormatError(f"it has the key {quoted(key)} twice")
            node[key] = self.value(depth + 1)
        return self._chunked(node) if CHUNKED in node else node

    def _tensor(self, first: int) -> StoredTensor:
        length = FIXED_EXTENSION.get(first) or self._unsigned(EXTENSION[first])
        if self._unsigned(1) not in (ARRAY_EXTENSION, SCALAR_EXTENSION):
            raise _FormatError("it has an extension type that is not an array")
        end = self.file.tell() + length
        if self._length(self._unsigned(1), 0x90, 0x0F, _ARRAY) != 3:
            raise _FormatError("an array lacks its shape, dtype or elements")
        rank = self._length(self._unsigned(1), 0x90, 0x0F, _ARRAY)
        if rank is None:
            raise _FormatError("the shape of an array is not a list")
        if rank > RANK:
            raise LimitError(f"A tensor has {rank} axes, and VED reads at most {RANK}")
        shape = tuple(self._number(self._unsigned(1)) for _ in range(rank))
        dtype = _dtype(self._string())
        stored = self._length(self._unsigned(1), 0, 0, BYTES)
        offset = self.file.tell()
        if stored != prod(shape) * dtype.itemsize or offset + stored != end:
            raise _FormatError(f"an array of shape {shape} has {stored} bytes")
        if end > self.size:
            raise _FormatError(f"it ends after {self.size} bytes, in the middle of an array")
        self.file.seek(end)
        return StoredTensor(self.path, offset, shape, dtype)

    def _chunked(self, node: Node) -> ChunkedTensor:
        shape, chunks = node.get("shape"), node.get("chunks")
        if not isinstance(shape, dict) or not isinstance(chunks, dict) or not chunks:
            raise _FormatError("a chunked array lacks its shape or its chunks")
        if len(shape) > RANK:
            raise LimitError(f"A tensor has {len(shape)} axes, and VED reads at most {RANK}")
        sizes = [shape.get(str(index)) for index in range(len(shape))]
        parts = [chunks.get(str(index)) for index in range(len(chunks))]
        tensor = ChunkedTensor(
            tuple(size for size in sizes if isinstance(size, int)),
            tuple(part for part in parts if isinstance(part, StoredTensor)),
        )
        if (
            len(tensor.shape) != len(sizes)
            or len(tensor.chunks) != len(parts)
            or len({part.dtype for part in tensor.chunks}) != 1
            or sum(prod(part.shape) for part in tensor.chunks) != prod(tensor.shape)
        ):
            raise _FormatError("the chunks of an array do not add up to its shape")
        return tensor

    def _string(self) -> str:
        length = self._length(self._unsigned(1), 0xA0, 0x1F, _STRING)
        if length is None:
            raise _FormatError("a key is not a string")
        if length > 4 * NAME_LENGTH:  # UTF-8 has up to 4 bytes for a character
            raise LimitError(f"A key has {length} bytes, and VED reads at most {4 * NAME_LENGTH}")
        return self._take(length).decode()

    def _number(self, first: int) -> int:
        if first <= 0x7F:
            return first
        if first in _UNSIGNED:
            return self._unsigned(_UNSIGNED[first])
        raise _FormatError("a size is not a whole number")

    def _length(self, first: int, fixed: int, mask: int, sized: dict[int, int]) -> int | None:
        """Return the length of a value; None if the first byte is of another type.

        Args:
            first: the first byte of the value.
            fixed: the first byte of short values, without the bits of `mask`.
            mask: the bits that are the length of a short value; 0 if there are no short values.
            sized: how many bytes of length follow, by first byte.
        """
        if mask and first & ~mask == fixed:
            return first & mask
        return self._unsigned(sized[first]) if first in sized else None

    def _unsigned(self, width: int) -> int:
        return int.from_bytes(self._take(width), "big")

    def _take(self, count: int) -> bytes:
        if self.file.tell() + count > self.size:
            raise _FormatError(f"it ends after {self.size} bytes, in the middle of a value")
        return self.file.read(count)


def _dtype(name: str) -> np.dtype[np.generic]:
    if name not in _DTYPES:
        raise _FormatError(f"an array has the unknown dtype {quoted(name)}")
    return _DTYPES[name]


def _flatten(node: Node, path: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flatten(value, (*path, key))
        elif not isinstance(value, int):
            yield ".".join((*path, key)), value
