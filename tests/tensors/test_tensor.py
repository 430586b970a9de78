"""Tensors come in blocks of bounded size that add up to the whole."""

from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from ved.tensors import tensor as tensors
from ved.tensors.tensor import (
    Cast,
    LazyTensor,
    StoredTensor,
    Tensor,
    Transposed,
    as_bytes,
    nbytes,
    read,
)

SHAPES: list[tuple[int, ...]] = [
    (),
    (1,),
    (0,),
    (7,),
    (64,),
    (5, 3),
    (3, 0, 2),
    (0, 4),
    (2, 3, 5, 7),
]
BLOCKS = [8, 24, 100, 2**20]


def array_of(shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
    return np.arange(prod(shape)).reshape(shape).astype(dtype)


def stored(directory: Path, array: NDArray[Any]) -> StoredTensor:
    """Write an array between other bytes."""
    path = directory / "file"
    path.write_bytes(b"before" + array.tobytes() + b"after")
    return StoredTensor(path, 6, array.shape, array.dtype)


def assert_reads_as(tensor: Tensor, expected: NDArray[Any]) -> None:
    actual = read(tensor)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    assert (tensor.dtype, tensor.shape) == (expected.dtype, expected.shape)
    assert actual.tobytes() == expected.tobytes()
    assert nbytes(tensor) == expected.nbytes
    blocks = list(tensor.blocks())
    assert all(block.ndim == 1 and block.flags.c_contiguous for block in blocks)
    assert b"".join(as_bytes(block) for block in blocks) == expected.tobytes()


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16, np.bool_])
@pytest.mark.parametrize("shape", SHAPES)
def test_stored_tensor_is_the_array_whatever_the_blocks(
    shape: tuple[int, ...],
    dtype: Any,
    block_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
    array = array_of(shape, dtype)
    tensor = stored(tmp_path, array)
    assert_reads_as(tensor, array)
    assert all(block.nbytes <= block_bytes for block in tensor.blocks())


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((5, 3), (1, 0)),
        ((1, 64), (1, 0)),
        ((3, 0), (1, 0)),
        ((0, 3), (1, 0)),
        ((2, 3, 5, 7), (2, 3, 1, 0)),
        ((2, 3, 5, 7), (3, 2, 0, 1)),
        ((2, 3, 0, 7), (2, 3, 1, 0)),
        ((2, 3, 5), (0, 1, 2)),
    ],
)
def test_transposed_tensor_is_numpys_transpose_whatever_the_blocks(
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    block_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
    array = array_of(shape)
    turned = Transposed(stored(tmp_path, array), axes)
    assert_reads_as(turned, np.ascontiguousarray(array.transpose(axes)))
    row_bytes = turned.dtype.itemsize * prod(turned.shape[1:])
    assert all(block.nbytes <= max(block_bytes, row_bytes) for block in turned.blocks())


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64, np.float32])
def test_cast_tensor_is_rounded_as_numpy_rounds(
    dtype: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensors, "BLOCK_BYTES", 24)
    array = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    assert_reads_as(Cast(stored(tmp_path, array), np.dtype(dtype)), array.astype(dtype))


def test_lazy_tensor_is_made_at_each_reading_and_not_before() -> None:
    calls = []

    def make() -> NDArray[Any]:
        calls.append("made")
        return array_of((5, 3)).T

    lazy = LazyTensor((3, 5), np.dtype(np.float32), make)
    assert (lazy.shape, nbytes(lazy), calls) == ((3, 5), 60, [])
    np.testing.assert_array_equal(read(lazy), array_of((5, 3)).T)
    assert calls == ["made"]


def test_tensor_made_of_others_may_be_nested(tmp_path: Path) -> None:
    array = array_of((5, 3))
    tensor = Cast(Transposed(stored(tmp_path, array), (1, 0)), np.dtype(np.float16))
    assert_reads_as(tensor, np.ascontiguousarray(array.T).astype(np.float16))


@pytest.mark.parametrize("left", [0, 6, 7, 65])
def test_file_that_shrank_is_an_error(left: int, tmp_path: Path) -> None:
    tensor = stored(tmp_path, array_of((5, 3)))
    with tensor.path.open("r+b") as file:
        file.truncate(left)
    with pytest.raises(OSError, match="file ends in the middle of a tensor"):
        read(tensor)


def test_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    tensor = stored(tmp_path, array_of((5, 3)))
    tensor.path.unlink()
    with pytest.raises(FileNotFoundError):
        read(tensor)
