"""The repos of a hub on disk, with what the Hub knows of them beyond git.

repos/models/alice/vit-gpt2.git/    a bare git repository, usable with the git command line
    lfs/objects/ab/cd/abcd...       LFS objects by sha256, where git-lfs itself keeps them
    hub.json                        private, gated, createdAt
    discussions/1.json              a discussion or pull request; refs/pr/1 is in git
incoming/                           unfinished uploads, emptied at every start
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
from typing import Any

from dulwich.repo import Repo

from ved.localhub.files import replace_text
from ved.localhub.git import GitRepository

_IDENTIFIER = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9-]*/(?!.*(?:--|\.\.))\w[\w.-]{0,95}(?<![.-])(?<!\.git)", re.ASCII
)


def timestamp(seconds: float) -> str:
    """Return seconds since the epoch as the Hub writes times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def url_path(kind: str, identifier: str) -> str:
    """Return how a repo's URLs begin after the endpoint; those of models do not name the kind."""
    return identifier if kind == "models" else f"{kind}/{identifier}"


class Storage:
    """All repos of one hub, below one folder."""

    def __init__(self, root: Path) -> None:
        self._repos = root / "repos"
        self._lock = threading.Lock()
        self.incoming = root / "incoming"
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.incoming.mkdir(parents=True)

    def path(self, kind: str, identifier: str) -> Path | None:
        """Return where a repo is, or would be; None if there cannot be one of that name."""
        if not _IDENTIFIER.fullmatch(identifier):
            return None
        return self._repos / kind / f"{identifier}.git"

    def find(self, kind: str, identifier: str) -> "Repository | None":
        """Return a repo, or None if there is none of that name."""
        path = self.path(kind, identifier)
        return Repository(path, kind, identifier, self._lock) if path and path.exists() else None

    def all(self, kind: str) -> "Iterator[Repository]":
        """Yield every repo of the kind, in the order of their ids."""
        for path in sorted((self._repos / kind).glob("*/*.git")):
            identifier = f"{path.parent.name}/{path.name.removesuffix('.git')}"
            yield Repository(path, kind, identifier, self._lock)

    def create(self, kind: str, identifier: str, *, private: bool, author: str) -> bool:
        """Make a repo with its first commit; return False if it was there already."""
        path = self.path(kind, identifier)
        assert path is not None
        unfinished = self.incoming / uuid.uuid4().hex
        Repo.init_bare(str(unfinished), mkdir=True, default_branch=b"main").close()
        (unfinished / "discussions").mkdir()
        repository = Repository(unfinished, kind, identifier, self._lock)
        repository.write_settings(
            {"private": private, "gated": False, "createdAt": timestamp(time.time())}
        )
        repository.git.first_commit(author)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if path.exists():
                shutil.rmtree(unfinished)
                return False
            unfinished.rename(path)
        return True

    def delete(self, repository: "Repository") -> None:
        """Remove a repo; it is gone for everyone before its files are."""
        doomed = self.incoming / uuid.uuid4().hex
        with self._lock:
            repository.path.rename(doomed)
        shutil.rmtree(doomed)


class Repository:
    """One repo: its git repository, its settings, and its discussions and pull requests."""

    def __init__(self, path: Path, kind: str, identifier: str, lock: threading.Lock) -> None:
        self.path = path
        self.kind = kind
        self.id = identifier
        self.namespace = identifier.split("/")[0]
        self._lock = lock

    @cached_property
    def git(self) -> GitRepository:
        """The repo's git repository."""
        return GitRepository(self.path, self._lock)

    @property
    def settings(self) -> dict[str, Any]:
        """The repo's private, gated and createdAt."""
        settings: dict[str, Any] = json.loads((self.path / "hub.json").read_text())
        return settings

    def write_settings(self, changes: dict[str, Any]) -> None:
        """Change some settings."""
        with self._lock:
            file = self.path / "hub.json"
            before = self.settings if file.exists() else {}
            replace_text(file, json.dumps({**before, **changes}))

    def discussions(self) -> list[dict[str, Any]]:
        """Return all discussions and pull requests, the newest first."""
        files = (self.path / "discussions").glob("*.json")
        return sorted(
            (json.loads(file.read_text()) for file in files),
            key=lambda discussion: -int(discussion["num"]),
        )

    def open_discussion(
        self, *, title: str, description: str, author: str, status: str, commit: str | None
    ) -> int:
        """Keep a discussion under the next free number; with a commit it is a pull request."""
        with self._lock:
            number = 1 + max((known["num"] for known in self.discussions()), default=0)
            if commit is not None:
                self.git.create_reference(f"refs/pr/{number}", commit)
            discussion = {
                "num": number,
                "title": title,
                "description": description,
                "author": author,
                "status": status,
                "isPullRequest": commit is not None,
                "createdAt": timestamp(time.time()),
            }
            replace_text(self.path / "discussions" / f"{number}.json", json.dumps(discussion))
            return number
