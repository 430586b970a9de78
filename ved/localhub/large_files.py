"""LFS objects: where a repo stores them, and the pointers that git stores instead."""

import re
from dataclasses import dataclass
from pathlib import Path

from ved.localhub import errors
from ved.localhub.payloads import AddLfsFile

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize ([0-9]+)\n"
)


@dataclass(frozen=True)
class Pointer:
    """An LFS pointer: the file that git stores instead of a large file.

    Format: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md

    Attributes:
        sha256: the SHA-256 of the large file, in hexadecimal.
        size: its size in bytes.
    """

    sha256: str
    size: int

    def to_bytes(self) -> bytes:
        """Return the content of the pointer file."""
        return (
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{self.sha256}\nsize {self.size}\n"
        ).encode()

    @classmethod
    def parse(cls, content: bytes) -> "Pointer | None":
        """Return the pointer in a file, or None if the file is not exactly a pointer."""
        match = _POINTER.fullmatch(content)
        return cls(match[1].decode(), int(match[2])) if match else None


def object_path(repository: Path, sha256: str) -> Path:
    """Return the path of an LFS object. A file there is complete.

    The SHA-256 may be that of other bytes, as on the real Hub. The layout is that of git-lfs.
    """
    return repository / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256


def stored_pointer(repository: Path, file: AddLfsFile) -> Pointer:
    """Return the pointer to an LFS object that was uploaded.

    Raises:
        HubError: 400, the object is missing or has another size.
    """
    try:
        size = object_path(repository, file.oid).stat().st_size
    except FileNotFoundError:
        raise errors.bad_request(f"LFS object {file.oid} of {file.path} is missing") from None
    if file.size not in (None, size):
        raise errors.bad_request(f"{file.path} has {size} bytes, not {file.size}")
    return Pointer(file.oid, size)


def store_object(repository: Path, upload: Path, sha256: str) -> None:
    """Move a complete upload to the path of its LFS object.

    Args:
        repository: the folder of the repo.
        upload: the upload.
        sha256: the SHA-256 of the object, which is not compared.
    """
    target = object_path(repository, sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    upload.rename(target)
