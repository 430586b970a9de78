"""Flax's msgpack files: where each tensor lies, without reading it, and writing them as a stream.

The format is `flax.serialization`'s: nested maps (https://github.com/msgpack/msgpack, spec.md)
whose leaves are extension type 1 around (shape, dtype name, row-major bytes). Arrays above 2**30
bytes are a map of `__msgpack_chunked_array__`, `shape` and `chunks`, the latter two numbered
from "0".
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import msgpack
import numpy as np

from ved.errors import ErrorCode, VedError
from ved.tensors import safetensors
from ved.tensors.output import HashedFile, hashed_file
from ved.tensors.tensor import Array, StoredTensor, Tensor, nbytes

CHUNKED = "__msgpack_chunked_array__"
MAXIMUM_DEPTH = 64
CHUNK_BYTES = 2**30
SHARD_BYTES = 10 * 10**9
ARRAY_EXTENSION = 1
SCALAR_EXTENSION = 3

Tensors = Mapping[tuple[str, ...], Tensor]
Node = dict[str, "Node | Tensor | int"]

# First byte of each kind that Flax writes: how many bytes of length follow it. Shorter ones hold
# their length in the first byte itself.
_MAP = {0xDE: 2, 0xDF: 4}
_STRING = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_ARRAY = {0xDC: 2, 0xDD: 4}
_UNSIGNED = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_EXTENSION = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSION = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_TRUE = 0xC3

_PACKER = msgpack.Packer()
_DTYPES = {dtype.name: dtype for dtype in safetensors.DTYPES.values()}


@dataclass(frozen=True)
class ChunkedTensor:
    """A tensor that lies in a file as several runs of elements, one after the other."""

    shape: tuple[int, ...]
    chunks: tuple[StoredTensor, ...]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The type of its elements."""
        return self.chunks[0].dtype

    def blocks(self) -> Iterator[Array]:
        """Yield its elements in row-major order; see `ved.tensors.tensor.Tensor.blocks`."""
        return chain.from_iterable(chunk.blocks() for chunk in self.chunks)


def read_index(path: Path) -> dict[str, Tensor]:
    """Return the file's tensors by name, the keys on the way to each joined by dots.

    Raises:
        VedError: the file is not what `flax.serialization.to_bytes` writes, or is cut short.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return index_of(path, file)


def index_of(path: Path, file: BinaryIO) -> dict[str, Tensor]:
    """Return what `read_index` does, of a file that is open already; its position may be any."""
    try:
        reader = _Reader(path, file)
        tree = reader.value(0)
        if file.tell() != reader.size:
            raise _FormatError(f"it goes on after byte {file.tell()}, where its value ends")
    except (_FormatError, UnicodeDecodeError) as error:
        raise VedError(
            f"{path.name} is not a Flax checkpoint: {error}.",
            "Download it again; if that does not help, the source itself is damaged.",
            code=ErrorCode.DAMAGED_SOURCE,
        ) from error
    return dict(_flatten(tree, ())) if isinstance(tree, dict) else {}


class _FormatError(Exception):
    """The bytes are not what Flax writes."""


class _Reader:
    """Walks the file from value to value; seeks over the tensors' elements."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)

    def value(self, depth: int) -> "Node | Tensor | int":
        first = self._unsigned(1)
        if depth > MAXIMUM_DEPTH:
            raise _FormatError(f"its maps are nested more than {MAXIMUM_DEPTH} deep")
        if first <= 0x7F or first in _UNSIGNED:
            return self._number(first)
        if first == _TRUE:
            return 1
        if first in _EXTENSION or first in _FIXED_EXTENSION:
            return self._tensor(first)
        count = self._length(first, 0x80, 0x0F, _MAP)
        if count is None:
            raise _FormatError(f"byte {self.file.tell() - 1} begins a value that Flax never writes")
        node: Node = {}
        for _ in range(count):
            key = self._string()
            node[key] = self.value(depth + 1)
        return self._chunked(node) if CHUNKED in node else node

    def _tensor(self, first: int) -> StoredTensor:
        length = _FIXED_EXTENSION.get(first) or self._unsigned(_EXTENSION[first])
        if self._unsigned(1) not in (ARRAY_EXTENSION, SCALAR_EXTENSION):
            raise _FormatError("it holds an extension type that is not an array")
        end = self.file.tell() + length
        if self._length(self._unsigned(1), 0x90, 0x0F, _ARRAY) != 3:
            raise _FormatError("an array lacks its shape, dtype or elements")
        rank = self._length(self._unsigned(1), 0x90, 0x0F, _ARRAY)
        shape = tuple(self._number(self._unsigned(1)) for _ in range(rank or 0))
        dtype = _dtype(self._string())
        stored = self._length(self._unsigned(1), 0, 0, _BYTES)
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
        return self._take(length).decode()

    def _number(self, first: int) -> int:
        if first <= 0x7F:
            return first
        if first in _UNSIGNED:
            return self._unsigned(_UNSIGNED[first])
        raise _FormatError("a size is not a whole number")

    def _length(self, first: int, fixed: int, mask: int, sized: dict[int, int]) -> int | None:
        """Return the length that `first` announces, or None if it begins another kind."""
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
        raise _FormatError(f"an array has the dtype {name!r}, which VED does not read")
    return _DTYPES[name]


