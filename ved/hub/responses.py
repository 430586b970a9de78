"""Answers with limits: bytes of the body after decompression, and time."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

import httpx2

from ved.hub import connections
from ved.hub.answers import too_large

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


class LimitedResponse(httpx2.Response):
    """A response with limits: bytes after decompression, and time.

    A truncated body always raises the same error, however it was truncated.

    Attributes:
        max_bytes: bytes of the body, at most, after decompression; None for no limit, for callers
            that stop reading themselves.
        is_shortened: whether only the beginning of a longer body is read.
    """

    max_bytes: int | None = MAX_ANSWER_BYTES
    is_shortened = False

    @classmethod
    def of(cls, response: httpx2.Response, request: httpx2.Request) -> "LimitedResponse":
        """Return an answer of a transport with limits."""
        assert isinstance(response.stream, httpx2.SyncByteStream)
        return cls(
            response.status_code,
            headers=response.headers,
            stream=_TimedStream(response.stream),
            request=request,
            extensions=response.extensions,
        )

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield the body in chunks of bytes, each as soon as it arrives, of up to one million.

        Raises:
            RemoteProtocolError: the body is truncated.
            DecodingError: the body cannot be decompressed.
            RefusedAnswerError: the body is too large, or the connection is too slow.
        """
        limit = None if hasattr(self, "_content") else self.max_bytes
        size = 0
        try:
            if limit is not None and not self.is_shortened and self._announced() > limit:
                raise too_large(limit)
            for chunk in super().iter_bytes():
                size += len(chunk)
                if limit is not None and size > limit:
                    if not self.is_shortened:
                        raise too_large(limit)
                    yield chunk[: len(chunk) - (size - limit)]
                    break
                yield chunk
        except (httpx2.NetworkError, httpx2.TimeoutException) as error:
            raise httpx2.RemoteProtocolError(str(error)) from error
        finally:
            self.close()

    def _announced(self) -> int:
        """Return the number of bytes that the headers announce, before decompression."""
        length = self.headers.get("Content-Length", "")
        has_body = self.request.method != "HEAD"
        return int(length) if has_body and re.fullmatch(r"\d{1,18}", length) else 0

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
            raise json.JSONDecodeError(reason, "", 0) from None


class _TimedStream(httpx2.SyncByteStream):
    """The bytes of a body as they are sent. Only receiving takes time."""

    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self._stream)
        size, seconds = 0, 0.0
        while True:
            begin = monotonic()
            allowed = connections.PATIENCE + size / connections.SLOWEST_RATE
            with connections.time_limit(allowed - seconds):
                chunk = next(chunks, None)
            seconds += monotonic() - begin
            if chunk is None:
                return
            size += len(chunk)
            yield chunk

    def close(self) -> None:
        """Release the connection."""
        self._stream.close()


def read_limited(response: httpx2.Response, length: int) -> bytes:
    """Return the body, or if it is longer than `length` bytes, its beginning: one byte more.

    Args:
        response: a streamed response.
        length: bytes.
    """
    without_limit(response)
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > length:  # a connection is used again only after the whole body
            break
    return bytes(content[: length + 1])


def without_limit(response: httpx2.Response) -> None:
    """Have the caller stop reading by itself. A connection that is too slow is still refused."""
    if isinstance(response, LimitedResponse):
        response.max_bytes = None


def remaining_bytes(request: httpx2.Request) -> int:
    """Return how many bytes the answer to a request for a file, or for its rest, may have."""
    size = _file_bytes.get()
    if size is None:
        return MAX_ANSWER_BYTES
    resumed = re.fullmatch(r"bytes=(\d{1,18})-", request.headers.get("Range", ""))
    return max(0, size - int(resumed[1])) if resumed else size
