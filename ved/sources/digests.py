"""Compute sha256 digests of files. Each file is read once, however often its digest is needed."""

import hashlib
from functools import lru_cache
from pathlib import Path

_PIECE_BYTES = 16 * 2**20
"""How much is read and hashed at a time. A thread that hashes waits for the one that imports, up to
5 ms for each piece."""


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal.

    The digest is cached by path and status, because pairs share sources.
    """
    status = path.stat()
    # A program can set the time of the last modification, but not that of the last change.
    changes = status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    return _cached_sha256(path, status.st_size, changes)


@lru_cache(maxsize=1024)
def _cached_sha256(path: Path, size: int, changes: tuple[int, ...]) -> str:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(min(size + 1, _PIECE_BYTES)))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
