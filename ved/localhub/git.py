"""One bare git repository, written through dulwich, with the LFS objects it points to.

Objects, references and the place of LFS objects are git's and git-lfs's own, so that the git
command line works on what a hub stored.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from dulwich.attrs import GitAttributes, compile_gitattributes_patterns, parse_git_attributes
from dulwich.ignore import IgnoreFilter, read_ignore_patterns
from dulwich.index import commit_tree
from dulwich.object_store import iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID, Tag
from dulwich.refs import Ref, check_ref_format
from dulwich.repo import Repo

from ved.localhub import errors
from ved.localhub.draft import Draft, attributes_line
from ved.localhub.payloads import AddLfsFile, DeletionLine, FileLine, LfsFileLine, Operation

MAIN = "refs/heads/main"

# What the Hub writes into the .gitattributes of a new repo.
LFS_PATTERNS = """
*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack *.npy
*.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors saved_model/**/*
*.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*
"""

_FILE, _FOLDER = 0o100644, 0o040000
_COMMIT_ID = re.compile(r"[0-9a-f]{40}")
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize ([0-9]+)\n"
)


@dataclass(frozen=True)
class Pointer:
    """What git holds in place of a large file: its sha256 and its size in bytes.

    Format: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    """

    sha256: str
    size: int

    def to_bytes(self) -> bytes:
        """Return the pointer file."""
        return (
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{self.sha256}\nsize {self.size}\n"
        ).encode()

    @classmethod
    def parse(cls, content: bytes) -> "Pointer | None":
        """Read a pointer file; None when the content is not one to the byte."""
        match = _POINTER.fullmatch(content)
        return cls(match[1].decode(), int(match[2])) if match else None


@dataclass(frozen=True)
class Entry:
    """A file or folder of a commit; oid is that of its blob or tree."""

    path: str
    oid: str
    is_folder: bool


# What an id stands for never changes, and a client asks for it file by file.


@lru_cache(maxsize=256)
def _tree(repository: Path, commit: str) -> Mapping[str, Entry]:
    entries = {}
    with Repo(str(repository)) as git:
        found = git[ObjectID(commit.encode())]
        assert isinstance(found, Commit)
        for item in iter_tree_contents(git.object_store, found.tree, include_trees=True):
            if item.path:  # the root itself has none
                path = item.path.decode()
                entries[path] = Entry(path, item.sha.decode(), item.mode == _FOLDER)
    return entries


@lru_cache(maxsize=64)
def _content(repository: Path, blob: str) -> bytes:
    with Repo(str(repository)) as git:
        found = git[ObjectID(blob.encode())]
        assert isinstance(found, Blob)
        return found.data


class GitRepository:
    """A bare repository. Methods raise HubError for what a client asks for in vain."""

    def __init__(self, path: Path, lock: threading.Lock) -> None:
        self._path = path
        self._lock = lock
        self._git = Repo(str(path))

    # References

    def references(self, prefix: str) -> dict[str, str]:
        """Return the commits of all references below the prefix, by what follows the prefix."""
        names = [name.decode() for name in self._git.refs.subkeys(Ref(prefix.encode()))]
        return {name: self.resolve(f"{prefix}/{name}") for name in sorted(names)}

    def resolve(self, revision: str) -> str:
        """Return the commit of a branch, a tag, a full reference or a commit id."""
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name.startswith("refs/") and self._exists(name):
                return self._peeled(self._git.refs[Ref(name.encode())])
        if _COMMIT_ID.fullmatch(revision) and ObjectID(revision.encode()) in self._git:
            return self._peeled(ObjectID(revision.encode()))
        raise errors.revision_not_found(revision)

    def create_reference(self, name: str, target: str) -> None:
        """Create a reference; 409 when there is one of that name or one in its way."""
        _check_reference(name)
        try:
            created = self._git.refs.add_if_new(Ref(name.encode()), ObjectID(target.encode()))
        except (NotADirectoryError, IsADirectoryError, FileExistsError):
            created = False
        if not created:
            raise errors.conflict(f"Reference already exists: {name}")

    def create_tag(self, name: str, target: str, message: str | None, author: str) -> None:
        """Create a tag, an annotated one if there is a message."""
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
        """Delete a branch or a tag, though never the default branch."""
        if name == MAIN:
            raise errors.forbidden("the default branch cannot be deleted")
        if not self._exists(name):
            raise errors.revision_not_found(name)
        self._git.refs.remove_if_equals(Ref(name.encode()), None)

    def _exists(self, name: str) -> bool:
        reference = Ref(name.encode())
        return check_ref_format(reference) and reference in self._git.refs

    def _peeled(self, identifier: ObjectID) -> str:
        found = self._git[identifier]
        while isinstance(found, Tag):
            found = self._git[found.object[1]]
        if not isinstance(found, Commit):
            raise errors.revision_not_found(identifier.decode())
        return found.id.decode()

    # Reading

    def tree(self, commit: str) -> Mapping[str, Entry]:
        """Return every file and folder of a commit by its path, in git's order."""
        return _tree(self._path, commit)

    def content(self, blob: str) -> bytes:
        """Return a blob's bytes."""
        return _content(self._path, blob)

    def text(self, commit: str, path: str) -> str:
        """Return a text file, empty when the commit has no such file."""
        entry = self.tree(commit).get(path)
        if entry is None or entry.is_folder:
            return ""
        return self.content(entry.oid).decode(errors="replace")

    def commit_object(self, commit: str) -> Commit:
        """Return a commit with its message, author and time."""
        found = self._git[ObjectID(commit.encode())]
        assert isinstance(found, Commit)
        return found

    def history(
        self, commit: str, *, path: str | None = None, without: str | None = None
    ) -> Iterator[Commit]:
        """Yield a commit and its ancestors, the newest first.

        Args:
            commit: where to begin.
            path: only commits that changed this file or folder.
            without: leave out this commit and its ancestors.
        """
        walker = self._git.get_walker(
            include=[ObjectID(commit.encode())],
            exclude=[ObjectID(without.encode())] if without else None,
            paths=[path.encode()] if path else None,
        )
        for step in walker:
            yield step.commit

    def lfs_path(self, sha256: str) -> Path:
        """Return where an LFS object is, or will be once it is here and right."""
        return self._path / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256

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

        Raises a 412 when the reference is not at the parent, which is a commit id, perhaps
        abbreviated, or empty when any head will do.
        """
        stale = errors.HubError(412, "A commit has happened since. Please refresh and try again.")
        with self._lock:
            if not self._exists(reference):
                raise errors.revision_not_found(reference)
            head = self._git.refs[Ref(reference.encode())]
            if not head.decode().startswith(parent.lower()):
                raise stale
            commit = self.commit_onto(head.decode(), operations, message=message, author=author)
            # Another process, git itself for one, knows nothing of the lock.
            if not self._git.refs.set_if_equals(
                Ref(reference.encode()), head, ObjectID(commit.encode())
            ):
                raise stale
            return commit

    def commit_onto(
        self, parent: str, operations: Sequence[Operation], *, message: str, author: str
    ) -> str:
        """Store a commit that applies the operations to its parent; no reference has it yet."""
        draft = Draft({e.path: e.oid for e in self.tree(parent).values() if not e.is_folder})
        uploaded = []
        for operation in operations:
            match operation:
                case FileLine(value=file):
                    draft.add(file.path, file.content)
                case LfsFileLine(value=large):
                    draft.add(large.path, self._pointer(large).to_bytes())
                    uploaded.append(large.path)
                case DeletionLine(key="deletedFolder", value=deleted):
                    draft.delete_folder(deleted.path.rstrip("/"))
                case DeletionLine(value=deleted):
                    draft.delete_file(deleted.path)
        self._track(draft, uploaded)
        draft.check_folders()
        return self._store(draft, message, author, [parent])

    def first_commit(self, author: str) -> None:
        """Begin the default branch with the .gitattributes of every new repo."""
        draft = Draft({})
        draft.add(".gitattributes", "".join(map(attributes_line, LFS_PATTERNS.split())).encode())
        self.create_reference(MAIN, self._store(draft, "initial commit", author, []))

    def _pointer(self, file: AddLfsFile) -> Pointer:
        try:
            size = self.lfs_path(file.oid).stat().st_size
        except FileNotFoundError:
            raise errors.bad_request(f"LFS object {file.oid} of {file.path} is missing") from None
        if file.size not in (None, size):
            raise errors.bad_request(f"{file.path} has {size} bytes, not {file.size}")
        return Pointer(file.oid, size)

    def _track(self, draft: Draft, paths: list[str]) -> None:
        oid = draft.files.get(".gitattributes")
        attributes = b""
        if oid is not None:
            attributes = draft.blobs[oid].data if oid in draft.blobs else self.content(oid)
        is_lfs = lfs_matcher(attributes)
        untracked = [path for path in paths if not is_lfs(path)]
        if untracked:
            draft.track(attributes, untracked)

    def _store(self, draft: Draft, message: str, author: str, parents: list[str]) -> str:
        store = self._git.object_store
        for blob in draft.blobs.values():
            store.add_object(blob)
        commit = Commit()
        commit.tree = commit_tree(
            store,
            [(path.encode(), ObjectID(oid.encode()), _FILE) for path, oid in draft.files.items()],
        )
        commit.parents = [ObjectID(parent.encode()) for parent in parents]
        commit.author = commit.committer = _signature(author)
        commit.author_time = commit.commit_time = int(time.time())
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        commit.message = _message(message)
        store.add_object(commit)
        return commit.id.decode()


def lfs_matcher(attributes: bytes) -> Callable[[str], bool]:
    """Return what tells, by a .gitattributes file, whether a path is for LFS."""
    patterns = compile_gitattributes_patterns(parse_git_attributes(BytesIO(attributes)))
    matcher = GitAttributes(patterns)
    return lambda path: matcher.match_path(path.encode()).get(b"filter") == b"lfs"


def ignore_matcher(gitignore: str) -> Callable[[str], bool]:
    """Return what tells, by a .gitignore file, whether a path is to be left out."""
    matcher = IgnoreFilter(read_ignore_patterns(BytesIO(gitignore.encode())))
    return lambda path: bool(matcher.is_ignored(path))


def _check_reference(name: str) -> None:
    if not check_ref_format(Ref(name.encode())) or "/refs/" in name:
        raise errors.bad_request(f"Invalid reference name: {name}")


def _signature(name: str) -> bytes:
    return f"{name} <{name}@users.noreply.huggingface.co>".encode()


def _message(text: str) -> bytes:
    # A commit or tag object with a NUL in its message is malformed to git.
    return text.replace("\0", "").strip().encode() + b"\n"
