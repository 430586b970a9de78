"""The disk of a run: how much is free, and a budget that sources and checkpoints share."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import NamedTuple

from huggingface_hub import try_to_load_from_cache

from ved.interruption import POLL_SECONDS, raise_if_interrupted
from ved.sources.source import ResolvedSource


def free_disk(path: Path) -> int:
    """Return the bytes that this user may still write at a path, which need not exist yet.

    Raises:
        OSError: the path cannot be read.
    """
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    return shutil.disk_usage(nearest).free


def directory_size(path: Path) -> int:
    """Return the bytes of the files in a directory; 0 if there is no directory."""
    if not path.is_dir():
        return 0
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def is_local(source: ResolvedSource) -> bool:
    """Return whether nothing has to be downloaded: a local directory, or all weights are cached."""
    snapshot = source.snapshot
    return snapshot.directory is not None or all(
        isinstance(try_to_load_from_cache(snapshot.name, name, revision=snapshot.commit), str)
        for name in source.weights
    )


@dataclass(frozen=True, eq=False)  # two pairs may need the same, and are not one
class DiskNeed:
    """The disk that building one pair takes.

    Attributes:
        sources: bytes to download, by source; 0 for a source that is local already.
        output: bytes of the checkpoint.
        kept: bytes that remain after the build: 0 if the checkpoint is not kept, and otherwise
            those of the checkpoint less those of an older one that it replaces.
    """

    sources: Mapping[str, int]
    output: int
    kept: int = 0

    @classmethod
    def of(
        cls, sources: Iterable[ResolvedSource], output: int, destination: Path | None = None
    ) -> "DiskNeed":
        """Return the need of a pair.

        Args:
            sources: the pair's sources.
            output: bytes of the checkpoint.
            destination: the directory to keep the checkpoint in; None to keep it nowhere.
        """
        sizes = {each.key: 0 if is_local(each) else each.weights_size for each in sources}
        kept = 0 if destination is None else output - directory_size(destination)
        return cls(sizes, output, kept)

    @property
    def total(self) -> int:
        """Bytes of sources and checkpoint."""
        return sum(self.sources.values()) + self.output


class Reservation(NamedTuple):
    """The steps that follow a reservation of disk for the sources of a pair.

    Attributes:
        missing: bytes of the sources that have to be downloaded.
        evicted: the names of the sources that have to be deleted first.
    """

    missing: int
    evicted: list[str]


class DiskBudget:
    """The disk that a run may use for sources and checkpoints; safe to share between threads.

    Args:
        path: a place on the disk that the run writes to.
        limit: the most bytes to use; None for all that is free at `path`.

    Raises:
        OSError: the path cannot be read.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        free = free_disk(path)
        self.limit = free if limit is None else min(free, limit)
        self._sources: dict[str, int] = {}
        self._outputs: list[DiskNeed] = []
        self._kept = 0
        self._changed = Condition()

    @property
    def available(self) -> int:
        """The bytes that are neither reserved nor kept."""
        return self.limit - self._kept - self._used({})

    def fits(self, need: DiskNeed) -> bool:
        """Return whether there is room for a pair now."""
        return self._has_room(need, need.output)

    def keep(self, need: DiskNeed) -> None:
        """Count the checkpoint of a pair as kept, without having reserved it."""
        self._kept += need.kept

    def reserve_sources(self, need: DiskNeed) -> Reservation:
        """Reserve disk for a pair's sources; wait while other pairs can free some.

        If no other pair can free anything, sources that this pair does not need give way. The
        reservation then succeeds even if there is no room. Only one thread may reserve.

        Raises:
            KeyboardInterrupt: the process is interrupted.
        """
        with self._changed:
            evicted = self._make_room(need, 0)
            missing = need.sources.keys() - self._sources.keys()
            self._sources |= need.sources
        return Reservation(sum(need.sources[name] for name in missing), evicted)

    def reserve_output(self, need: DiskNeed) -> list[str]:
        """Reserve disk for the checkpoint of a pair whose sources are reserved.

        See `reserve_sources`. Call `release_output` afterwards.

        Returns:
            the names of the sources that have to be deleted first.
        """
        with self._changed:
            evicted = self._make_room(need, need.output)
            self._outputs.append(need)
        return evicted

    def _has_room(self, need: DiskNeed, output: int) -> bool:
        """Return whether there is room for a pair's sources and `output` more bytes."""
        return self._used(need.sources) + output + self._kept <= self.limit

    def _make_room(self, need: DiskNeed, output: int) -> list[str]:
        """Wait for room for a pair's sources and `output` more bytes.

        Returns:
            the names of the sources that gave way.
        """
        while not self._has_room(need, output):
            if not self._outputs:
                evicted = [name for name in self._sources if name not in need.sources]
                for name in evicted:
                    del self._sources[name]
                return evicted
            self._changed.wait(POLL_SECONDS)
            raise_if_interrupted()
        return []

    def release_sources(self, names: Iterable[str]) -> None:
        """Release the disk of sources that were deleted."""
        with self._changed:
            for name in names:
                self._sources.pop(name, None)
            self._changed.notify_all()

    def release_output(self, need: DiskNeed, *, kept: bool) -> None:
        """Release the disk of a checkpoint, except what is kept; a second call has no effect."""
        with self._changed:
            if need in self._outputs:
                self._outputs.remove(need)
                self._kept += need.kept if kept else 0
            self._changed.notify_all()

    def _used(self, sources: Mapping[str, int]) -> int:
        held = sum((self._sources | dict(sources)).values())
        return held + sum(each.output for each in self._outputs)
