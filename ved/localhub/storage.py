"""The repos of a hub on disk.

    repos/models/alice/vit-gpt2.git/    a bare git repository, for any git command
        lfs/objects/ab/cd/abcd...       LFS objects by SHA-256, in the layout of git-lfs
        hub.json                        private, gated, createdAt, author
    moved.json                          the new ids of renamed repos, by their old ones
    xet/                                the storage of Xet, see ved.localhub.xet.cas
    incoming/                           unfinished uploads, removed at every start

In this package `kind` is a type of repos as it stands in URLs: models, datasets or spaces.
"""

import json
import re
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from dulwich.repo import Repo

from ved.localhub.files import replace_text
from ved.localhub.git import GitRepository

_REPO_ID = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9-]*/(?!.*(?:--|\.\.))\w[\w.-]{0,95}(?<![.-])(?<!\.git)", re.ASCII
)


def timestamp(seconds: float) -> str:
    """Return a time in the Hub's format.

    Args:
        seconds: since the epoch.
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def url_path(kind: str, repo_id: str) -> str:
    """Return the first part of a repo's URLs, which omit the kind of models."""
    return repo_id if kind == "models" else f"{kind}/{repo_id}"


class Storage:
    """All repos of one hub.

    Args:
        root: the folder of the hub.

    Attributes:
        root: the folder of the hub.
        incoming: the folder for unfinished uploads.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._repos = root / "repos"
        self._lock = threading.Lock()
        self._moved_file = root / "moved.json"
        file = self._moved_file
        self._moved: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        self.incoming = root / "incoming"
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.incoming.mkdir(parents=True)

    def path(self, kind: str, repo_id: str) -> Path | None:
        """Return the path of a repo, which need not exist, or None if the id is malformed."""
        if not _REPO_ID.fullmatch(repo_id):
            return None
        return self._repos / kind / f"{repo_id}.git"

    def find(self, kind: str, repo_id: str) -> "Repository | None":
        """Return a repo, or None if there is no such repo."""
        path = self.path(kind, repo_id)
        return Repository(path, kind, repo_id, self._lock) if path and path.exists() else None

    def find_moved(self, kind: str, repo_id: str) -> "Repository | None":
        """Return the repo that had an id before it was renamed or transferred, or None."""
        seen: set[str] = set()
        while repo_id not in seen:
            seen.add(repo_id)
            repo_id = self._moved.get(url_path(kind, repo_id), repo_id)
        return self.find(kind, repo_id) if len(seen) > 1 else None

    def redirect(self, kind: str, old: str, new: str) -> None:
        """Redirect an id, with or without an owner, to the id of a repo."""
        with self._lock:
            self._moved[url_path(kind, old)] = new
            self._moved.pop(url_path(kind, new), None)
            replace_text(self._moved_file, json.dumps(self._moved, indent=1))

    def move(self, repository: "Repository", new: str) -> bool:
        """Give a repo another id. Return False if there is a repo with that id."""
        path = self.path(repository.kind, new)
        assert path is not None
        repository.close()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if path.exists():
                return False
            repository.path.rename(path)
        self.redirect(repository.kind, repository.id, new)
        return True

    def all(self, kind: str) -> "Iterator[Repository]":
        """Yield all repos of a kind, ordered by id."""
        for path in sorted((self._repos / kind).glob("*/*.git")):
            repo_id = f"{path.parent.name}/{path.name.removesuffix('.git')}"
            yield Repository(path, kind, repo_id, self._lock)

    def create(
        self, kind: str, repo_id: str, *, private: bool, author: str, card: str = ""
    ) -> bool:
        """Create a repo with its first commit, and a README.md if it gets a card.

        Returns:
            False if the repo exists.
        """
        path = self.path(kind, repo_id)
        assert path is not None
        unfinished = self.incoming / uuid.uuid4().hex
        Repo.init_bare(str(unfinished), mkdir=True, default_branch=b"main").close()
        with Repository(unfinished, kind, repo_id, self._lock) as repository:
            created = timestamp(time.time())
            settings = {"private": private, "gated": False, "createdAt": created, "author": author}
            repository.write_settings(settings)
            repository.git.first_commit(author, card)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if path.exists():
                shutil.rmtree(unfinished)
                return False
            unfinished.rename(path)
        return True

    def delete(self, repository: "Repository") -> None:
        """Delete a repo. Requests stop finding it before its files are removed."""
        repository.close()
        doomed = self.incoming / uuid.uuid4().hex
        with self._lock:
            repository.path.rename(doomed)
        shutil.rmtree(doomed)


class Repository:
    """One repo: its git repository and its settings.

    A `with` block, or `close`, closes the files of the git repository.

    Attributes:
        path: the folder of the bare git repository.
        kind: models, datasets or spaces.
        id: owner/name.
        namespace: the owner.
    """

    def __init__(self, path: Path, kind: str, repo_id: str, lock: threading.Lock) -> None:
        self.path = path
        self.kind = kind
        self.id = repo_id
        self.namespace = repo_id.split("/")[0]
        self._lock = lock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @cached_property
    def git(self) -> GitRepository:
        """The git repository."""
        return GitRepository(self.path, self._lock)

    def close(self) -> None:
        """Close the files of the git repository."""
        self.git.close()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings: private, gated, createdAt and author."""
        settings: dict[str, Any] = json.loads((self.path / "hub.json").read_text())
        return settings

    @property
    def author(self) -> str:
        """The user who created the repo."""
        return str(self.settings.get("author", ""))

    def write_settings(self, changes: dict[str, Any]) -> None:
        """Change some settings, and keep the others."""
        with self._lock:
            file = self.path / "hub.json"
            before = self.settings if file.exists() else {}
            replace_text(file, json.dumps({**before, **changes}))
