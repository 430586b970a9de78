"""hashed_file hashes what it writes, and names a file only when it is complete."""

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ved.tensors.output import hashed_file
from ved.tensors.tensor import BLOCK_BYTES, Array

PIECES = [b"", b"a", bytes(range(256)) * (BLOCK_BYTES // 200), b"b" * BLOCK_BYTES, b"the end"]
"""Small ones, and those that are written alone."""


def test_hashed_file_has_size_and_digest_of_the_file(tmp_path: Path) -> None:
    with hashed_file(tmp_path / "weights") as file:
        file.write_all(PIECES[:3])
        file.write_all(PIECES[3:])
    assert (tmp_path / "weights").read_bytes() == b"".join(PIECES)
    assert file.size == len(b"".join(PIECES))
    assert file.sha256 == hashlib.sha256(b"".join(PIECES)).hexdigest()


def test_write_all_writes_the_memory_of_arrays(tmp_path: Path) -> None:
    arrays: list[Array] = [
        np.arange(6, dtype=np.float32),
        np.ones(3, np.float16),
        np.empty(0, np.int64),
    ]
    with hashed_file(tmp_path / "weights") as file:
        file.write_all([b"", *arrays])
    expected = b"".join(array.tobytes() for array in arrays)
    assert (tmp_path / "weights").read_bytes() == expected
    assert file.size == len(expected)
    assert file.sha256 == hashlib.sha256(expected).hexdigest()


def test_hashed_file_gets_its_name_at_the_end(tmp_path: Path) -> None:
    with hashed_file(tmp_path / "weights") as file:
        file.write_all([b"half"])
        assert not (tmp_path / "weights").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def write_and_fail(path: Path, error: BaseException) -> None:
    with hashed_file(path) as file:
        file.write_all([b"half"])
        raise error


@pytest.mark.parametrize("error", [OSError("full"), ValueError("wrong"), KeyboardInterrupt()])
def test_hashed_file_leaves_nothing_after_an_error(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        write_and_fail(tmp_path / "weights", error)
    assert list(tmp_path.iterdir()) == []


def test_hashed_file_keeps_the_older_file_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"before")
    with pytest.raises(OSError, match="full"):
        write_and_fail(tmp_path / "weights", OSError("full"))
    (left,) = tmp_path.iterdir()
    assert (left.name, left.read_bytes()) == ("weights", b"before")


def test_hashed_file_in_a_missing_directory_raises_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), hashed_file(tmp_path / "nowhere" / "weights"):
        pass


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Limit the size of files: as on a full disk, a write is partial and the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_pieces(path: Path, sizes: list[int]) -> None:
    with hashed_file(path) as file:
        file.write_all(b"x" * size for size in sizes)


@pytest.mark.parametrize("sizes", [[1500], [1000, 500], [500, 1000]])
def test_hashed_file_on_a_full_disk_raises_os_error(sizes: list[int], tmp_path: Path) -> None:
    with files_of_at_most(1000), pytest.raises(OSError, match="File too large"):
        write_pieces(tmp_path / "weights", sizes)
    assert list(tmp_path.iterdir()) == []
