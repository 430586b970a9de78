"""A tensor as something to be read in pieces, so that no model is ever wholly in memory."""

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
"""How much of a tensor is read, hashed and written at a time: little enough for the processor's
cache, where it costs half of what it costs from memory."""

TILE = 32
"""How many rows are turned at a time; whole ones would miss the cache at every element."""

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "float32": np.dtype(np.float32),
    "bfloat16": BFLOAT16,
    "float16": np.dtype(np.float16),
}
"""The dtypes that a checkpoint can be asked for in, by name."""

FLOATING = (*DTYPES.values(), np.dtype(np.float64))
"""The dtypes that a parameter can have."""


class Tensor(Protocol):
    """Anything that has a shape, a dtype, and elements that can be read in order."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions, outermost first."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The type of its elements."""
        ...

    def blocks(self) -> Iterator[Array]:
        """Yield its elements in row-major order, as one-dimensional arrays of bounded size."""
        ...


def as_bytes(block: Array) -> memoryview:
    """Return the memory of a contiguous array, to read from or write to."""
    return memoryview(block.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def nbytes(tensor: Tensor) -> int:
    """Return how many bytes the tensor's elements take."""
    return prod(tensor.shape) * tensor.dtype.itemsize


def read(tensor: Tensor) -> Array:
    """Return the whole tensor as an array of its shape and dtype."""
    flat = np.empty(prod(tensor.shape), tensor.dtype)
    position = 0
    for block in tensor.blocks():
        flat[position : position + block.size] = block
        position += block.size
    return flat.reshape(tensor.shape)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in a file as row-major little-endian elements.

    It is read with plain reads and never mapped: a file that shrinks meanwhile is an error here,
    where a mapping would end the process.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def blocks(self) -> Iterator[Array]:
        """Yield its elements in row-major order; see `Tensor.blocks`.

        Raises:
            OSError: the file cannot be read, or ends before the tensor does.
        """
        step = BLOCK_BYTES // self.dtype.itemsize
        total = prod(self.shape)
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            for start in range(0, total, step):
                block = np.empty(min(step, total - start), self.dtype)
                _read_exactly(file.fileno(), as_bytes(block), self.path)
                yield block


def _read_exactly(descriptor: int, buffer: memoryview, path: Path) -> None:
    done = 0
    while done < len(buffer):
        count = os.readv(descriptor, [buffer[done:]])
        if count == 0:
            raise OSError(f"{path.name} ends in the middle of a tensor")
        done += count


@dataclass(frozen=True)
class Transposed:
    """A tensor with its axes in another order. `axes` is as for `numpy.transpose`."""

    source: Tensor
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions, outermost first."""
        return tuple(self.source.shape[axis] for axis in self.axes)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The type of its elements."""
        return self.source.dtype

    def blocks(self) -> Iterator[Array]:
        """Yield its elements in row-major order; the source is held whole meanwhile."""
        turned = read(self.source).transpose(self.axes)
        row_bytes = max(1, nbytes(self) // max(1, self.shape[0]))
        step = max(1, BLOCK_BYTES // row_bytes)
        for start in range(0, self.shape[0], step):
            rows = turned[start : start + step]
            block = np.empty(rows.shape, rows.dtype)
            for column in range(0, self.shape[-1], TILE):
                block[..., column : column + TILE] = rows[..., column : column + TILE]
            yield block.reshape(-1)


@dataclass(frozen=True)
class Cast:
    """A tensor with its elements converted to another dtype. `name` is for the error."""

    source: Tensor
    dtype: np.dtype[np.generic]
    name: str = "a tensor"

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions, outermost first."""
        return self.source.shape

    def blocks(self) -> Iterator[Array]:
        """Yield its elements in row-major order; see `Tensor.blocks`.

        Raises:
            VedError: a number is too large for the dtype, and would become infinite.
        """
        for block in self.source.blocks():
            try:
                with np.errstate(over="raise"):
                    converted = block.astype(self.dtype, copy=False)
            except FloatingPointError as error:
                raise VedError(
                    f"A number in {self.name} is too large for {self.dtype.name}.",
                    "Use dtype: bfloat16, which has the range of float32, or float32.",
                    code=ErrorCode.NUMBER_TOO_LARGE,
                ) from error
            yield converted


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is made when it is first read, such as a fresh parameter."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    make: Callable[[], Array]

    def blocks(self) -> Iterator[Array]:
        """Yield its elements in row-major order; see `Tensor.blocks`."""
        yield np.ascontiguousarray(self.make()).reshape(-1)
