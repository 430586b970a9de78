"""Write a file, hash it meanwhile, and give it its name when it is complete."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ved.interruption import raise_if_interrupted
from ved.tensors.tensor import BLOCK_BYTES, Array, as_bytes


class HashedFile:
    """An open file that counts and hashes the bytes written to it; see `hashed_file`.

    Args:
        file: the file, without a buffer.
        pool: the thread that hashes what another one writes.

    Attributes:
        size: the bytes written so far.
    """

    def __init__(self, file: BinaryIO, pool: Executor) -> None:
        self._file = file
        self._pool = pool
        self._hash = hashlib.sha256()
        self.size = 0

    def write_all(self, pieces: Iterable[bytes | Array]) -> None:
        """Append bytes, and the elements of contiguous arrays as they are in memory.

        Raises:
            KeyboardInterrupt: the process was interrupted.
            OSError: the file cannot be written.
        """
        hashed = self._pool.submit(self._update_hash, [])
        for batch in _batches(pieces):
            raise_if_interrupted()
            hashed.result()
            hashed = self._pool.submit(self._update_hash, batch)
            for data in batch:
                written = 0
                while written < len(data):
                    written += self._file.write(data[written:])
                self.size += len(data)
        hashed.result()

    def _update_hash(self, batch: Iterable[memoryview]) -> None:
        for data in batch:
            self._hash.update(data)

    @property
    def sha256(self) -> str:
        """The digest of the bytes written so far, in hexadecimal."""
        return self._hash.hexdigest()


def _batches(pieces: Iterable[bytes | Array]) -> Iterator[list[memoryview]]:
    """Yield some pieces at a time: a hand-over to another thread takes longer than a small one."""
    batch, size = list[memoryview](), 0
    for piece in pieces:
        batch.append(memoryview(piece) if isinstance(piece, bytes) else as_bytes(piece))
        size += len(batch[-1])
        if size >= BLOCK_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


@contextmanager
def hashed_file(path: Path) -> Iterator[HashedFile]:
    """Open a file for writing, under a temporary name until the block ends without an error.

    Yields:
        The open file.

    Raises:
        OSError: the file cannot be written. The temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        # Hashing takes as long as computing and writing together, so two threads share the work.
        with ThreadPoolExecutor(1) as pool, temporary.open("wb", buffering=0) as file:
            yield HashedFile(file, pool)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
