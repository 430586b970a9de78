"""Compare the files of a published checkpoint with rebuilt ones, on the Hub or in a directory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ved.errors import VedError, describe_os_error
from ved.publishing import repos
from ved.publishing.repos import TargetRepo
from ved.record import RecordedFile
from ved.tensors import StoredWeight, as_bytes, open_weights
from ved.text import join_limited

_WEIGHTS = (".safetensors", ".msgpack")


class PublishedCheckpoint(Protocol):
    """A published checkpoint, on the Hub or in a directory."""

    def names(self) -> set[str]:
        """Return the names of its files that are loaded as a checkpoint."""
        ...

    def difference(self, name: str, rebuilt: RecordedFile, directory: Path) -> str | None:
        """Return how a file differs from the one rebuilt in a directory; None if it does not."""
        ...


@dataclass(frozen=True)
class CheckpointOnHub:
    """A checkpoint in a repo. Only the listing of its files is read."""

    target: TargetRepo

    def names(self) -> set[str]:
        """Return the names of the files that are loaded as a checkpoint."""
        return {*self.target.checkpoint_files()}

    def difference(self, name: str, rebuilt: RecordedFile, directory: Path) -> str | None:
        """Return how a file differs from the one rebuilt in a directory; None if it does not."""
        file = self.target.files.get(name)
        if file is None:
            return f"{name} is missing."
        if file.holds(rebuilt):
            return None
        held = f"sha256 {file.sha256}" if file.sha256 else f"git object {file.git_oid}"
        wanted = f"sha256 {rebuilt.sha256}" if file.sha256 else f"git object {rebuilt.git_oid}"
        return f"{name} differs: it has {held}, the sources give {wanted}."


@dataclass(frozen=True)
class CheckpointOnDisk:
    """A checkpoint in a directory. Weight files are compared tensor by tensor."""

    directory: Path

    def names(self) -> set[str]:
        """Return the names of the files that are loaded as a checkpoint."""
        files = {path.name for path in self.directory.iterdir()}
        return {*repos.checkpoint_files(files)}

    def difference(self, name: str, rebuilt: RecordedFile, directory: Path) -> str | None:
        """Return how a file differs from the one rebuilt in a directory; None if it does not."""
        path = self.directory / name
        if not path.is_file():
            return f"{name} is missing."
        if RecordedFile.of(path).sha256 == rebuilt.sha256:
            return None
        if path.suffix not in _WEIGHTS:
            return f"{name} differs."
        return f"{name} differs: {_different_tensors(path, directory / name)}."


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
