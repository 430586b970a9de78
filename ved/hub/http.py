"""The HTTP session of huggingface_hub's client: time limits, retries, and who gets the token.

Retries happen in the adapter of the session and nowhere else. huggingface_hub retries some requests
by itself, which would multiply the attempts. So a request that has used up its attempts raises an
error that huggingface_hub does not retry.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import requests
from huggingface_hub import HfApi, configure_http_backend, constants
from huggingface_hub.utils import hf_raise_for_status
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, RetryError
from requests.utils import rewind_body
from urllib3.exceptions import InvalidHeader, NewConnectionError
from urllib3.util.retry import Retry

from ved.errors import ErrorCode, RequestError
from ved.hub import retries
from ved.interruption import raise_if_interrupted
from ved.text import quoted

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes of an answer."""

CHUNK_BYTES = 2**20
"""Bytes to read from a connection at a time, at most."""

_CACHE_KEY_HEADERS = ("ETag", "X-Linked-ETag", "X-Repo-Commit")
"""Headers that huggingface_hub uses as names of files and folders in its cache, unchecked."""

_CACHE_KEY = r'(W/)?"?[0-9A-Za-z_-]+"?'


class _Response(requests.Response):
    """A response whose truncated body always raises the same error, however it was truncated."""

    def iter_content(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Yield the body in chunks.

        Raises:
            ChunkedEncodingError: the body is truncated.
        """
        try:
            yield from super().iter_content(*args, **kwargs)
        except requests.ConnectionError as error:
            raise ChunkedEncodingError(error) from error

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


class _RetryingAdapter(HTTPAdapter):
    """Retries requests.

    Every request of VED can be repeated: a commit names its parent, so it cannot happen twice, and
    a repo is created once.
    """

    def send(self, request: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send a request, up to `retries.ATTEMPTS` times.

        Raises:
            HfHubHTTPError: the last answer has one of `retries.RETRYABLE_STATUSES`.
            RetryError: there is no answer.
            KeyboardInterrupt: the process was interrupted. Checked before each attempt, so that no
                file is written while the process cleans up.
        """
        for attempt in count(1):
            raise_if_interrupted()
            try:
                response = self._attempt(request, **kwargs)
            except (requests.ConnectionError, requests.Timeout, ChunkedEncodingError) as error:
                unreachable = _is_unreachable(error)
                if attempt >= (retries.CONNECTION_ATTEMPTS if unreachable else retries.ATTEMPTS):
                    raise RetryError(error, request=request) from error
                retries.wait_before_retry("The Hub does not answer", attempt)
            else:
                if response.status_code not in retries.RETRYABLE_STATUSES:
                    break
                if attempt == retries.ATTEMPTS:
                    hf_raise_for_status(response)
                response.close()
                problem = f"The Hub answers {response.status_code}"
                retries.wait_before_retry(problem, attempt, _retry_after(response))
            if isinstance(request._body_position, int):
                rewind_body(request)
        return response

    def _attempt(self, request: Any, *, stream: bool = False, **kwargs: Any) -> requests.Response:
        # huggingface_hub sets 10 seconds for some requests, and no limit for others.
        kwargs["timeout"] = TIMEOUT
        response = super().send(request, stream=stream, **kwargs)
        if not stream:
            _ = response.content  # reads the body, which may be truncated
        return response

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """Return urllib3's response as one of requests, without headers that are not safe."""
        response = super().build_response(req, resp)
        response.__class__ = _Response
        for name in _CACHE_KEY_HEADERS:
            if not re.fullmatch(_CACHE_KEY, response.headers.get(name, "-")):
                del response.headers[name]
        return response


class _ThirdPartyAdapter(_RetryingAdapter):
    """Adapter for all hosts but the Hub: removes the token from requests."""

    def send(self, request: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send a request without `Authorization`; see `_RetryingAdapter.send`."""
        request.headers.pop("Authorization", None)
        return super().send(request, **kwargs)


def connect(token: str | None = None, *trusted_urls: str) -> HfApi:
    """Configure huggingface_hub's HTTP sessions, and return a client.

    Args:
        token: the token to send; None for the one that huggingface_hub finds.
        trusted_urls: beginnings of addresses besides the Hub's that may get an `Authorization`.

    Raises:
        RequestError: the endpoint is not an address.
    """
    if not _is_address(constants.ENDPOINT):
        raise RequestError(
            f"The endpoint {quoted(constants.ENDPOINT)} is not the address of a Hub.",
            "Correct the endpoint. It begins with https:// or http://.",
            code=ErrorCode.WRONG_INPUT,
        )
    configure_http_backend(partial(_session, (f"{constants.ENDPOINT}/", *trusted_urls)))
    return HfApi(token=token)


def _is_address(url: str) -> bool:
    try:
        address = urlsplit(url)
        return address.scheme in ("http", "https") and bool(address.hostname)
    except ValueError:
        return False


def read_limited(response: requests.Response, length: int) -> bytes:
    """Return the body, or if it is longer than `length` bytes, its beginning.

    Args:
        response: a streamed response.
        length: bytes. At most one chunk more is read, enough to see that a body is longer.
    """
    content = bytearray()
    for chunk in response.iter_content(min(length, CHUNK_BYTES)):
        content += chunk
        if len(content) >= length:
            break
    return bytes(content)


def _session(trusted_urls: Sequence[str]) -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _ThirdPartyAdapter())
    for url in trusted_urls:
        session.mount(url, _RetryingAdapter())
    return session


def _is_unreachable(error: requests.RequestException) -> bool:
    """Return whether the connection itself failed."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    kinds = (requests.ConnectTimeout, requests.exceptions.ProxyError, requests.exceptions.SSLError)
    return isinstance(error, kinds) or isinstance(reason, NewConnectionError)


def _retry_after(response: requests.Response) -> float | None:
    """Return how many seconds the Hub asks to wait; None if it does not ask."""
    value = response.headers.get("Retry-After")
    try:
        return Retry().parse_retry_after(value) if value else None
    except InvalidHeader:
        return None
