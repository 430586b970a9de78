"""The sources of a run on disk: each downloaded once, and deleted when no pair needs it."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from huggingface_hub import HfApi

from ved.execution.progress import bytes_below
from ved.machine import DiskBudget, DiskNeed, is_local
from ved.publishing import deduplication
from ved.sources.source import ResolvedSource, Source


class SourceStore:
    """Downloaded sources, within a budget of disk; safe to share between threads.

    A source in huggingface_hub's own cache is used from there, and stays there.

    Args:
        directory: where to download to.
        budget: the disk that sources share with the checkpoints built from them.
        api: the Hub.
        users: for every pair to build, its sources.
    """

    def __init__(
        self,
        directory: Path,
        budget: DiskBudget,
        api: HfApi,
        users: Iterable[Sequence[ResolvedSource]],
    ) -> None:
        self._directory = directory
        self._budget = budget
        self._api = api
        self._users = Counter(name for sources in users for name in _names(sources))

    def reserve_sources(self, need: DiskNeed) -> int:
        """Reserve disk for a pair's sources; wait until there is room. See `DiskBudget`.

        Returns:
            how many bytes of the sources have to be downloaded.

        Raises:
            KeyboardInterrupt: the process is interrupted.
        """
        missing, evicted = self._budget.reserve_sources(need)
        for name in evicted:
            self._delete(name)
        return missing

    def reserve_output(self, need: DiskNeed) -> None:
        """Reserve disk for a pair's checkpoint; wait until there is room.

        Raises:
            KeyboardInterrupt: the process is interrupted.
        """
        for name in self._budget.reserve_output(need):
            self._delete(name)

    def fetch(self, source: ResolvedSource) -> Source:
        """Download the files of a source that are not here.

        Raises:
            VedError: the download fails.
        """
        return source.fetch(self._api, None if is_local(source) else self._path(source.key))

    def measure_download(self, sources: Iterable[ResolvedSource]) -> Callable[[], int]:
        """Return a function that returns how many bytes of sources have arrived since this call."""
        directories = [self._path(each.key) for each in sources]
        before = bytes_below(*directories)
        return lambda: bytes_below(*directories) - before

    def release(self, sources: Sequence[ResolvedSource]) -> None:
        """Release the sources of one pair; delete those that no other pair needs."""
        names = _names(sources)
        self._users.subtract(names)
        unused = [name for name in names if self._users[name] <= 0]
        for name in unused:
            self._delete(name)
        self._budget.release_sources(unused)

    def _delete(self, name: str) -> None:
        shutil.rmtree(self._path(name), ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self._directory / name.replace("/", "--")


def weights_to_learn(sources: Iterable[Source]) -> list[Path]:
    """Return the weight files that an upload should read first; see `deduplication`.

    The storage has the files of the Hub, and small ones are not worth a request.
    """
    from_hub = (each for each in sources if each.resolved.snapshot.directory is None)
    paths = (path for each in from_hub for path in each.weight_paths)
    return [path for path in paths if path.stat().st_size >= deduplication.MIN_BYTES]


def _names(sources: Iterable[ResolvedSource]) -> set[str]:
    return {source.key for source in sources}
