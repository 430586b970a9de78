"""The disk of a run: each source downloaded once, and gone as soon as no pair needs it."""

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Condition

from huggingface_hub import HfApi, try_to_load_from_cache

from ved.sources.source import ResolvedSource, Source


class Store:
    """Sources on disk, within a limit that they share with the checkpoints made of them.

    What huggingface_hub's own cache holds already is used from there, and left there.

    Args:
        directory: where to download to.
        limit: the most bytes that sources and checkpoints may take.
        api: the Hub.
        users: for every pair that is going to be built, its sources.
    """

    def __init__(
        self,
        directory: Path,
        limit: int,
        api: HfApi,
        users: Iterable[Sequence[ResolvedSource]],
    ) -> None:
        self._directory = directory
        self._limit = limit
        self._api = api
        self._users = Counter(name for sources in users for name in _names(sources))
        self._held: dict[str, int] = {}
        self._outputs: list[int] = []
        self._changed = Condition()

    def make_room(self, sources: Sequence[ResolvedSource], output: int) -> int:
        """Reserve disk for a pair's sources and its checkpoint; wait until there is room.

        Once it is called, `release` and `give_back` have to be.

        Args:
            output: bytes that the checkpoint will take.

        Returns:
            how many bytes of the sources are not here yet.
        """
        sizes = {str(source): self._size(source) for source in sources}
        with self._changed:
            while not self._fits(sizes, output):
                if not self._outputs:
                    # Nobody is about to free anything, so what only later pairs need has to go.
                    self._drop([name for name in self._held if name not in sizes])
                    break
                self._changed.wait()
            missing = sum(size for name, size in sizes.items() if name not in self._held)
            self._held |= sizes
            self._outputs.append(output)
            return missing

    def fetch(self, source: ResolvedSource) -> Source:
        """Download what is not here.

        Raises:
            VedError: the download fails.
        """
        return source.fetch(self._api, self._cache(source))

    def release(self, sources: Sequence[ResolvedSource]) -> None:
        """Say that one more pair needs its sources no longer."""
        with self._changed:
            self._users.subtract(_names(sources))
            self._drop([name for name in _names(sources) if self._users[name] <= 0])
            self._changed.notify_all()

    def give_back(self, output: int) -> None:
        """Say that a pair's checkpoint is gone from the disk."""
        with self._changed:
            self._outputs.remove(output)
            self._changed.notify_all()

    def _fits(self, sizes: dict[str, int], output: int) -> bool:
        held = sum((self._held | sizes).values())
        return held + sum(self._outputs) + output <= self._limit

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            self._held.pop(name, None)
            shutil.rmtree(self._directory / _folder(name), ignore_errors=True)

    def _size(self, source: ResolvedSource) -> int:
        return 0 if self._cache(source) is None else source.weights_size

    def _cache(self, source: ResolvedSource) -> Path | None:
        """Return the cache to download into; None where nothing has to be downloaded."""
        snapshot = source.snapshot
        cached = snapshot.directory is not None or all(
            isinstance(try_to_load_from_cache(snapshot.name, name, revision=snapshot.commit), str)
            for name in source.weights
        )
        return None if cached else self._directory / _folder(str(source))


def _names(sources: Iterable[ResolvedSource]) -> set[str]:
    return {str(source) for source in sources}


def _folder(name: str) -> str:
    return name.replace("/", "--")
