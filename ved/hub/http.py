"""How VED talks HTTP: with time limits, and trying again what a network or a busy Hub let fail.

All of that happens here, and once. huggingface_hub tries some requests again by itself, which would
multiply the attempts; so a request that has had its attempts fails in a way that it gives up at.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any, TypeVar

import requests
from huggingface_hub import HfApi, configure_http_backend, constants
from huggingface_hub.utils import hf_raise_for_status
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, RetryError
from requests.utils import rewind_body
from urllib3.exceptions import InvalidHeader, NewConnectionError
from urllib3.util.retry import Retry

from ved.interruption import raise_if_interrupted

log = logging.getLogger("ved")

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for an answer to begin or to go on."""

ATTEMPTS = 5
"""How often something is tried in all."""

CONNECTION_ATTEMPTS = 2
"""How often it is tried to connect: a Hub that is not there is not going to be."""

FIRST_WAIT = 1.0
"""Seconds to wait before the second attempt; twice as many before each one after."""

LONGEST_WAIT = 120.0
"""Seconds to wait at most between two attempts, whatever the Hub asks for."""

RETRYABLE_STATUSES = (429, 500, 502, 503, 504)
"""Answers that may be others in a moment."""

CHUNK_BYTES = 2**20
"""How many bytes are taken from a connection at a time, at most."""

_NAMES = ("ETag", "X-Linked-ETag", "X-Repo-Commit")
"""What huggingface_hub calls files and folders of its cache by, wherever that leads."""

_NAME = r'(W/)?"?[0-9A-Za-z_-]+"?'

_Answer = TypeVar("_Answer")


class _Response(requests.Response):
    """An answer that breaks off in one way only, whether the connection is cut or falls silent."""

    def iter_content(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Return the body in pieces.

        Raises:
            ChunkedEncodingError: it breaks off.
        """
        try:
            yield from super().iter_content(*args, **kwargs)
        except requests.ConnectionError as error:
            raise ChunkedEncodingError(error) from error


class _Adapter(HTTPAdapter):
    """Makes every attempt that a request has.

    Every request of VED can be made twice: a commit names its parent, so that it cannot be made
    again, and a repo is created once.
    """

    def send(self, request: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send a request, up to `ATTEMPTS` times.

        Raises:
            HfHubHTTPError: the last answer, too, is one of `PASSING`.
            RetryError: there is none.
            KeyboardInterrupt: the process is told to stop. What comes after the answer, such as
                making a folder for a download, must not meet the tidying up.
        """
        for attempt in count(1):
            raise_if_interrupted()
            try:
                response = self._attempt(request, **kwargs)
            except (requests.ConnectionError, requests.Timeout, ChunkedEncodingError) as error:
                if attempt >= (CONNECTION_ATTEMPTS if _is_unreachable(error) else ATTEMPTS):
                    raise RetryError(error, request=request) from error
                wait_before_retry("The Hub does not answer", attempt)
            else:
                if response.status_code not in RETRYABLE_STATUSES:
                    break
                if attempt == ATTEMPTS:
                    hf_raise_for_status(response)
                response.close()
                wait_before_retry(
                    f"The Hub answers {response.status_code}", attempt, _retry_after(response)
                )
            if isinstance(request._body_position, int):
                rewind_body(request)
        return response

    def _attempt(self, request: Any, *, stream: bool = False, **kwargs: Any) -> requests.Response:
        # One limit for all: huggingface_hub has 10 seconds for some requests, and none for others.
        kwargs["timeout"] = TIMEOUT
        response = super().send(request, stream=stream, **kwargs)
        if not stream:
            _ = response.content  # kept; it may break off, too
        return response

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """Return what is made of urllib3's answer."""
        response = super().build_response(req, resp)
        response.__class__ = _Response
        for name in _NAMES:
            if not re.fullmatch(_NAME, response.headers.get(name, "-")):
                del response.headers[name]
        return response


class _ThirdPartyAdapter(_Adapter):
    """Goes where the Hub's answers lead, which is not told the token."""

    def send(self, request: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send a request; see `_Adapter`."""
        request.headers.pop("Authorization", None)
        return super().send(request, **kwargs)


def connect(token: str | None = None, *others: str) -> HfApi:
    """Return the Hub's client.

    Args:
        token: what to log in with; None for what huggingface_hub finds.
        others: addresses besides the Hub's that may be sent a token.
    """
    configure_http_backend(partial(_session, (f"{constants.ENDPOINT}/", *others)))
    return HfApi(token=token)


def retry_truncated(action: Callable[[], _Answer], what: str) -> _Answer:
    """Do something again that broke off on the way, such as a download, which then goes on.

    Args:
        what: it, for the log, as the rest of a sentence that begins "Cannot".

    Raises:
        requests.exceptions.ChunkedEncodingError: it broke off every time.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return action()
        except ChunkedEncodingError:
            wait_before_retry(f"The connection broke off when trying to {what}", attempt)
    return action()


def read_limited(response: requests.Response, length: int) -> bytes:
    """Return the answer's bytes; of a longer one than `length`, little more than that."""
    content = bytearray()
    for piece in response.iter_content(min(length, CHUNK_BYTES)):
        content += piece
        if len(content) >= length:
            break
    return bytes(content)


def _session(trusted: Sequence[str]) -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _ThirdPartyAdapter())
    for address in trusted:
        session.mount(address, _Adapter())
    return session


def _is_unreachable(error: requests.RequestException) -> bool:
    """Tell whether there was no connection at all."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    kinds = (requests.ConnectTimeout, requests.exceptions.ProxyError, requests.exceptions.SSLError)
    return isinstance(error, kinds) or isinstance(reason, NewConnectionError)


def _retry_after(response: requests.Response) -> float | None:
    """Return how many seconds the Hub asks to wait for, if it does."""
    value = response.headers.get("Retry-After")
    try:
        return Retry().parse_retry_after(value) if value else None
    except InvalidHeader:
        return None


def wait_before_retry(problem: str, attempt: int, asked_for: float | None = None) -> None:
    """Say why there is an attempt after this one, and wait until it is due."""
    wanted = FIRST_WAIT * 2 ** (attempt - 1) if asked_for is None else asked_for
    seconds = min(wanted, LONGEST_WAIT)
    log.info(
        "%s: trying again in %g s, attempt %d of %d at most.",
        problem,
        round(seconds, 3),
        attempt + 1,
        ATTEMPTS,
    )
    time.sleep(seconds)
