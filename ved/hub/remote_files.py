"""Read files on the Hub without keeping them: in ranges, or once from beginning to end."""

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from ved.errors import ErrorCode, VedError
from ved.hub import responses, retries
from ved.interruption import raise_if_interrupted


@dataclass(frozen=True)
class LocatedFile:
    """A file at the address that serves its bytes.

    Attributes:
        url: the address. It may be signed, and expire.
        token: the bearer token to send; False sends none.
        size: bytes of the whole file.
        action: what the caller does, for errors; see `ved.hub.errors.translated_errors`.
        locate_again: asks the Hub for a new address.
        xet_hash: the hash by which Xet stores the file; None if it is not stored by Xet.
    """

    url: str
    token: str | bool | None
    size: int
    action: str
    locate_again: "Callable[[], LocatedFile]"
    xet_hash: str | None = None

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, in one request.

        Raises:
            VedError: the server does not support ranges.
            HTTPError: the server does not answer.
        """
        return retries.retry_truncated(lambda: self._request_range(start, length), self.action)

    @contextmanager
    def open_stream(self) -> "Iterator[FileStream]":
        """Yield the file as a stream. A truncated answer is continued by another request."""
        with closing(self._chunks()) as chunks:
            yield FileStream(self, chunks)

    def _chunks(self) -> Generator[bytes]:
        """Yield all bytes in order.

        Raises:
            RemoteProtocolError: several attempts in a row bring nothing.
        """
        place, position, failed = self, 0, 0
        while position < self.size:
            try:
                for chunk in place._chunks_from(position):
                    position += len(chunk)
                    failed = 0
                    yield chunk
            except httpx2.RemoteProtocolError:
                failed += 1
                if failed == retries.ATTEMPTS:
                    raise
                problem = f"The connection was cut while trying to {self.action}"
                retries.wait_before_retry(problem, failed)
                place = place.locate_again()

    def _chunks_from(self, start: int) -> Iterator[bytes]:
        with self._get(f"{start}-") as response:
            if start and response.status_code != httpx2.codes.PARTIAL_CONTENT:
                raise self._wrong_range()
            chunks = response.iter_bytes()
            first = next(chunks, b"")
            if not first:
                raise httpx2.RemoteProtocolError("an empty answer")
            yield first
            yield from chunks

    def _request_range(self, start: int, length: int) -> bytes:
        wanted = f"{start}-{start + length - 1}"
        with self._get(wanted) as response:
            if response.headers.get("Content-Range") == f"bytes {wanted}/{self.size}":
                content = responses.read_limited(response, length)
                if len(content) == length:
                    return content
        raise self._wrong_range()

    @contextmanager
    def _get(self, wanted: str) -> Iterator[httpx2.Response]:
        # A range of a compressed answer would be a range of the compressed bytes.
        fields = {"Range": f"bytes={wanted}", "Accept-Encoding": "identity"}
        headers = {**build_hf_headers(token=self.token), **fields}
        with get_session().stream("GET", self.url, headers=headers) as response:
            hf_raise_for_status(response)
            responses.without_limit(response)  # every caller stops by itself
            yield response

    def _wrong_range(self) -> VedError:
        return VedError(
            f"Cannot {self.action}: the server sent another range than VED requested.",
            "Check the endpoint. The server, or a proxy, seems not to support range requests.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )


class FileStream:
    """A remote file that is read once, from beginning to end. Every byte is hashed.

    Attributes:
        size: bytes of the file, according to the Hub.
        action: see `LocatedFile`.
    """

    def __init__(self, source: LocatedFile, chunks: Iterator[bytes]) -> None:
        self.size = source.size
        self.action = source.action
        self._chunks = chunks
        self._chunk = b""
        self._end = 0
        self._sha256 = hashlib.sha256()

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`.

        Reads are forward-only: chunks before the one of the last requested byte are discarded.

        Raises:
            VedError: the file ends before.
        """
        content = bytearray()
        while len(content) < length:
            position = start + len(content)
            if position < self._end:
                offset = position - (self._end - len(self._chunk))
                assert offset >= 0, "reads are forward-only"
                content += self._chunk[offset : offset + length - len(content)]
            elif not self._advance():
                raise VedError(
                    f"Cannot {self.action}: it ends after {self._end} bytes.",
                    code=ErrorCode.HUB_DOES_NOT_ANSWER,
                )
        return bytes(content)

    def sha256(self) -> str:
        """Read the rest of the file, and return the sha256 of the whole, in hexadecimal.

        Reads at most one chunk past `size`, enough to detect a file that is longer than announced.
        """
        while self._end <= self.size and self._advance():
            pass
        return self._sha256.hexdigest()

    def _advance(self) -> bool:
        """Read the next chunk, and return whether there is one."""
        raise_if_interrupted()  # a large file takes long
        self._chunk = next(self._chunks, b"")
        self._end += len(self._chunk)
        self._sha256.update(self._chunk)
        return bool(self._chunk)


def locate_file(repo: str, commit: str, name: str, action: str, api: HfApi) -> LocatedFile:
    """Ask the Hub for the address that serves a file, in one request.

    Args:
        repo: the repo's id.
        commit: 40 hexadecimal digits.
        name: the file's path in the repo.
        action: what the caller does, for errors.
        api: the client.

    Raises:
        VedError: the Hub does not report the file's size.
        HfHubHTTPError: the Hub refuses.
    """
    url = hf_hub_url(repo, name, revision=commit, endpoint=api.endpoint)
    found = api.get_hf_file_metadata(url=url)
    if found.size is None:
        raise VedError(
            f"Cannot {action}: the Hub does not report its size.",
            "Check that the endpoint is the address of a Hub.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )
    # Other hosts serve large files at signed addresses. Only the Hub gets the token.
    token = api.token if _origin(found.location) == _origin(url) else False
    again = partial(locate_file, repo, commit, name, action, api)
    xet_hash = found.xet_file_data.file_hash if found.xet_file_data else None
    return LocatedFile(found.location, token, found.size, action, again, xet_hash)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