def _flatten(node: Node, path: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flatten(value, (*path, key))
        elif not isinstance(value, int):
            yield ".".join((*path, key)), value


def write(path: Path, tensors: Tensors, shard_bytes: int = SHARD_BYTES) -> dict[str, HashedFile]:
    """Write tensors as `save_pretrained` does, with the keys of every map sorted.

    Tensors of more than `shard_bytes` together become several files and an index, which
    transformers' `flax_shard_checkpoint` describes.

    Args:
        path: the file; it, or each of its shards, appears under its name once it is whole.
        tensors: each under its path, a key a level.

    Returns:
        size and sha256 of every weight file, by name.

    Raises:
        OSError: a file cannot be written, or a tensor cannot be read.
    """
    shards = _shards({keys: tensors[keys] for keys in sorted(tensors)}, shard_bytes)
    if len(shards) == 1:
        return {path.name: _write_file(path, shards[0])}
    names = [
        f"{path.stem}-{number:05d}-of-{len(shards):05d}{path.suffix}"
        for number in range(1, len(shards) + 1)
    ]
    by_name = dict(zip(names, shards, strict=True))
    index = {
        "metadata": {"total_size": sum(map(nbytes, tensors.values()))},
        "weight_map": {"/".join(keys): name for name, shard in by_name.items() for keys in shard},
    }
    content = json.dumps(index, indent=2, sort_keys=True) + "\n"
    path.with_name(f"{path.name}.index.json").write_text(content)
    return {name: _write_file(path.with_name(name), shard) for name, shard in by_name.items()}


def _shards(tensors: Tensors, shard_bytes: int) -> list[Tensors]:
    shards: list[dict[tuple[str, ...], Tensor]] = [{}]
    size = 0
    for keys, tensor in tensors.items():
        if size + nbytes(tensor) > shard_bytes and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][keys] = tensor
        size += nbytes(tensor)
    return list(shards)


def _write_file(path: Path, tensors: Tensors) -> HashedFile:
    tree: dict[str, Any] = {}
    for keys, tensor in tensors.items():
        node = tree
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = tensor
    with hashed_file(path) as file:
        file.write_all(_node(tree))
    return file


def _node(node: "dict[str, Any] | Tensor") -> Iterator[bytes | Array]:
    """Yield what Flax writes of a node, in pieces."""
    if not isinstance(node, dict):
        yield from _tensor(node)
        return
    yield _PACKER.pack_map_header(len(node))
    for key in sorted(node):
        yield _PACKER.pack(key)
        yield from _node(node[key])


def _tensor(tensor: Tensor) -> Iterator[bytes | Array]:
    total = prod(tensor.shape)
    if nbytes(tensor) <= CHUNK_BYTES:
        yield _array_header(tensor.shape, tensor.dtype)
        yield from tensor.blocks()
        return
    # These keys come in Flax's order, not sorted: it chunks after the tree has its order.
    step = CHUNK_BYTES // tensor.dtype.itemsize
    sizes = {str(axis): size for axis, size in enumerate(tensor.shape)}
    yield _PACKER.pack_map_header(3) + _PACKER.pack(CHUNKED) + _PACKER.pack(True)
    yield _PACKER.pack("shape") + _PACKER.pack(sizes)
    yield _PACKER.pack("chunks") + _PACKER.pack_map_header(-(-total // step))
    blocks = tensor.blocks()
    rest = next(blocks)
    for number, start in enumerate(range(0, total, step)):
        missing = min(step, total - start)
        yield _PACKER.pack(str(number)) + _array_header((missing,), tensor.dtype)
        while missing:
            rest = rest if rest.size else next(blocks)
            yield rest[:missing]
            missing, rest = missing - min(missing, rest.size), rest[missing:]


def _array_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return all of an array but its elements."""
    size = prod(shape) * dtype.itemsize
    header = _PACKER.pack_array_header(3) + _PACKER.pack(shape) + _PACKER.pack(dtype.name)
    header += _sized(_BYTES, size)
    length = len(header) + size
    fixed = [first for first, fits in _FIXED_EXTENSION.items() if fits == length]
    kind = bytes(fixed) if fixed else _sized(_EXTENSION, length)
    return bytes(kind + bytes([ARRAY_EXTENSION]) + header)


def _sized(kinds: Mapping[int, int], length: int) -> bytes:
    """Return the first byte of the smallest kind that can hold `length`, and the length."""
    first, width = next(item for item in kinds.items() if length < 256 ** item[1])
    return bytes([first]) + length.to_bytes(width, "big")
