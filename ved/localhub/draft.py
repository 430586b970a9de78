"""The files of a commit that is not stored yet."""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from dulwich.index import (
    validate_path,
    validate_path_element_hfs,
    validate_path_element_ntfs,
)
from dulwich.objects import Blob

from ved.localhub import errors
from ved.localhub.large_files import Pointer
from ved.localhub.patterns import lfs_matcher, literal_lfs_line
from ved.localhub.payloads import AddLfsFile, DeletionLine, FileLine, LfsFileLine, Operation

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


class Draft:
    """The files of a new commit, in memory until all operations have succeeded.

    Args:
        files: the blob ids of the parent's files, by path. The draft changes this dict.
        read_blob: returns the bytes of a stored blob, by its id.

    Attributes:
        files: the blob ids of the new commit's files, by path.
        blobs: the new blobs, by id.
    """

    def __init__(self, files: dict[str, str], read_blob: Callable[[str], bytes]) -> None:
        self.files = files
        self.blobs: dict[str, Blob] = {}
        self._read_blob = read_blob

    def apply(
        self, operations: Sequence[Operation], pointer_to: Callable[[AddLfsFile], Pointer]
    ) -> None:
        """Add and delete files, and list new LFS files in .gitattributes if no pattern has them.

        Args:
            operations: the operations, in their order.
            pointer_to: returns the pointer to an LFS file that was uploaded.

        Raises:
            HubError: 400 or 404, an operation is impossible.
        """
        uploaded = []
        for operation in operations:
            match operation:
                case FileLine(value=file):
                    self.add(file.path, file.content)
                case LfsFileLine(value=large):
                    self.add(large.path, pointer_to(large).to_bytes())
                    uploaded.append(large.path)
                case DeletionLine(key="deletedFolder", value=deleted):
                    self._delete_folder(deleted.path.rstrip("/"))
                case DeletionLine(value=deleted):
                    self._delete_file(deleted.path)
        self._track(uploaded)
        self._check_folders()

    def add(self, path: str, content: bytes) -> None:
        """Add or replace a file.

        Raises:
            HubError: 400, git could not check out a file with this path.
        """
        encoded = path.encode()
        if (
            _UNSAFE.search(path)
            or not validate_path(encoded, validate_path_element_ntfs)
            or not validate_path(encoded, validate_path_element_hfs)
        ):
            raise errors.bad_request(f"Invalid path in repo: {path!r}")
        blob = Blob.from_string(content)
        self.blobs[blob.id.decode()] = blob
        self.files[path] = blob.id.decode()

    def _delete_file(self, path: str) -> None:
        if self.files.pop(path, None) is None:
            # huggingface_hub searches for this wording and adds advice about folders.
            raise errors.entry_not_found(f"A file with this name doesn't exist: {path}")

    def _delete_folder(self, path: str) -> None:
        below = [file for file in self.files if file.startswith(f"{path}/")]
        if not below:
            raise errors.entry_not_found(f"A folder with this name doesn't exist: {path}")
        for file in below:
            del self.files[file]

    def _track(self, uploaded: list[str]) -> None:
        """Add the LFS files that .gitattributes does not match to it, as `git lfs track` does."""
        oid = self.files.get(".gitattributes")
        attributes = b""
        if oid is not None:
            attributes = self.blobs[oid].data if oid in self.blobs else self._read_blob(oid)
        is_lfs = lfs_matcher(attributes)
        lines = b"".join(literal_lfs_line(path) for path in uploaded if not is_lfs(path))
        if lines:
            if attributes and not attributes.endswith(b"\n"):
                attributes += b"\n"
            self.add(".gitattributes", attributes + lines)

    def _check_folders(self) -> None:
        for path in self.files:
            for folder in PurePosixPath(path).parents:
                if str(folder) in self.files:
                    raise errors.bad_request(f"{folder} cannot be both a file and a folder")
