"""A file that is hashed as it is written has its name once it is whole, or leaves nothing."""

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ved.tensors.output import hashed_file
from ved.tensors.tensor import Array

PIECES = [b"", b"a", bytes(range(256)) * 5, b"the end"]


def test_size_and_digest_are_those_of_the_file(tmp_path: Path) -> None:
    with hashed_file(tmp_path / "weights") as file:
        for piece in PIECES:
            file.write(piece)
    assert (tmp_path / "weights").read_bytes() == b"".join(PIECES)
    assert file.size == len(b"".join(PIECES))
    assert file.sha256 == hashlib.sha256(b"".join(PIECES)).hexdigest()


def test_arrays_are_written_as_they_lie_in_memory(tmp_path: Path) -> None:
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


def test_name_appears_when_the_file_is_whole(tmp_path: Path) -> None:
    with hashed_file(tmp_path / "weights") as file:
        file.write(b"half")
        assert not (tmp_path / "weights").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def write_and_fail(path: Path, error: BaseException) -> None:
    with hashed_file(path) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("error", [OSError("full"), ValueError("wrong"), KeyboardInterrupt()])
def test_nothing_is_left_behind_on_an_error(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        write_and_fail(tmp_path / "weights", error)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_stays_on_an_error(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"before")
    with pytest.raises(OSError, match="full"):
        write_and_fail(tmp_path / "weights", OSError("full"))
    (left,) = tmp_path.iterdir()
    assert (left.name, left.read_bytes()) == ("weights", b"before")


def test_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), hashed_file(tmp_path / "nowhere" / "weights"):
        pass


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Have the system take no more bytes than these, as a full disk does: some, then an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_pieces(path: Path, sizes: list[int]) -> None:
    with hashed_file(path) as file:
        for size in sizes:
            file.write(b"x" * size)


@pytest.mark.parametrize("sizes", [[1500], [1000, 500], [500, 1000]])
def test_disk_that_is_full_is_an_error_and_not_a_short_file(
    sizes: list[int], tmp_path: Path
) -> None:
    with files_of_at_most(1000), pytest.raises(OSError, match="File too large"):
        write_pieces(tmp_path / "weights", sizes)
    assert list(tmp_path.iterdir()) == []
