"""The objects of git repositories, in memory: an id always names the same content.

Clients ask for one commit many times. The callers of these functions know that the repository has
the object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dulwich.object_store import iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID, Tag
from dulwich.repo import Repo

from ved.localhub import errors

FILE, FOLDER = 0o100644, 0o040000
"""The modes of entries."""


@dataclass(frozen=True)
class Entry:
    """A file or folder in a commit.

    Attributes:
        path: its path in the repo.
        oid: the id of its git blob or tree.
        is_folder: whether it is a folder.
    """

    path: str
    oid: str
    is_folder: bool


@lru_cache(maxsize=256)
def tree(repository: Path, commit: str) -> Mapping[str, Entry]:
    """Return all files and folders of a commit by path, in the order of git."""
    entries = {}
    with Repo(str(repository)) as git:
        found = git[ObjectID(commit.encode())]
        assert isinstance(found, Commit)
        for item in iter_tree_contents(git.object_store, found.tree, include_trees=True):
            if item.path:  # the root itself has none
                path = item.path.decode()
                entries[path] = Entry(path, item.sha.decode(), item.mode == FOLDER)
    return entries


@lru_cache(maxsize=256)
def content(repository: Path, blob: str) -> bytes:
    """Return the bytes of a blob."""
    with Repo(str(repository)) as git:
        found = git[ObjectID(blob.encode())]
        assert isinstance(found, Blob)
        return found.data


@lru_cache(maxsize=256)
def commit(repository: Path, identifier: str) -> Commit:
    """Return a commit, or the commit of a tag object.

    Raises:
        HubError: 404, the object is neither.
    """
    with Repo(str(repository)) as git:
        found = git[ObjectID(identifier.encode())]
        while isinstance(found, Tag):
            found = git[found.object[1]]
        if not isinstance(found, Commit):
            raise errors.revision_not_found(identifier)
        return found
