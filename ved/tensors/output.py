"""A file that is hashed as it is written, and has its name only once it is whole."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ved.tensors.tensor import Array, as_bytes


class HashedFile:
    """What `hashed_file` yields: counts and hashes all that is written to it.

    Attributes:
        size: bytes written so far.
    """

    def __init__(self, file: BinaryIO, hasher: Executor) -> None:
        self._file = file
        self._hasher = hasher
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        hashed = self._hasher.submit(self._hash.update, data)
        written = 0
        while written < len(data):
            written += self._file.write(data[written:])
        hashed.result()
        self.size += len(data)

    def write_array(self, block: Array) -> None:
        """Append the elements of a contiguous array, as they lie in memory."""
        self.write(as_bytes(block))

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
        # Hashing and writing each take a processor's time, so they go side by side.
        with ThreadPoolExecutor(1) as hasher, temporary.open("wb", buffering=0) as file:
            yield HashedFile(file, hasher)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
