"""When and how long VED waits before it retries a request, and how often it tries.

Each wait doubles the one before. Part of it is random, so that many jobs that met the same busy
Hub do not come back at the same moment.
"""

import logging
import random
from collections.abc import Callable
from typing import TypeVar

import httpx2

from ved.interruption import sleep

log = logging.getLogger("ved")

ATTEMPTS = 5
"""How often a request is tried in all."""

CONNECTION_ATTEMPTS = 2
"""How often a connection is tried in all. Refused connections rarely recover."""

FIRST_WAIT = 1.0
"""Seconds before the second attempt, at most. The limit doubles with each further attempt."""

LONGEST_WAIT = 120.0
"""Seconds between two attempts, at most, even if the Hub asks for more."""

RETRYABLE_STATUSES = (429, 500, 502, 503, 504)
"""HTTP statuses of errors that may be over in a moment."""

_Result = TypeVar("_Result")


def retry(
    action: Callable[[], _Result], is_transient: Callable[[Exception], bool], problem: str
) -> _Result:
    """Call `action`, and call it again while it fails with a transient error.

    Args:
        action: makes one attempt.
        is_transient: whether an error may be over in a moment.
        problem: the transient error, for the log.

    Raises:
        Exception: the error of the last attempt, or one that is not transient.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return action()
        except Exception as error:
            if not is_transient(error):
                raise
            wait_before_retry(problem, attempt)
    return action()


def retry_truncated(action: Callable[[], _Result], what: str) -> _Result:
    """Call `action`, and call it again while its answer is truncated. A download resumes.

    Args:
        action: makes one attempt.
        what: what it does, for the log, as the rest of a sentence that begins "Cannot".

    Raises:
        httpx2.RemoteProtocolError: the answer was truncated every time.
    """
    problem = f"The connection was cut while trying to {what}"
    return retry(action, lambda error: isinstance(error, httpx2.RemoteProtocolError), problem)


def wait_before_retry(problem: str, attempt: int, retry_after: float | None = None) -> None:
    """Log why a request is retried, and wait.

    Args:
        problem: why, as the beginning of a sentence.
        attempt: the number of the attempt that failed, from 1.
        retry_after: seconds that the Hub asks to wait; None if it does not ask.
    """
    seconds = compute_wait(attempt, retry_after)
    log.info(
        "%s: trying again in %g s, attempt %d of %d at most.",
        problem,
        round(seconds, 3),
        attempt + 1,
        ATTEMPTS,
    )
    sleep(seconds)


def compute_wait(attempt: int, retry_after: float | None = None) -> float:
    """Return how many seconds to wait before the next attempt.

    Without `retry_after`, between half and all of the exponential wait ("equal jitter"). With it,
    that many seconds and up to the exponential wait in addition. Never above `LONGEST_WAIT`.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Args:
        attempt: the number of the attempt that failed, from 1.
        retry_after: seconds that the Hub asks to wait; None if it does not ask.
    """
    limit = min(FIRST_WAIT * 2.0 ** (attempt - 1), LONGEST_WAIT)
    share = random.random()  # noqa: S311 - not a secret
    seconds = limit * (1 + share) / 2 if retry_after is None else retry_after + limit * share
    return min(seconds, LONGEST_WAIT)
