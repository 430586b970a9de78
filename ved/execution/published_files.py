"""Compare the files of a published checkpoint with rebuilt ones, on the Hub or in a directory."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from huggingface_hub import HfApi
from huggingface_hub.utils._runtime import is_xet_available

from ved.errors import ErrorCode, VedError, describe_os_error
from ved.execution.xet_comparison import compare_by_xet
from ved.hub.errors import translated_errors
from ved.hub.remote_files import locate_file
from ved.publishing import content, repos
from ved.publishing.repos import TargetRepo
from ved.record import RecordedFile
from ved.sources.local_files import MAX_ENTRIES, check_local_file
from ved.tensors import StoredWeight, as_bytes, open_weights
from ved.text import join_limited

_WEIGHTS = (".safetensors", ".msgpack")

_ATTRIBUTES = ".gitattributes"
_MAX_ATTRIBUTES_BYTES = 64 * 2**10
_ATTRIBUTES_LINE = re.compile(r"(?:#.*|\S+ filter=lfs diff=lfs merge=lfs -text)?\s*", re.ASCII)
"""The Hub itself writes such lines. Others could change files when a repo is cloned."""

_OUTSIDE_OF_REPO = {".git", ".cache"}
"""Directories that git and huggingface_hub create beside the files of a repo."""


class PublishedCheckpoint(Protocol):
    """A published checkpoint, on the Hub or in a directory."""

    def names(self) -> set[str]:
        """Return the names of all of its files, with their folders."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file, or if it has more than `limit` bytes, its beginning."""
        ...

    def difference(self, name: str, rebuilt: RecordedFile, directory: Path) -> str | None:
        """Return how a file differs from the one rebuilt in a directory; None if it does not."""
        ...


@dataclass(frozen=True)
class CheckpointOnHub:
    """A checkpoint in a repo.

    The Hub computes the git objects of small files itself. The sha256 of a large file comes from
    its uploader. So such a file is compared by its Xet hash and samples, as
    `ved.execution.xet_comparison` explains. Without Xet, it is downloaded.
    """

    target: TargetRepo
    api: HfApi

    def names(self) -> set[str]:
        """Return the names of all of its files, with their folders."""
        return {*self.target.files}

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file, or if it has more than `limit` bytes, its beginning."""
        return repos.read_small_file(self.target, name, limit, self.api)

    def difference(self, name: str, rebuilt: RecordedFile, directory: Path) -> str | None:
        """Return how a file differs from the one rebuilt in a directory; None if it does not."""
        file = self.target.files.get(name)
        if file is None:
            return f"{name} is missing."
        is_same = file.holds(rebuilt)
        if is_same is None:
            is_same = content.has_content(self.target, name, rebuilt, self.api)
        if is_same is None:
            return f"{name} cannot be compared: the Hub does not report its digest."
        if is_same:
            return self._stored_difference(name, rebuilt, directory) if file.sha256 else None
        held = f"sha256 {file.sha256}" if file.sha256 else f"git object {file.git_oid}"
        wanted = f"sha256 {rebuilt.sha256}" if file.sha256 else f"git object {rebuilt.git_oid}"
        return f"{name} differs: it has {held}, the sources give {wanted}."

    def _stored_difference(self, name: str, rebuilt: RecordedFile, directory: Path) -> str | None:
        """Return how the stored bytes of a large file differ from those of the rebuilt one."""
        repo, commit = self.target.repo, self.target.head
        assert commit is not None, "the repo has a file"
        try:
            if is_xet_available() and compare_by_xet(repo, commit, [name], directory, self.api):
                return None
        except VedError as error:
            if error.code != ErrorCode.CHECK_FAILED:
                raise
            return error.cause
        action = f"read {name} of {self.target}"
        with translated_errors(action, repo):
            located = locate_file(repo, commit, name, action, self.api)
            with located.open_stream() as stream:
                found = stream.sha256()
        if found == rebuilt.sha256:
            return None
        return f"{name} differs: its bytes have sha256 {found}, the sources give {rebuilt.sha256}."


@dataclass(frozen=True)
class CheckpointOnDisk:
    """A checkpoint in a directory. Weight files are compared tensor by tensor."""

    directory: Path

    def names(self) -> set[str]:
        """Return the names of all of its files, with their folders.

        Raises:
            VedError: there are too many.
        """
        found = set()
        for path in self._entries():
            found.add(path.relative_to(self.directory).as_posix())
            if len(found) > MAX_ENTRIES:
                raise VedError(
                    f"{self.directory} has more than {MAX_ENTRIES} files.",
                    code=ErrorCode.LOCAL_FILE_REFUSED,
                )
        return found

    def _entries(self) -> Iterator[Path]:
        """Yield everything below the directory except directories that are not empty."""
        pending = [self.directory]
        while pending:
            directory = pending.pop()
            entries = [*directory.iterdir()]
            if not entries:
                yield directory
            for path in entries:
                if path.is_symlink() or not path.is_dir():
                    yield path
                elif directory != self.directory or path.name not in _OUTSIDE_OF_REPO:
                    pending.append(path)

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file, or if it has more than `limit` bytes, its beginning.

        Raises:
            VedError: the file may not be read.
        """
        with check_local_file(self.directory, name).open("rb") as file:
            return file.read(limit)

    def difference(self, name: str, rebuilt: RecordedFile, directory: Path) -> str | None:
        """Return how a file differs from the one rebuilt in a directory; None if it does not."""
        if not os.path.lexists(self.directory / name):
            return f"{name} is missing."
        try:
            path = check_local_file(self.directory, name)
        except VedError as error:
            return f"{name} differs: {error.cause}"
        if RecordedFile.of(path).sha256 == rebuilt.sha256:
            return None
        if Path(name).suffix not in _WEIGHTS:
            return f"{name} differs."
        return f"{name} differs: {_different_tensors(self.directory / name, directory / name)}."


