"""Answers with limits: bytes of the body after decompression, and time."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import requests
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from urllib3.exceptions import DecodeError, ProtocolError, ReadTimeoutError, SSLError

from ved.hub import connections
from ved.hub.answers import RefusedAnswerError, too_large, too_slow

CHUNK_BYTES = 2**20
"""Bytes to read from a connection at a time, at most."""

MAX_ANSWER_BYTES = 32 * 2**20
"""Bytes of an answer, at most, after decompression, unless it is a file of a known size. The Hub's
answer about a repo of 50,000 files has about 15 MB."""

MAX_ERROR_BYTES = 64 * 2**10
"""Bytes to read of an answer that is an error or a redirect, at most. The rest is ignored."""

_file_bytes: ContextVar[int | None] = ContextVar("file_bytes", default=None)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Refuse a file that is larger than the Hub reports, in downloads inside the block.

    Args:
        size: bytes.
    """
    token = _file_bytes.set(size)
    try:
        yield
    finally:
        _file_bytes.reset(token)


class LimitedResponse(requests.Response):
    """A response with limits: bytes after decompression, and time.

    A truncated body always raises the same error, however it was truncated.

    Attributes:
        max_bytes: bytes of the body, at most, after decompression; None for no limit, for callers
            that stop reading themselves.
    """

    max_bytes: int | None = MAX_ANSWER_BYTES

    def iter_content(self, chunk_size: int | None = None, decode_unicode: bool = False) -> Any:
        """Yield the body in chunks of bytes, each as soon as it arrives.

        Raises:
            ChunkedEncodingError: the body is truncated.
            ContentDecodingError: the body cannot be decompressed.
            RefusedAnswerError: the body is too large, or the connection is too slow.
        """
        if isinstance(self._content, bytes):
            yield from super().iter_content(chunk_size)
            return
        limit = self.max_bytes
        if limit is not None and (self.raw.length_remaining or 0) > limit:
            self.close()
            raise too_large(limit)
        try:
            for size, chunk in self._read(min(chunk_size or CHUNK_BYTES, CHUNK_BYTES)):
                if limit is not None and size > limit:
                    raise too_large(limit)
                yield chunk
        except (ProtocolError, ReadTimeoutError, SSLError) as error:
            raise ChunkedEncodingError(error) from error
        except DecodeError as error:
            raise ContentDecodingError(error) from error
        except RefusedAnswerError:
            self.close()
            raise
        self._content_consumed = True

    def _read(self, chunk_size: int) -> Iterator[tuple[int, bytes]]:
        """Yield the size of the body so far, and a chunk of it. Only reading takes time."""
        size, seconds = 0, 0.0
        while True:
            begin = time.monotonic()
            chunk = self.raw.read1(chunk_size, decode_content=True)
            seconds += time.monotonic() - begin
            if not chunk:
                return
            if seconds > connections.PATIENCE + self.raw.tell() / connections.SLOWEST_RATE:
                raise too_slow()
            size += len(chunk)
            yield size, chunk

    def read_beginning(self, length: int) -> None:
        """Read the body, or its beginning if it is longer, and have that for the whole."""
        self.max_bytes = None
        content = read_limited(self, length)[:length]
        self.close()
        self._content, self._content_consumed = content, True

    def json(self, **kwargs: Any) -> Any:
        """Return the content of a body of JSON.

        Raises:
            JSONDecodeError: the body is not JSON, or cannot be read for its depth or a number.
        """
        try:
            return super().json(**kwargs)
        except (RecursionError, ValueError) as error:
            # The text of an error about a body may repeat all of it.
            reason = f"{type(error).__name__} in a body of {len(self.content)} bytes"
            raise requests.exceptions.JSONDecodeError(reason, "", 0) from None


def read_limited(response: requests.Response, length: int) -> bytes:
    """Return the body, or if it is longer than `length` bytes, its beginning.

    Args:
        response: a streamed response.
        length: bytes. At most one chunk more is read, enough to see that a body is longer.
    """
    without_limit(response)
    content = bytearray()
    for chunk in response.iter_content(min(length, CHUNK_BYTES)):
        content += chunk
        if len(content) >= length:
            break
    return bytes(content)


def without_limit(response: requests.Response) -> None:
    """Have the caller stop reading by itself. A connection that is too slow is still refused."""
    if isinstance(response, LimitedResponse):
        response.max_bytes = None


def remaining_bytes(request: Any) -> int:
    """Return how many bytes the answer to a request for a file, or for its rest, may have."""
    size = _file_bytes.get()
    if size is None:
        return MAX_ANSWER_BYTES
    resumed = re.fullmatch(r"bytes=(\d{1,18})-", request.headers.get("Range", ""))
    return max(0, size - int(resumed[1])) if resumed else size
