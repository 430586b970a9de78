"""Tensors yield blocks of bounded size that together are the whole."""

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from ved.errors import ErrorCode, VedError
from ved.tensors import tensor as tensors
from ved.tensors.tensor import (
    Cast,
    LazyTensor,
    StoredTensor,
    Tensor,
    Transposed,
    as_bytes,
    have_same_values,
    nbytes,
    read,
)

# Shape, dtype and block size in bytes. Blocks hold one element, or end inside a row or a plane.
STORED: list[tuple[tuple[int, ...], Any, int]] = [
    ((), np.float32, 8),
    ((1,), np.float64, 8),
    ((0,), np.bool_, 100),
    ((7,), ml_dtypes.bfloat16, 8),
    ((64,), np.float64, 100),
    ((64,), np.float32, 2**20),
    ((5, 3), np.float32, 24),
    ((5, 3), np.bool_, 8),
    ((3, 0, 2), ml_dtypes.bfloat16, 24),
    ((0, 4), np.float64, 2**20),
    ((2, 3, 5, 7), np.float32, 100),
    ((2, 3, 5, 7), np.float64, 24),
    ((2, 3, 5, 7), ml_dtypes.bfloat16, 2**20),
]
TRANSPOSED: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [
    ((5, 3), (1, 0), 8),
    ((5, 3), (1, 0), 24),
    ((1, 64), (1, 0), 100),
    ((64, 70), (1, 0), 2**20),
    ((3, 0), (1, 0), 24),
    ((0, 3), (1, 0), 8),
    ((2, 3, 5, 7), (2, 3, 1, 0), 100),
    ((2, 3, 5, 7), (3, 2, 0, 1), 8),
    ((2, 3, 5, 7), (3, 2, 0, 1), 2**20),
    ((2, 3, 0, 7), (2, 3, 1, 0), 24),
    ((2, 3, 5), (0, 1, 2), 100),
]


def array_of(shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
    return np.arange(prod(shape)).reshape(shape).astype(dtype)


def stored(directory: Path, array: NDArray[Any]) -> StoredTensor:
    """Write an array between other bytes, and return it as a tensor."""
    directory.mkdir(exist_ok=True)
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


@pytest.mark.parametrize(("shape", "dtype", "block_bytes"), STORED)
def test_stored_tensor_reads_the_array_in_bounded_blocks(
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


@pytest.mark.parametrize(("shape", "axes", "block_bytes"), TRANSPOSED)
def test_transposed_reads_as_numpys_transpose_in_bounded_blocks(
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    block_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
    array = array_of(shape)
    transposed = Transposed(stored(tmp_path, array), axes)
    assert_reads_as(transposed, np.ascontiguousarray(array.transpose(axes)))
    row_bytes = transposed.dtype.itemsize * prod(transposed.shape[1:])
    assert all(block.nbytes <= max(block_bytes, row_bytes) for block in transposed.blocks())


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64, np.float32])
def test_cast_rounds_like_numpy(
    dtype: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensors, "BLOCK_BYTES", 24)
    array = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    assert_reads_as(Cast(stored(tmp_path, array), np.dtype(dtype)), array.astype(dtype))


def test_lazy_tensor_is_computed_when_it_is_read() -> None:
    calls = []

    def compute() -> NDArray[Any]:
        calls.append("computed")
        return array_of((5, 3)).T

    lazy = LazyTensor((3, 5), np.dtype(np.float32), compute)
    assert (lazy.shape, nbytes(lazy), calls) == ((3, 5), 60, [])
    np.testing.assert_array_equal(read(lazy), array_of((5, 3)).T)
    assert calls == ["computed"]


def test_tensors_compose(tmp_path: Path) -> None:
    array = array_of((5, 3))
    tensor = Cast(Transposed(stored(tmp_path, array), (1, 0)), np.dtype(np.float16))
    assert_reads_as(tensor, np.ascontiguousarray(array.T).astype(np.float16))


@pytest.mark.parametrize("block_bytes", [8, 24, 100, 2**20])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64, np.int32])
def test_same_values_are_found_in_blocks_of_different_lengths(
    block_bytes: int, dtype: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
    array = np.arange(35).reshape(5, 7).astype(np.float32)
    array[2, 3] = 7 if dtype == np.int32 else np.nan
    one = stored(tmp_path / "one", array)
    other = Transposed(stored(tmp_path / "other", array.T.astype(dtype)), (1, 0))
    assert have_same_values(one, other)
    assert have_same_values(other, one)
    for place in ((0, 0), (2, 4), (4, 6)):
        changed = array.copy()
        changed[place] += 1
        assert not have_same_values(stored(tmp_path / "changed", changed), other)


def test_same_values_need_the_same_shape(tmp_path: Path) -> None:
    one, other = array_of((5, 3)), array_of((3, 5))
    assert not have_same_values(stored(tmp_path / "one", one), stored(tmp_path / "other", other))


def test_same_values_of_one_place_are_not_read(tmp_path: Path) -> None:
    one = stored(tmp_path / "one", array_of((5, 3)))
    one.path.unlink()
    assert have_same_values(one, replace(one))


@pytest.mark.parametrize("left", [0, 6, 7, 65])
def test_stored_tensor_of_a_truncated_file_is_damaged(left: int, tmp_path: Path) -> None:
    tensor = stored(tmp_path, array_of((5, 3)))
    with tensor.path.open("r+b") as file:
        file.truncate(left)
    with pytest.raises(VedError) as caught:
        read(tensor)
    assert caught.value.code == ErrorCode.DAMAGED_SOURCE


def test_stored_tensor_of_a_missing_file_raises_os_error(tmp_path: Path) -> None:
    tensor = stored(tmp_path, array_of((5, 3)))
    tensor.path.unlink()
    with pytest.raises(FileNotFoundError):
        read(tensor)
