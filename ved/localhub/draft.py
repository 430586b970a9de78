"""The files of a commit to be: what a commit's operations make of the files of its parent."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from dulwich.index import (
    validate_path,
    validate_path_element_hfs,
    validate_path_element_ntfs,
)
from dulwich.objects import Blob

from ved.localhub import errors

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


class Draft:
    """Files by path, as ids of blobs; nothing is stored until the whole draft is right."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        self.blobs: dict[str, Blob] = {}

    def add(self, path: str, content: bytes) -> None:
        """Add or replace a file; 400 when the path is one that no checkout could take."""
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

    def delete_file(self, path: str) -> None:
        """Delete a file; 404 when there is none."""
        if self.files.pop(path, None) is None:
            # The client recognises this wording and adds advice about folders.
            raise errors.entry_not_found(f"A file with this name doesn't exist: {path}")

    def delete_folder(self, path: str) -> None:
        """Delete all files below a folder; 404 when there are none."""
        below = [file for file in self.files if file.startswith(f"{path}/")]
        if not below:
            raise errors.entry_not_found(f"A folder with this name doesn't exist: {path}")
        for file in below:
            del self.files[file]

    def track(self, attributes: bytes, paths: Iterable[str]) -> None:
        """Add files to .gitattributes, so that git-lfs, too, knows that they are LFS files."""
        if attributes and not attributes.endswith(b"\n"):
            attributes += b"\n"
        lines = "".join(attributes_line(_literal_pattern(path)) for path in paths)
        self.add(".gitattributes", attributes + lines.encode())

    def check_folders(self) -> None:
        """Raise 400 when a path is a file and a folder at once."""
        for path in self.files:
            for folder in PurePosixPath(path).parents:
                if str(folder) in self.files:
                    raise errors.bad_request(f"{folder} cannot be both a file and a folder")


def attributes_line(pattern: str) -> str:
    """Return the line of .gitattributes that `git lfs track` writes."""
    return f"{pattern} filter=lfs diff=lfs merge=lfs -text\n"


def _literal_pattern(path: str) -> str:
    return re.sub(r"([*?\[])", r"\\\1", path).replace(" ", "[[:space:]]")
