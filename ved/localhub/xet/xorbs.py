"""Xorbs: files of compressed chunks.

A xorb is a sequence of chunks. A chunk has a header of 8 bytes, then its packed data:

    version u8 = 0, packed size u24, scheme u8, unpacked size u24      (all little-endian)

Source: https://huggingface.co/docs/xet/xorb and xet_core_structures/src/xorb_object in xet-core.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO

import lz4.frame

from ved.localhub import errors
from ved.localhub.xet import hashes

MAX_SIZE = 64 * 2**20
"""The maximum size of a xorb: of all its chunks, unpacked, in bytes."""

_MAX_CHUNKS = 8192
_MAX_CHUNK_SIZE = 128 * 2**10  # in bytes, unpacked
_HEADER_SIZE = 8  # in bytes
_FOOTER_TAG = b"XETBLOB"  # older clients send a footer after the chunks


@dataclass(frozen=True)
class Xorb:
    """The chunks of a stored xorb.

    Attributes:
        chunks: the hash and the unpacked size in bytes of each chunk.
        ends: the offset in the stored xorb at which each chunk ends, in bytes.
    """

    chunks: list[hashes.Node]
    ends: list[int]

    def offset(self, chunk: int) -> int:
        """Return the offset in the stored xorb at which a chunk begins, in bytes."""
        return self.ends[chunk - 1] if chunk else 0


def read_xorb(file: IO[bytes], expected: bytes) -> Xorb:
    """Unpack all chunks of a xorb and check its hash.

    Args:
        file: the stored xorb.
        expected: the hash of the xorb.

    Raises:
        HubError: 400, the xorb is malformed or too large, or has another hash.
    """
    xorb = Xorb([], [])
    total = 0
    for data, end in _chunks(file):
        total += len(data)
        if len(xorb.ends) == _MAX_CHUNKS or total > MAX_SIZE:
            raise errors.bad_request("The xorb is too large")
        xorb.chunks.append((hashes.chunk_hash(data), len(data)))
        xorb.ends.append(end)
    found = hashes.xorb_hash(xorb.chunks)
    if not xorb.ends or found != expected:
        raise errors.bad_request(f"The xorb has hash {hashes.to_text(found)}")
    return xorb


def unpacked(file: IO[bytes], xorb: Xorb, start: int, end: int) -> Iterator[bytes]:
    """Yield the unpacked data of some chunks of a stored xorb.

    Args:
        file: the stored xorb.
        xorb: its chunks.
        start: the index of the first chunk.
        end: the index after the last chunk.
    """
    file.seek(xorb.offset(start))
    for data, _ in islice(_chunks(file), end - start):
        yield data


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield the unpacked data of each chunk, and the offset in the file at which the chunk ends.

    Raises:
        HubError: 400, a chunk is malformed.
    """
    while header := file.read(_HEADER_SIZE):
        if header.startswith(_FOOTER_TAG):
            return
        if len(header) < _HEADER_SIZE or header[0] != 0:
            raise errors.bad_request("A chunk of the xorb has a malformed header")
        packed_size = int.from_bytes(header[1:4], "little")
        size = int.from_bytes(header[5:8], "little")
        packed = file.read(packed_size)
        if len(packed) < packed_size or not 0 < size <= _MAX_CHUNK_SIZE:
            raise errors.bad_request("A chunk of the xorb is truncated, empty or too large")
        yield _unpack(packed, header[4], size), file.tell()


def _unpack(packed: bytes, scheme: int, size: int) -> bytes:
    match scheme:
        case 0:
            data = packed
        case 1:
            data = _decompress(packed, size)
        case 2:
            data = _ungroup(_decompress(packed, size))
        case _:
            raise errors.bad_request(f"A chunk of the xorb has the unknown scheme {scheme}")
    if len(data) != size:
        raise errors.bad_request("A chunk of the xorb has another size than its header says")
    return data


def _decompress(packed: bytes, size: int) -> bytes:
    """Decompress an LZ4 frame. Its result may be wrong in size, but is bounded."""
    try:
        data: bytes = lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=size + 1)
    except RuntimeError as error:
        raise errors.bad_request(f"A chunk of the xorb is not an LZ4 frame: {error}") from error
    return data


def _ungroup(grouped: bytes) -> bytes:
    """Undo byte grouping: the bytes 0, 4, 8 ... of the data come first, then 1, 5, 9 ..."""
    data, start = bytearray(len(grouped)), 0
    for lane in range(4):
        end = start + len(data[lane::4])
        data[lane::4] = grouped[start:end]
        start = end
    return bytes(data)
