"""Restoring a local Hub after a test, so that no test sees what another one published."""

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ved.localhub import LocalHub

_SETTINGS = "hub.json"


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
    """Lend out a Hub, and bring back afterwards its accounts, collections, publishers and repos.

    Raises AssertionError when a repo that existed before is gone: a test deletes only what it
    created.
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


def _repos(hub: LocalHub) -> Path:
    # The storage has no public property for the folder of all kinds of repos.
    return hub._storage._repos


def _paths(folder: Path) -> Iterator[Path]:
    return folder.glob("*/*/*.git")


def _memory(hub: LocalHub) -> list[tuple[Any, str]]:
    """Return the attributes in which the Hub keeps what is not a repo."""
    return [
        (hub._accounts, "_state"),
        (hub._collections, "_by_slug"),
        (hub._publishers, "_by_resource"),
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
