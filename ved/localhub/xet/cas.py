"""The content-addressed storage (CAS): xorbs, and the files that shards describe.

    xet/xorbs/ab/abcd...      a xorb as it was uploaded, by its hash in text
    xet/shards/abcd...        a shard as it was uploaded, by its SHA-256

The storage belongs to no repo. A file becomes an LFS object of the repo that it was uploaded for,
so that clients without Xet can download it.
"""

import hashlib
import secrets
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from ved.localhub import errors
from ved.localhub.large_files import object_path, store_object
from ved.localhub.xet import hashes
from ved.localhub.xet.reconstruction import Reconstruction, reconstruct
from ved.localhub.xet.shards import ListedXorb, Shard, XetFile, dedup_shard, parse_shard
from ved.localhub.xet.xorbs import Xorb, read_xorb, unpacked

_DEDUP_LIFETIME = 24 * 60 * 60  # of answers to dedup queries, in seconds
_DEDUP_REMAINDER = 1024
"""Clients ask for chunks whose hash is divisible by it, and for the first chunk of each file."""


class Cas:
    """The storage of one hub.

    Args:
        root: the folder of the hub.
        incoming: the folder for unfinished files.
    """

    def __init__(self, root: Path, incoming: Path) -> None:
        self._xorb_folder = root / "xet" / "xorbs"
        self._shard_folder = root / "xet" / "shards"
        self._incoming = incoming
        self._lock = threading.Lock()
        self._key = secrets.token_bytes(hashes.SIZE)
        self._xorbs: dict[bytes, Xorb] = {}  # those in use since the start
        self._files: dict[bytes, XetFile] = {}  # by file hash
        self._by_sha256: dict[str, XetFile] = {}
        self._listed: dict[bytes, ListedXorb] = {}  # by xorb
        self._together: dict[bytes, list[ListedXorb]] = {}  # all xorbs of a xorb's shard, by xorb
        self._dedup: dict[bytes, bytes] = {}  # chunk to xorb
        for folder in (self._xorb_folder, self._shard_folder):
            folder.mkdir(parents=True, exist_ok=True)
        stored = [parse_shard(path.read_bytes()) for path in self._shard_folder.iterdir()]
        for shard in stored:
            self._index_xorbs(shard)
        for shard in stored:
            self._index_files(shard)

    def xorb_path(self, digest: bytes) -> Path:
        """Return the path of a xorb. A file there is complete and has the right hash."""
        name = hashes.to_text(digest)
        return self._xorb_folder / name[:2] / name

    def add_xorb(self, digest: bytes, upload: Path) -> bool:
        """Check an uploaded xorb, and move it to its path. Return False if it is there already.

        Raises:
            HubError: 400, the xorb is malformed or has another hash.
        """
        with upload.open("rb") as file:
            xorb = read_xorb(file, digest)
        path = self.xorb_path(digest)
        is_new = not path.exists()
        path.parent.mkdir(exist_ok=True)
        upload.rename(path)
        with self._lock:
            self._xorbs[digest] = xorb
        return is_new

    def find_file(self, *, digest: bytes = b"", sha256: str = "") -> XetFile | None:
        """Return a file by its file hash or by its SHA-256, or None if it is unknown."""
        with self._lock:
            return self._files.get(digest) or self._by_sha256.get(sha256)

    def reconstruct(self, file: XetFile, start: int, end: int | None) -> Reconstruction:
        """Return the reconstruction of a range of a file. See `reconstruction.reconstruct`."""
        return reconstruct(file.terms, self._xorb, start, end)

    def dedup_answer(self, chunk: bytes) -> bytes | None:
        """Return the shard that answers a dedup query, or None if the chunk is unknown."""
        with self._lock:
            if chunk not in self._dedup:
                return None
            xorbs = self._together[self._dedup[chunk]]
        sizes = [self.xorb_path(xorb.hash).stat().st_size for xorb in xorbs]
        now = int(time.time())
        answer = zip(xorbs, sizes, strict=True)
        return dedup_shard(answer, self._key, now, now + _DEDUP_LIFETIME)

    def add_shard(self, content: bytes, repository: Path) -> bool:
        """Check everything that a shard says, and store its files. Return False if it is known.

        Args:
            content: the shard.
            repository: the repo that gets the files as LFS objects.

        Raises:
            HubError: 400, a hash or size is wrong, or a xorb was not uploaded.
        """
        shard = parse_shard(content)
        for listed in shard.xorbs:
            if self._xorb(listed.hash).chunks != listed.chunks:
                raise errors.bad_request(f"Xorb {hashes.to_text(listed.hash)} has other chunks")
        for file in shard.files:
            self._check(file)
        for file in shard.files:
            self._store_object(file, repository)
        path = self._shard_folder / hashlib.sha256(content).hexdigest()
        is_new = not path.exists()
        unfinished = self._incoming / uuid.uuid4().hex
        unfinished.write_bytes(content)
        unfinished.rename(path)
        with self._lock:
            self._index_xorbs(shard)
            self._index_files(shard)
        return is_new

    def _xorb(self, digest: bytes) -> Xorb:
        """Return the chunks of a xorb.

        Raises:
            HubError: 400, the xorb was not uploaded.
        """
        with self._lock:
            known = self._xorbs.get(digest)
        if known is None:
            try:
                with self.xorb_path(digest).open("rb") as file:
                    known = read_xorb(file, digest)
            except FileNotFoundError:
                name = hashes.to_text(digest)
                raise errors.bad_request(f"Xorb {name} was not uploaded") from None
            with self._lock:
                self._xorbs[digest] = known
        return known

    def _check(self, file: XetFile) -> None:
        """Compare the terms and hashes of a file with its xorbs.

        Raises:
            HubError: 400, they differ, or a xorb was not uploaded.
        """
        name = hashes.to_text(file.hash)
        nodes: list[hashes.Node] = []
        for term, verification in zip(file.terms, file.verification, strict=True):
            xorb = self._xorb(term.xorb)
            chunks = xorb.chunks[term.start : term.end]
            if not term.start < term.end <= len(xorb.chunks):
                raise errors.bad_request(f"A term of file {name} is outside of its xorb")
            if term.size != sum(size for _, size in chunks):
                raise errors.bad_request(f"A term of file {name} has another size")
            if verification != hashes.term_hash(digest for digest, _ in chunks):
                raise errors.bad_request(f"A term of file {name} has another verification hash")
            nodes += chunks
        if file.hash != hashes.file_hash(nodes):
            raise errors.bad_request(f"The chunks of file {name} have another file hash")

    def _store_object(self, file: XetFile, repository: Path) -> None:
        """Assemble a file and store it as an LFS object.

        Raises:
            HubError: 400, the file has another SHA-256.
        """
        known = self.find_file(digest=file.hash)
        is_checked = known is not None and known.sha256 == file.sha256
        if is_checked and object_path(repository, file.sha256).exists():
            return
        temporary = self._incoming / uuid.uuid4().hex
        digest = hashlib.sha256()
        try:
            with temporary.open("wb") as target:
                for data in self._data(file):
                    digest.update(data)
                    target.write(data)
            if digest.hexdigest() != file.sha256:
                name = hashes.to_text(file.hash)
                raise errors.bad_request(f"File {name} has sha256 {digest.hexdigest()}")
            store_object(repository, temporary, file.sha256)
        finally:
            temporary.unlink(missing_ok=True)

    def _data(self, file: XetFile) -> Iterator[bytes]:
        for term in file.terms:
            with self.xorb_path(term.xorb).open("rb") as xorb:
                yield from unpacked(xorb, self._xorb(term.xorb), term.start, term.end)

    def _index_xorbs(self, shard: Shard) -> None:
        for xorb in shard.xorbs:
            self._listed.setdefault(xorb.hash, xorb)
            self._together.setdefault(xorb.hash, shard.xorbs)
            for chunk, _ in xorb.chunks:
                if hashes.last_word(chunk) % _DEDUP_REMAINDER == 0 or chunk in xorb.eligible:
                    self._dedup.setdefault(chunk, xorb.hash)

    def _index_files(self, shard: Shard) -> None:
        for file in shard.files:
            self._files[file.hash] = self._by_sha256[file.sha256] = file
            first = file.terms[0] if file.terms else None
            if first and first.xorb in self._listed:
                chunk, _ = self._listed[first.xorb].chunks[first.start]
                self._dedup.setdefault(chunk, first.xorb)
