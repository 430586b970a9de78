"""Compute sha256 digests of files. Each file is read once, however often its digest is needed."""

import hashlib
from functools import lru_cache
from pathlib import Path


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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
