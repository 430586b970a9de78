"""Files on the Hub that are read where they are, in parts or once to the end, and not kept."""

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import requests
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status
from requests.exceptions import ChunkedEncodingError

from ved.errors import ErrorCode, VedError
from ved.hub import http
from ved.hub.http import CHUNK_BYTES, read_limited, retry_truncated, wait_before_retry
from ved.interruption import raise_if_interrupted


@dataclass(frozen=True)
class LocatedFile:
    """A file at the place that serves its bytes.

    Attributes:
        url: that place.
        token: what it is told; False for nothing.
        size: of the whole file, in bytes.
        action: what is being done, for errors; as for `ved.hub_errors.explained`.
        again: locates it anew, because signed addresses run out.
    """

    url: str
    token: str | bool | None
    size: int
    action: str
    again: "Callable[[], LocatedFile]"

    def part(self, start: int, length: int) -> bytes:
        """Return some of its bytes, for which the place is asked."""
        return retry_truncated(lambda: self._ask(start, length), self.action)

    @contextmanager
    def stream(self) -> "Iterator[FileStream]":
        """Yield it to be read once, from one answer or as many as it takes."""
        with closing(self._pieces()) as pieces:
            yield FileStream(self, pieces)

    def _pieces(self) -> Generator[bytes]:
        """Yield its bytes in order, and go on where an answer breaks off.

        Raises:
            ChunkedEncodingError: one attempt after another brings nothing.
        """
        place, position, failed = self, 0, 0
        while position < self.size:
            try:
                for piece in place._rest(position):
                    position += len(piece)
                    failed = 0
                    yield piece
            except ChunkedEncodingError:
                failed += 1
                if failed == http.ATTEMPTS:
                    raise
                wait_before_retry(f"The connection broke off when trying to {self.action}", failed)
                place = place.again()

    def _rest(self, start: int) -> Iterator[bytes]:
        with self._get(f"{start}-") as response:
            if start and response.status_code != requests.codes.partial_content:
                raise self._other_part()
            content = response.iter_content(CHUNK_BYTES)
            first = next(content, b"")
            if not first:
                raise ChunkedEncodingError("an empty answer")
            yield first
            yield from content

    def _ask(self, start: int, length: int) -> bytes:
        part = f"{start}-{start + length - 1}"
        with self._get(part) as response:
            if response.headers.get("Content-Range") == f"bytes {part}/{self.size}":
                content = read_limited(response, length)
                if len(content) == length:
                    return content
        raise self._other_part()

    @contextmanager
    def _get(self, part: str) -> Iterator[requests.Response]:
        # Of a compressed answer, a range would be one of compressed bytes.
        asked = {"Range": f"bytes={part}", "Accept-Encoding": "identity"}
        headers = {**build_hf_headers(token=self.token), **asked}
        with get_session().get(self.url, headers=headers, stream=True) as response:
            hf_raise_for_status(response)
            yield response

    def _other_part(self) -> VedError:
        return VedError(
            f"Cannot {self.action}: what was sent is not the part that was asked for.",
            "Check the endpoint: it, or a proxy on the way, seems not to serve ranges.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )


class FileStream:
    """A file elsewhere that is read once, from its beginning to its end; every byte is hashed.

    Attributes:
        size: of the file, in bytes, as the Hub says.
        action: as in `Located`.
    """

    def __init__(self, source: LocatedFile, pieces: Iterator[bytes]) -> None:
        self.size = source.size
        self.action = source.action
        self._pieces = pieces
        self._piece = b""
        self._end = 0
        self._sha256 = hashlib.sha256()

    def part(self, start: int, length: int) -> bytes:
        """Return some of its bytes.

        They are none of before those that were asked for last, which are gone: who reads headers
        only goes forward, and a buffer keeps what may be wanted twice.

        Raises:
            VedError: the file ends before.
        """
        content = bytearray()
        while len(content) < length:
            position = start + len(content)
            if position < self._end:
                offset = position - (self._end - len(self._piece))
                assert offset >= 0, "what has passed is gone"
                content += self._piece[offset : offset + length - len(content)]
            elif not self._advance():
                raise VedError(
                    f"Cannot {self.action}: it ends after {self._end} bytes.",
                    code=ErrorCode.HUB_DOES_NOT_ANSWER,
                )
        return bytes(content)

    def sha256(self) -> str:
        """Read what is left, and return the sha256 of all, in hexadecimal.

        Of a file that goes on after its size, no more is read than shows that.
        """
        while self._end <= self.size and self._advance():
            pass
        return self._sha256.hexdigest()

    def _advance(self) -> bool:
        raise_if_interrupted()  # of a large file, nobody waits for the end
        self._piece = next(self._pieces, b"")
        self._end += len(self._piece)
        self._sha256.update(self._piece)
        return bool(self._piece)


def locate_file(repo: str, commit: str, name: str, action: str, api: HfApi) -> LocatedFile:
    """Find out where a file's bytes are served, in one request to the Hub.

    Args:
        action: what is being done, for errors.

    Raises:
        VedError: the Hub does not say its size.
        HfHubHTTPError: the Hub refuses.
    """
    url = hf_hub_url(repo, name, revision=commit, endpoint=api.endpoint)
    found = api.get_hf_file_metadata(url=url)
    if found.size is None:
        raise VedError(
            f"Cannot {action}: the Hub does not say its size.",
            "Check the endpoint.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )
    # Large files are on other hosts, at signed addresses; the token is for the Hub alone.
    token = api.token if _origin(found.location) == _origin(url) else False
    again = partial(locate_file, repo, commit, name, action, api)
    return LocatedFile(found.location, token, found.size, action, again)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
