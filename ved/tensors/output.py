"""A file that is hashed as it is written, and has its name only once it is whole."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ved.interruption import raise_if_interrupted
from ved.tensors.tensor import Array, as_bytes


class HashedFile:
    """What `hashed_file` yields: counts and hashes all that is written to it.

    Attributes:
        size: bytes written so far.
    """

    def __init__(self, file: BinaryIO, pool: Executor) -> None:
        self._file = file
        self._pool = pool
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes, unless the process is told to stop: nobody waits for the rest then."""
        raise_if_interrupted()
        hashed = self._pool.submit(self._hash.update, data)
        written = 0
        while written < len(data):
            written += self._file.write(data[written:])
        hashed.result()
        self.size += len(data)

    def write_all(self, pieces: Iterable[bytes | Array]) -> None:
        """Append bytes and the elements of contiguous arrays, as they lie in memory."""
        source = iter(pieces)
        upcoming = self._pool.submit(next, source, None)
        while (piece := upcoming.result()) is not None:
            upcoming = self._pool.submit(next, source, None)
            self.write(piece if isinstance(piece, bytes) else as_bytes(piece))

    @property
    def sha256(self) -> str:
        """The digest of all that was written, in hexadecimal."""
        return self._hash.hexdigest()


@contextmanager
def hashed_file(path: Path) -> Iterator[HashedFile]:
    """Open a file for writing; it appears under its name when the block ends without an error.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        # Making the next piece, hashing this one and writing it each take a processor's time, so
        # they go side by side.
        with ThreadPoolExecutor(2) as pool, temporary.open("wb", buffering=0) as file:
            yield HashedFile(file, pool)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
