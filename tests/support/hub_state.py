"""Restores a local Hub and the client's cache after a test, so that no test affects another."""

import copy
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from ved.localhub import LocalHub

_SETTINGS = "hub.json"
_WEIGHTS = (".bin", ".msgpack", ".safetensors")


@dataclass(frozen=True)
class _RepoState:
    """What distinguishes two states of a repo; its objects are only ever added to.

    Attributes:
        references: each reference's file with its content.
        settings: the content of hub.json.
    """

    references: dict[Path, bytes]
    settings: bytes


@contextmanager
def restored(hub: LocalHub) -> Iterator[LocalHub]:
    """Lend out a Hub, and restore its accounts, collections, publishers and repos afterwards.

    Raises:
        AssertionError: a repo that existed before is gone. A test deletes only its own repos.
    """
    folder = _repos(hub)
    repos = {path: _state(path) for path in _paths(folder)}
    memory = [(owner, name, copy.deepcopy(getattr(owner, name))) for owner, name in _memory(hub)]
    try:
        yield hub
    finally:
        for owner, name, value in memory:
            setattr(owner, name, value)
        gone = set(repos)
        for path in _paths(folder):
            if path in repos:
                gone.remove(path)
                _restore(path, repos[path])
            else:
                shutil.rmtree(path)
    assert not gone, f"a test deleted repos that it shares with others: {sorted(gone)}"


@contextmanager
def restored_cache(kept: Container[str]) -> Iterator[None]:
    """Remove from huggingface_hub's cache what is added within the block.

    Args:
        kept: repos whose small files stay, because many tests download these. Their weights do
            not stay: a plan counts the disk that they need only if they are not in the cache.
    """
    cache = Path(constants.HF_HUB_CACHE)
    before = {*_cached_repos(cache), *_cached_weights(cache)}
    try:
        yield
    finally:
        for repo in {*_cached_repos(cache)} - before:
            if repo.name.removeprefix("models--").replace("--", "/") not in kept:
                shutil.rmtree(repo)
        for weights in {*_cached_weights(cache)} - before:
            weights.resolve().unlink(missing_ok=True)
            weights.unlink()


def _cached_repos(cache: Path) -> Iterator[Path]:
    return cache.glob("models--*")


def _cached_weights(cache: Path) -> Iterator[Path]:
    files = cache.glob("models--*/snapshots/*/*")
    return (file for file in files if file.suffix in _WEIGHTS)


def _repos(hub: LocalHub) -> Path:
    # The storage has no public property for the folder of all kinds of repos.
    return hub._hub.storage._repos


def _paths(folder: Path) -> Iterator[Path]:
    return folder.glob("*/*/*.git")


def _memory(hub: LocalHub) -> list[tuple[Any, str]]:
    """Return the attributes with the Hub's state besides its repos."""
    return [
        (hub._hub.accounts, "_state"),
        (hub._hub.collections, "_by_slug"),
        (hub._hub.publishers, "_by_resource"),
        (hub._hub.storage, "_moved"),
        (hub.behavior, "__dict__"),
    ]


def _state(path: Path) -> _RepoState:
    references = {file: file.read_bytes() for file in (path / "refs").rglob("*") if file.is_file()}
    return _RepoState(references, (path / _SETTINGS).read_bytes())


def _restore(path: Path, before: _RepoState) -> None:
    now = _state(path)
    for file in now.references.keys() - before.references.keys():
        file.unlink()
    for file, content in before.references.items():
        if now.references.get(file) != content:
            file.write_bytes(content)
    if now.settings != before.settings:
        (path / _SETTINGS).write_bytes(before.settings)
