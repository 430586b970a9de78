"""The hashes of Xet: keyed BLAKE3 over chunks, and trees of it over xorbs and files.

Source: https://huggingface.co/docs/xet/hashing and the folder merklehash of xet-core.
"""

import struct
from collections.abc import Iterable, Sequence

from blake3 import blake3

from ved.localhub import errors

SIZE = 32
"""The size of a hash in bytes."""

NO_HASH = bytes(SIZE)
"""The hash of an empty file, and the key of file hashes."""

_CHUNK_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
_TERM_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")

_MEAN_CHILDREN = 4
_MAX_CHILDREN = 9

Node = tuple[bytes, int]
"""A node of a tree: its hash, and the size in bytes of the data below it."""


def to_text(digest: bytes) -> str:
    """Return a hash as text: four little-endian words of 64 bits, each as 16 hexadecimal digits."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", digest))


def from_text(text: str) -> bytes:
    """Return the bytes of a hash in text.

    Raises:
        HubError: 400, this is not a hash.
    """
    try:
        words = struct.unpack(">4Q", bytes.fromhex(text))
    except (ValueError, struct.error):
        raise errors.bad_request(f"Not a hash: {text!r}") from None
    return struct.pack("<4Q", *words)


def last_word(digest: bytes) -> int:
    """Return the last 64 bits of a hash. Several rules depend on its remainders."""
    word: int = struct.unpack_from("<Q", digest, 24)[0]
    return word


def keyed(data: bytes, key: bytes) -> bytes:
    """Return the keyed BLAKE3 of some bytes; the key has 32 bytes."""
    return blake3(data, key=key).digest()


def chunk_hash(data: bytes) -> bytes:
    """Return the hash of an unpacked chunk."""
    return keyed(data, _CHUNK_KEY)


def xorb_hash(chunks: Iterable[Node]) -> bytes:
    """Return the hash of a xorb from the hashes and unpacked sizes of its chunks."""
    return _root(list(chunks))


def file_hash(chunks: Iterable[Node]) -> bytes:
    """Return the hash of a file from the hashes and unpacked sizes of its chunks."""
    nodes = list(chunks)
    return keyed(_root(nodes), NO_HASH) if nodes else NO_HASH


def term_hash(chunk_hashes: Iterable[bytes]) -> bytes:
    """Return the verification hash of a term. It proves that the sender has the chunks' hashes."""
    return keyed(b"".join(chunk_hashes), _TERM_KEY)


def _root(level: list[Node]) -> bytes:
    if not level:
        return NO_HASH
    while len(level) > 1:
        parents, start = [], 0
        while start < len(level):
            end = _group_end(level, start)
            parents.append(_parent(level[start:end]))
            start = end
        level = parents
    return level[0][0]


def _group_end(level: Sequence[Node], start: int) -> int:
    """Return the index after the siblings that begin at `start`. Hashes decide where groups end."""
    if len(level) - start <= 2:
        return len(level)
    limit = min(start + _MAX_CHILDREN, len(level))
    for index in range(start + 2, limit):
        if last_word(level[index][0]) % _MEAN_CHILDREN == 0:
            return index + 1
    return limit


def _parent(children: Sequence[Node]) -> Node:
    text = "".join(f"{to_text(digest)} : {size}\n" for digest, size in children)
    return keyed(text.encode(), _NODE_KEY), sum(size for _, size in children)
