"""Compute sha256 digests of files, each file once."""

import hashlib
from functools import lru_cache
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal; a file that pairs share is hashed once."""
    status = path.stat()
    return _cached_sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _cached_sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
