"""Shards: the binary description of files and xorbs, in records of 48 bytes.

    header       tag (32 bytes), version u64 = 2, footer size u64
    files        for each file: a file record, its terms, a verification record for each term,
                 a metadata record with the SHA-256; then an end record
    xorbs        for each xorb: a xorb record, a record for each chunk; then an end record
    rest         lookup tables and a footer of 200 bytes, only in shards of the server

All integers are little-endian. Source: https://huggingface.co/docs/xet/shard and
xet_core_structures/src/metadata_shard in xet-core.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ved.localhub import errors
from ved.localhub.xet import hashes

_TAG = b"HFRepoMetaData\0" + bytes.fromhex("5569 6745 6a7b 8157 83a5 bdd9 5ccd d14a a9")
_VERSION = 2
_FOOTER_VERSION = 1
_RECORD_SIZE = 48  # bytes
_HEADER = struct.Struct("<32s2Q")
_FILE = struct.Struct("<32s2I8x")  # hash, flags, number of terms
_TERM = struct.Struct("<32s4I")  # xorb, flags, unpacked size, first chunk, end chunk
_DIGEST = struct.Struct("<32s16x")  # a verification or metadata record
_XORB = struct.Struct("<32s4I")  # hash, flags, number of chunks, unpacked size, stored size
_CHUNK = struct.Struct("<32s4I")  # hash, offset in the unpacked xorb, unpacked size, flags, unused
_FOOTER = struct.Struct("<9Q32s2Q48x4Q")
_END = b"\xff" * 32 + bytes(16)
_HAS_VERIFICATION = 1 << 31
_HAS_METADATA = 1 << 30
_IS_DEDUP_ELIGIBLE = 1 << 31


@dataclass(frozen=True)
class Term:
    """A range of chunks of one xorb.

    Attributes:
        xorb: the hash of the xorb.
        size: the unpacked size of the range in bytes.
        start: the index of the first chunk.
        end: the index after the last chunk.
    """

    xorb: bytes
    size: int
    start: int
    end: int


@dataclass(frozen=True)
class XetFile:
    """A file.

    Attributes:
        hash: the file hash.
        terms: the terms, in the order of the file.
        verification: the verification hash of each term.
        sha256: the SHA-256 in hexadecimal.
    """

    hash: bytes
    terms: list[Term]
    verification: list[bytes]
    sha256: str


@dataclass(frozen=True)
class ListedXorb:
    """A xorb as a shard lists it.

    Attributes:
        hash: the hash of the xorb.
        chunks: the hashes and unpacked sizes of its chunks.
        eligible: the hashes of the chunks that are marked for dedup queries.
    """

    hash: bytes
    chunks: list[hashes.Node]
    eligible: set[bytes]


@dataclass(frozen=True)
class Shard:
    """The content of a shard."""

    files: list[XetFile]
    xorbs: list[ListedXorb]


def parse_shard(content: bytes) -> Shard:
    """Return the content of a shard.

    Raises:
        HubError: 400, the shard is malformed, or a file has no verification or no SHA-256.
    """
    records = _Records(content)
    try:
        tag, version, _ = records.take(_HEADER)
        if tag != _TAG or version != _VERSION:
            raise errors.bad_request("This is not a shard of version 2")
        return Shard(list(_files(records)), list(_xorbs(records)))
    except struct.error as error:
        raise errors.bad_request("The shard is truncated") from error


class _Records:
    """A reader of records."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def take(self, record: struct.Struct) -> tuple[Any, ...]:
        """Return the fields of the next record.

        Raises:
            struct.error: the shard ends before.
        """
        fields = record.unpack_from(self._content, self._position)
        self._position += _RECORD_SIZE
        return fields

    def take_end(self) -> bool:
        """Tell whether the next record ends a section, and skip it then."""
        is_end = self._content.startswith(_END, self._position)
        self._position += _RECORD_SIZE if is_end else 0
        return is_end


def _files(records: _Records) -> Iterator[XetFile]:
    while not records.take_end():
        digest, flags, count = records.take(_FILE)
        terms = []
        for _ in range(count):
            xorb, _, size, start, end = records.take(_TERM)
            terms.append(Term(xorb, size, start, end))
        if not (flags & _HAS_VERIFICATION and flags & _HAS_METADATA):
            raise errors.bad_request("A file of the shard has no verification or no SHA-256")
        verification = [records.take(_DIGEST)[0] for _ in range(count)]
        sha256 = hashes.to_text(records.take(_DIGEST)[0])
        yield XetFile(digest, terms, verification, sha256)


def _xorbs(records: _Records) -> Iterator[ListedXorb]:
    while not records.take_end():
        digest, _, count, *_ = records.take(_XORB)
        chunks = [records.take(_CHUNK) for _ in range(count)]
        nodes = [(chunk, size) for chunk, _, size, _, _ in chunks]
        eligible = {chunk for chunk, _, _, flags, _ in chunks if flags & _IS_DEDUP_ELIGIBLE}
        yield ListedXorb(digest, nodes, eligible)


def dedup_shard(
    xorbs: Iterable[tuple[ListedXorb, int]], key: bytes, created: int, expiry: int
) -> bytes:
    """Return the shard that answers a dedup query: xorbs, and no files.

    The lookup tables are empty. Clients do without them.

    Args:
        xorbs: the xorbs, with their stored sizes in bytes.
        key: 32 bytes. The shard has keyed hashes of the chunks, which tell nothing to clients
            that do not have the chunks.
        created: in seconds since the epoch.
        expiry: the time after which clients forget the shard, in seconds since the epoch.
    """
    section, total_size, total_stored = [], 0, 0
    for xorb, stored_size in xorbs:
        size = sum(size for _, size in xorb.chunks)
        section.append(_XORB.pack(xorb.hash, 0, len(xorb.chunks), size, stored_size))
        offset = 0
        for chunk, chunk_size in xorb.chunks:
            section.append(_CHUNK.pack(hashes.keyed(chunk, key), offset, chunk_size, 0, 0))
            offset += chunk_size
        total_size += size
        total_stored += stored_size
    head = _HEADER.pack(_TAG, _VERSION, _FOOTER.size) + _END
    body = head + b"".join(section) + _END
    footer = _FOOTER.pack(
        _FOOTER_VERSION,
        _HEADER.size,  # where files begin
        len(head),  # where xorbs begin
        *(len(body), 0) * 3,  # where the lookup tables begin, and their numbers of entries
        key,
        created,
        expiry,
        total_stored,
        total_size,
        total_stored,
        len(body),
    )
    return body + footer
