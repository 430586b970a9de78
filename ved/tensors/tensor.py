"""Tensors that are read in blocks, so that no model is ever in memory as a whole.

A `Tensor` is anything with a shape, a dtype and `blocks()`. `StoredTensor` reads a file, and
`Transposed` and `Cast` wrap another tensor, so a conversion is a composition:

    Cast(Transposed(StoredTensor(path, offset, (3072, 768), float32), (1, 0)), bfloat16)

reads, transposes and rounds a kernel when its blocks are written.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import ml_dtypes
import numpy as np

from ved.errors import ErrorCode, VedError

BLOCK_BYTES = 2**20
"""The largest block of a tensor, in bytes. Blocks are read, hashed and written one by one; this
size fits into the cache of a processor, which halves the time."""

TILE = 16
"""How many columns are transposed at a time. More would miss the processor's cache."""

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
"""A numpy array of any shape and dtype."""

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "float32": np.dtype(np.float32),
    "bfloat16": BFLOAT16,
    "float16": np.dtype(np.float16),
}
"""The dtypes that a manifest can ask for, by name."""

FLOATING = (*DTYPES.values(), np.dtype(np.float64))
"""The dtypes that a parameter can have."""


class Shaped(Protocol):
    """A shape and a dtype, such as `jax.ShapeDtypeStruct`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions, outermost first."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The dtype of the elements."""
        ...


class Tensor(Shaped, Protocol):
    """A shape, a dtype, and elements that are read in order."""

    def blocks(self) -> Iterator[Array]:
        """Yield the elements in row-major order, in contiguous arrays of shape (elements,)."""
        ...


def as_bytes(block: Array) -> memoryview:
    """Return the memory of a contiguous array as bytes, without a copy."""
    return memoryview(block.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def nbytes(tensor: Shaped) -> int:
    """Return the size of a tensor's elements, in bytes."""
    return prod(tensor.shape) * tensor.dtype.itemsize


def read(tensor: Tensor) -> Array:
    """Return the whole tensor as an array of the same shape and dtype."""
    if isinstance(tensor, StoredTensor):
        return tensor.read()
    flat = np.empty(prod(tensor.shape), tensor.dtype)
    position = 0
    for block in tensor.blocks():
        flat[position : position + block.size] = block
        position += block.size
    return flat.reshape(tensor.shape)


def have_same_values(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same shape and the same numbers, in whatever dtypes."""
    if one == other:  # such as two names of one place in a file
        return True
    if one.shape != other.shape:
        return False
    # The blocks of two tensors may have different lengths.
    others = other.blocks()
    rest: Array = np.empty(0)
    for block in one.blocks():
        while rest.size < block.size:
            rest = np.concatenate((rest, next(others).astype(np.float64)))
        expected, rest = rest[: block.size], rest[block.size :]
        if not np.array_equal(block.astype(np.float64), expected, equal_nan=True):
            return False
    return True


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file, as row-major little-endian elements.

    The file is not memory-mapped: if it is truncated while it is read, a read raises an error, but
    a mapping would kill the process.

    Attributes:
        path: the file.
        offset: where the elements begin, in bytes from the start of the file.
        shape: the dimensions, outermost first.
        dtype: the dtype of the elements.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def blocks(self) -> Iterator[Array]:
        """Yield the elements in row-major order; see `Tensor.blocks`.

        Raises:
            VedError: the file ends inside the tensor.
            OSError: the file cannot be read.
        """
        step = BLOCK_BYTES // self.dtype.itemsize
        total = prod(self.shape)
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            for start in range(0, total, step):
                block = np.empty(min(step, total - start), self.dtype)
                _read_exactly(file.fileno(), as_bytes(block), self.path)
                yield block

    def read(self) -> Array:
        """Return the whole tensor; raises the errors of `blocks`."""
        array = np.empty(self.shape, self.dtype)
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            _read_exactly(file.fileno(), as_bytes(array), self.path)
        return array


def _read_exactly(descriptor: int, buffer: memoryview, path: Path) -> None:
    done = 0
    while done < len(buffer):
        count = os.readv(descriptor, [buffer[done:]])
        if count == 0:
            raise VedError(
                f"{path.name} ends in the middle of a tensor.",
                "Download it again; if that does not help, the source itself is damaged.",
                code=ErrorCode.DAMAGED_SOURCE,
            )
        done += count


@dataclass(frozen=True)
class Transposed:
    """A tensor with its axes in another order.

    Attributes:
        source: the original tensor.
        axes: the axes of the source in their new order, as for `numpy.transpose`.
    """

    source: Tensor
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions, outermost first."""
        return tuple(self.source.shape[axis] for axis in self.axes)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The dtype of the elements."""
        return self.source.dtype

    def blocks(self) -> Iterator[Array]:
        """Yield the elements in row-major order; the whole source is in memory meanwhile."""
        transposed = read(self.source).transpose(self.axes)
        row_bytes = max(1, nbytes(self) // max(1, self.shape[0]))
        step = max(1, BLOCK_BYTES // row_bytes)
        for start in range(0, self.shape[0], step):
            rows = transposed[start : start + step]
            block = np.empty(rows.shape, rows.dtype)
            for column in range(0, self.shape[-1], TILE):
                block[..., column : column + TILE] = rows[..., column : column + TILE]
            yield block.reshape(-1)


@dataclass(frozen=True)
class Cast:
    """A tensor with its elements rounded to another dtype.

    Attributes:
        source: the original tensor.
        dtype: the new dtype.
        name: the name of the tensor, for the error.
    """

    source: Tensor
    dtype: np.dtype[np.generic]
    name: str = "a tensor"

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions, outermost first."""
        return self.source.shape

    def blocks(self) -> Iterator[Array]:
        """Yield the elements in row-major order; see `Tensor.blocks`.

        Raises:
            VedError: a number is too large for the dtype and would become infinite.
        """
        for block in self.source.blocks():
            try:
                with np.errstate(over="raise"):
                    converted = block.astype(self.dtype, copy=False)
            except FloatingPointError as error:
                raise VedError(
                    f"A number in {self.name} is too large for {self.dtype.name}.",
                    "Use dtype: float32, or bfloat16, which has the same range.",
                    code=ErrorCode.NUMBER_TOO_LARGE,
                ) from error
            yield converted


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is computed each time it is read, such as a newly initialized parameter.

    Attributes:
        shape: the dimensions, outermost first.
        dtype: the dtype of the elements.
        compute: returns the array.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    compute: Callable[[], Array]

    def blocks(self) -> Iterator[Array]:
        """Yield the elements in row-major order; see `Tensor.blocks`."""
        yield np.ascontiguousarray(self.compute()).reshape(-1)