def added_files(files: PublishedCheckpoint, rebuilt: set[str]) -> Iterator[str]:
    """Yield a sentence for each file of a checkpoint that does not come from the sources.

    Every library has files of its own that change what a checkpoint does. So all names count that
    were not rebuilt, except the settings of git's large files.

    Args:
        files: the checkpoint.
        rebuilt: the names of the rebuilt files.

    Raises:
        VedError: a file cannot be read.
        OSError: a file cannot be read.
    """
    for name in sorted(files.names() - rebuilt):
        if name != _ATTRIBUTES:
            yield f"{name} does not come from the sources."
        elif not _is_about_lfs(files.read(name, _MAX_ATTRIBUTES_BYTES + 1)):
            yield f"{name} has settings that are not about large files."


def _is_about_lfs(content: bytes) -> bool:
    lines = content.decode("utf-8", "replace").split("\n")
    is_short = len(content) <= _MAX_ATTRIBUTES_BYTES
    return is_short and all(_ATTRIBUTES_LINE.fullmatch(line) for line in lines)


def _different_tensors(path: Path, rebuilt: Path) -> str:
    """Return which tensors of a weight file differ from those of the rebuilt file."""
    try:
        rebuilt_tensors, tensors = (
            {each.name: each for each in open_weights([file])} for file in (rebuilt, path)
        )
        other = [
            name
            for name, tensor in rebuilt_tensors.items()
            if name in tensors and not _same(tensor, tensors[name])
        ]
    except VedError as error:
        return str(error).rstrip(".")
    except OSError as error:
        return describe_os_error(error).rstrip(".")
    parts = {
        "different tensors": other,
        "missing tensors": [name for name in rebuilt_tensors if name not in tensors],
        "added tensors": [name for name in tensors if name not in rebuilt_tensors],
    }
    lines = [f"{label}: {join_limited(names)}" for label, names in parts.items() if names]
    return "; ".join(lines) or "only its header is different"


def _same(one: StoredWeight, other: StoredWeight) -> bool:
    """Return whether two tensors have the same shape, dtype and bytes."""
    first, second = one.tensor, other.tensor
    if (first.shape, first.dtype) != (second.shape, second.dtype):
        return False
    return all(
        as_bytes(a) == as_bytes(b) for a, b in zip(first.blocks(), second.blocks(), strict=True)
    )
