"""How VED talks HTTP: with time limits, and trying again what a network or a busy Hub let fail."""

import logging
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

import requests
from huggingface_hub import HfApi, configure_http_backend
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

log = logging.getLogger("ved")

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for an answer to begin or to go on."""

ATTEMPTS = 5
"""How often something is tried in all."""

LONGEST_WAIT = 120
"""Seconds to wait at most between two attempts, whatever the Hub asks for."""

PASSING = (429, 500, 502, 503, 504)
"""Answers that may be others in a moment."""

_Answer = TypeVar("_Answer")


class _Patience(Retry):
    """Says what it waits for."""

    def increment(self, *args: Any, **kwargs: Any) -> Self:
        following = super().increment(*args, **kwargs)
        last = following.history[-1]
        problem = f"answers {last.status}" if last.status else "does not answer"
        log.info("The Hub %s: trying again, %d more times at most.", problem, following.total)
        return following


class _Adapter(HTTPAdapter):
    def send(self, request: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send a request, with a time limit where the caller has none."""
        kwargs["timeout"] = kwargs.get("timeout") or TIMEOUT
        return super().send(request, **kwargs)


def connect(token: str | None = None) -> HfApi:
    """Return the Hub's client.

    Args:
        token: what to log in with; None for what huggingface_hub finds.
    """
    configure_http_backend(_session)
    return HfApi(token=token)


def _session() -> requests.Session:
    patience = _Patience(
        total=ATTEMPTS - 1,
        status_forcelist=PASSING,
        # Every request that is made can be made again: a commit names its parent, so that it
        # cannot be made twice. Uploads of files are tried again by huggingface_hub.
        allowed_methods={"GET", "HEAD", "POST", "DELETE"},
        # A Hub that is not there is not going to be.
        connect=1,
        backoff_factor=1,
        backoff_jitter=0.5,
        backoff_max=LONGEST_WAIT,
        retry_after_max=LONGEST_WAIT,
        redirect=False,
        raise_on_status=False,
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(max_retries=patience))
    return session


def patiently(action: Callable[[], _Answer], what: str) -> _Answer:
    """Do something again that broke off on the way, such as a download, which then goes on.

    Args:
        what: it, for the log, as the rest of a sentence that begins "Trying again to".

    Raises:
        requests.RequestException: it broke off every time.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return action()
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ):
            log.info("The connection broke off: trying again to %s.", what)
            time.sleep(2 ** (attempt - 1))
    return action()
