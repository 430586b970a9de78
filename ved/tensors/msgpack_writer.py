"""Write tensors as Flax's msgpack files, as a stream; `ved.tensors.msgpack` has the format."""

import json
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from ved.tensors.msgpack import ARRAY_EXTENSION, BYTES, CHUNKED, EXTENSION, FIXED_EXTENSION
from ved.tensors.output import HashedFile, hashed_file
from ved.tensors.tensor import Array, Tensor, nbytes

CHUNK_BYTES = 2**30
"""Flax splits larger arrays into chunks of this size."""

SHARD_BYTES = 10 * 10**9
"""transformers splits larger checkpoints into files of at most this size."""

Tensors = Mapping[tuple[str, ...], Tensor]
"""Tensors by path, one key for each level of the maps."""

_PACKER = msgpack.Packer()


def write(path: Path, tensors: Tensors, shard_bytes: int = SHARD_BYTES) -> dict[str, HashedFile]:
    """Write tensors like transformers' `save_pretrained`, but with the keys of every map sorted.

    Tensors of more than `shard_bytes` are split into several files and an index, like those of
    transformers' `flax_shard_checkpoint`.

    Args:
        path: the file. It, or each shard, gets its name when it is complete.
        tensors: the tensors by path.
        shard_bytes: the largest size of the tensors in one file, in bytes.

    Returns:
        The written weight files, by name.

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
    """Yield the bytes and arrays that Flax writes for a node."""
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
    # The keys are in Flax's order and not sorted, because Flax splits arrays after sorting.
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
    """Return the bytes of an array that come before its elements."""
    size = prod(shape) * dtype.itemsize
    header = _PACKER.pack_array_header(3) + _PACKER.pack(shape) + _PACKER.pack(dtype.name)
    header += _sized(BYTES, size)
    length = len(header) + size
    fixed = [first for first, fits in FIXED_EXTENSION.items() if fits == length]
    kind = bytes(fixed) if fixed else _sized(EXTENSION, length)
    return bytes(kind + bytes([ARRAY_EXTENSION]) + header)


def _sized(types: Mapping[int, int], length: int) -> bytes:
    """Return the first byte of the smallest type that can hold `length`, and the length."""
    first, width = next(item for item in types.items() if length < 256 ** item[1])
    return bytes([first]) + length.to_bytes(width, "big")
