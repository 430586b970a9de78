"""One bare git repository with its LFS objects, read and written through dulwich.

The files are in the formats of git and git-lfs, so the git command line works on them.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from dulwich.index import commit_tree
from dulwich.objects import Commit, ObjectID, Tag
from dulwich.refs import DiskRefsContainer, Ref, check_ref_format
from dulwich.repo import Repo

from ved.localhub import errors, git_objects
from ved.localhub.draft import Draft
from ved.localhub.git_objects import FILE, Entry
from ved.localhub.large_files import stored_pointer
from ved.localhub.patterns import initial_gitattributes
from ved.localhub.payloads import Operation

MAIN = "refs/heads/main"

_COMMIT_ID = re.compile(r"[0-9a-f]{40}")


class GitRepository:
    """A bare git repository. It opens files when it first needs them; `close` closes them.

    Methods raise HubError if a commit, a reference or a file is missing.

    Args:
        path: the folder of the repository.
        lock: is held while a branch moves.
    """

    def __init__(self, path: Path, lock: threading.Lock) -> None:
        self._path = path
        self._lock = lock

    @cached_property
    def _git(self) -> Repo:
        return Repo(str(self._path))

    @cached_property
    def _references(self) -> DiskRefsContainer:
        """The references. Most requests need nothing else, and to open the rest takes longer."""
        return DiskRefsContainer(str(self._path))

    def close(self) -> None:
        """Close the files of the repository. A later call opens them again."""
        self.__dict__.pop("_references", None)
        opened = self.__dict__.pop("_git", None)
        if opened is not None:
            opened.close()

    # References

    def references(self, prefix: str) -> dict[str, str]:
        """Return the commit of each reference below a prefix.

        Args:
            prefix: for example refs/heads.

        Returns:
            Commit ids by the names of the references, without the prefix.
        """
        names = [name.decode() for name in self._references.subkeys(Ref(prefix.encode()))]
        return {name: self.resolve(f"{prefix}/{name}") for name in sorted(names)}

    def resolve(self, revision: str) -> str:
        """Return the commit id of a revision.

        Args:
            revision: a branch, a tag, a full reference such as refs/pr/1, or a commit id.

        Raises:
            HubError: 404, there is no such revision.
        """
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name.startswith("refs/") and self._exists(name):
                target = self._references[Ref(name.encode())].decode()
                return git_objects.commit(self._path, target).id.decode()
        if _COMMIT_ID.fullmatch(revision) and self._has(revision):
            return git_objects.commit(self._path, revision).id.decode()
        raise errors.revision_not_found(revision)

    def create_reference(self, name: str, target: str) -> None:
        """Create a reference to a commit or tag object.

        Raises:
            HubError: 409, the name is taken, or one name is a folder of the other.
        """
        _check_reference(name)
        try:
            created = self._git.refs.add_if_new(Ref(name.encode()), ObjectID(target.encode()))
        except (NotADirectoryError, IsADirectoryError, FileExistsError):
            created = False
        if not created:
            raise errors.conflict(f"Reference already exists: {name}")

    def create_tag(self, name: str, target: str, message: str | None, author: str) -> None:
        """Create a tag. With a message it is an annotated tag."""
        _check_reference(f"refs/tags/{name}")
        if message is not None:
            tag = Tag()
            tag.name, tag.object = name.encode(), (Commit, ObjectID(target.encode()))
            tag.tagger, tag.tag_time, tag.tag_timezone = _signature(author), int(time.time()), 0
            tag.message = _message(message)
            self._git.object_store.add_object(tag)
            target = tag.id.decode()
        self.create_reference(f"refs/tags/{name}", target)

    def delete_reference(self, name: str) -> None:
        """Delete a branch or a tag.

        Raises:
            HubError: 403 for the default branch, 404 if there is no such reference.
        """
        if name == MAIN:
            raise errors.forbidden("the default branch cannot be deleted")
        if not self._exists(name):
            raise errors.revision_not_found(name)
        self._git.refs.remove_if_equals(Ref(name.encode()), None)

    def _exists(self, name: str) -> bool:
        reference = Ref(name.encode())
        return check_ref_format(reference) and reference in self._references

    def _has(self, identifier: str) -> bool:
        """Tell whether there is an object: a file of its own, or in a pack that git wrote."""
        file = self._path / "objects" / identifier[:2] / identifier[2:]
        return file.exists() or ObjectID(identifier.encode()) in self._git

    # Reading

    def tree(self, commit: str) -> Mapping[str, Entry]:
        """Return all files and folders of a commit by path, in the order of git."""
        return git_objects.tree(self._path, commit)

    def content(self, blob: str) -> bytes:
        """Return the bytes of a blob."""
        return git_objects.content(self._path, blob)

    def text(self, commit: str, path: str) -> str:
        """Return the text of a file, or an empty text if the commit has no such file."""
        entry = self.tree(commit).get(path)
        if entry is None or entry.is_folder:
            return ""
        return self.content(entry.oid).decode(errors="replace")

    def commit_object(self, commit: str) -> Commit:
        """Return a commit with its message, author and time."""
        return git_objects.commit(self._path, commit)

    def history(self, commit: str, *, path: str | None = None) -> Iterator[Commit]:
        """Yield a commit and its ancestors, newest first.

        Args:
            commit: the id of the first commit.
            path: yield only commits that changed this file or folder.
        """
        walker = self._git.get_walker(
            include=[ObjectID(commit.encode())], paths=[path.encode()] if path else None
        )
        for step in walker:
            yield step.commit

    # Writing

    def commit(
        self,
        reference: str,
        operations: Sequence[Operation],
        *,
        message: str,
        author: str,
        parent: str,
    ) -> str:
        """Apply the operations to the head of a reference in one commit, or change nothing.

        Args:
            reference: the full name, for example refs/heads/main.
            operations: the files to add and to delete.
            message: the commit message.
            author: the user name of the author.
            parent: the required head, as a commit id or the beginning of one. Empty: any head.

        Returns:
            The id of the commit.

        Raises:
            HubError: 404, there is no such reference; 412, the head is not `parent`.
        """
        stale = errors.HubError(412, "A commit has happened since. Please refresh and try again.")
        with self._lock:
            if not self._exists(reference):
                raise errors.revision_not_found(reference)
            head = self._git.refs[Ref(reference.encode())]
            if not head.decode().startswith(parent.lower()):
                raise stale
            commit = self._apply(head.decode(), operations, message, author)
            # Other processes, such as git itself, do not use the lock.
            if not self._git.refs.set_if_equals(
                Ref(reference.encode()), head, ObjectID(commit.encode())
            ):
                raise stale
            return commit

    def first_commit(self, author: str, card: str = "") -> None:
        """Create the default branch, with the .gitattributes of every new repo, and its card."""
        draft = Draft({}, read_blob=self.content)
        draft.add(".gitattributes", initial_gitattributes())
        if card:
            draft.add("README.md", card.encode())
        self.create_reference(MAIN, self._store(draft, "initial commit", author, []))

    def _apply(
        self, parent: str, operations: Sequence[Operation], message: str, author: str
    ) -> str:
        """Store a commit that applies the operations to its parent, and return its id."""
        files = {e.path: e.oid for e in self.tree(parent).values() if not e.is_folder}
        draft = Draft(files, read_blob=self.content)
        draft.apply(operations, lambda file: stored_pointer(self._path, file))
        return self._store(draft, message, author, [parent])

    def _store(self, draft: Draft, message: str, author: str, parents: list[str]) -> str:
        store = self._git.object_store
        for blob in draft.blobs.values():
            store.add_object(blob)
        commit = Commit()
        commit.tree = commit_tree(
            store,
            [(path.encode(), ObjectID(oid.encode()), FILE) for path, oid in draft.files.items()],
        )
        commit.parents = [ObjectID(parent.encode()) for parent in parents]
        commit.author = commit.committer = _signature(author)
        commit.author_time = commit.commit_time = int(time.time())
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        commit.message = _message(message)
        store.add_object(commit)
        return commit.id.decode()


def _check_reference(name: str) -> None:
    if not check_ref_format(Ref(name.encode())) or "/refs/" in name:
        raise errors.bad_request(f"Invalid reference name: {name}")


def _signature(name: str) -> bytes:
    return f"{name} <{name}@users.noreply.huggingface.co>".encode()


def _message(text: str) -> bytes:
    # git rejects a commit or tag whose message contains a NUL.
    return text.replace("\0", "").strip().encode() + b"\n"
