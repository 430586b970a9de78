"""Keep to the rate limits of a Hub: one clock for all threads of a run.

A Hub limits requests in a window of some minutes. Its answers say in the header `RateLimit` how
many requests remain and when the window ends. All threads wait for the end of a window that is used
up. A Hub also limits actions by the hour or by the day, such as commits. VED does not wait for
those.

Source: https://huggingface.co/docs/hub/rate-limits
"""

import logging
import random
import re
import threading
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic

import httpx2
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import RateLimitInfo

from ved.interruption import sleep
from ved.text import clean

log = logging.getLogger("ved")

TOO_MANY = 429
LONGEST_WAIT = 600.0
"""Seconds for which a run waits, at most. The windows of the Hub have 300 seconds. A limit by the
hour or by the day ends a run."""

MAX_WAITS = 12
"""How often one request waits for a new window. Other jobs may use up each new one."""

MAX_TEXT = 300
"""Characters of the Hub's text, at most."""

MIN_WAIT = 1.0
"""Seconds to wait, at least. A Hub rounds: it asks for 0 seconds just before a window ends."""

_POLICY = re.compile(r'(?:"[^"]{0,99}"|[\w*./:-]{1,99})((?:\s*;[^;,]{1,99}){1,9})')
_PARAMETER = re.compile(r";\s*([rt])\s*=\s*(\d{1,9})\s*(?=;|$)")
_LONG_PERIOD = re.compile(r"\b(?:hours?|hourly|days?|daily)\b", re.IGNORECASE)


class RateLimitClock:
    """The time at which the next request may be sent; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free_at: dict[tuple[str, str], float] = {}

    def wait(self, url: httpx2.URL) -> None:
        """Wait until a request may be sent.

        Raises:
            KeyboardInterrupt: the process was interrupted.
        """
        while (seconds := self._free_at.get(_bucket(url), 0.0) - monotonic()) > 0:
            sleep(seconds)

    def pause(self, url: httpx2.URL, seconds: float) -> None:
        """Have all threads wait before they send another request like this one.

        Args:
            url: the address of the request that the Hub refused, or of the last one of a window.
            seconds: the wait that the Hub asks for.
        """
        seconds = max(seconds, MIN_WAIT)
        # Jobs that wait for the same window do not come back at the same moment.
        seconds += min(1.0, seconds / 10) * random.random()  # noqa: S311 - not a secret
        now, bucket = monotonic(), _bucket(url)
        with self._lock:
            is_new = self._free_at.get(bucket, 0.0) <= now
            self._free_at[bucket] = max(self._free_at.get(bucket, 0.0), now + seconds)
        if is_new:
            log.info(
                "The Hub's rate limit is reached. Waiting %g s until it allows more requests.",
                round(seconds, 1),
            )

    def pauses_after(self, refusal: httpx2.Response) -> bool:
        """Pause if a refusal asks for a wait that is not too long; return whether it does."""
        seconds = seconds_to_wait(refusal)
        if refusal.status_code != TOO_MANY or seconds is None or seconds > LONGEST_WAIT:
            return False
        self.pause(refusal.url, seconds)
        return True

    def observe(self, response: httpx2.Response) -> None:
        """Pause before the Hub refuses: an answer says that it was the last one of a window."""
        quota = parse_quota(response)
        if quota and quota.remaining == 0 and quota.reset_in_seconds <= LONGEST_WAIT:
            self.pause(response.url, quota.reset_in_seconds)


def parse_quota(response: httpx2.Response) -> RateLimitInfo | None:
    """Return what the header `RateLimit` says; None without one, or if it is malformed.

    A Hub may report several policies. The one that allows the fewest requests counts; of several
    that allow none, the one that ends last. huggingface_hub reads the first one only.
    """
    quotas = []
    for policy in _POLICY.finditer(response.headers.get("RateLimit", "")):
        values = dict(_PARAMETER.findall(policy[1]))
        if values.keys() == {"r", "t"}:
            quotas.append(RateLimitInfo("", int(values["r"]), int(values["t"])))
    return min(quotas, key=lambda each: (each.remaining, -each.reset_in_seconds), default=None)


def parse_retry_after(response: httpx2.Response) -> float | None:
    """Return how many seconds the header `Retry-After` asks to wait; None if it does not ask.

    huggingface_hub reads numbers only, and not the time that the header may name.
    """
    value = response.headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}", value):
        return float(value)
    with suppress(ValueError, OverflowError):
        due = parsedate_to_datetime(value)
        return max(0.0, (due.replace(tzinfo=due.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None


def seconds_to_wait(response: httpx2.Response) -> float | None:
    """Return how long to wait after a refusal: `RateLimit` first, then `Retry-After`.

    `RateLimit` is about the window. If it allows more requests, another limit was reached.

    Args:
        response: an answer with status 429.

    Returns:
        seconds; None if the answer does not say.
    """
    quota = parse_quota(response)
    if quota and quota.remaining == 0:
        return float(quota.reset_in_seconds)
    return parse_retry_after(response)


def is_long(response: httpx2.Response | None) -> bool:
    """Return whether an answer refuses by a limit that is too long to wait for."""
    if response is None or response.status_code != TOO_MANY:
        return False
    seconds = seconds_to_wait(response)
    if seconds is None:
        return bool(_LONG_PERIOD.search(response.text))
    return seconds > LONGEST_WAIT


def is_long_limit(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, is a limit that is too long to wait for."""
    while error is not None:
        if isinstance(error, HfHubHTTPError) and is_long(error.response):
            return True
        error = error.__cause__
    return False


def explain(error: HfHubHTTPError) -> tuple[str, str]:
    """Return cause and remedy of an answer with status 429: the Hub's text, and when to retry.

    The cause is the rest of a sentence.
    """
    text = error.server_message or ""
    hub_text = clean(" ".join(text.split()), MAX_TEXT).rstrip(".")
    cause = (
        f"the Hub's rate limit is reached ({hub_text})" if hub_text else "the rate limit is reached"
    )
    seconds = seconds_to_wait(error.response)
    if seconds is None:
        seconds_text = "later" if is_long(error.response) else "in a few minutes"
    else:
        seconds_text = f"in about {format_seconds(seconds)}"
    return cause, f"Run again {seconds_text}: the next run does the rest."


def format_seconds(seconds: float) -> str:
    """Return a duration for people, rounded up: minutes, or hours."""
    minutes = max(1, -(-int(seconds) // 60))
    if minutes < 60:
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    hours = -(-minutes // 60)
    return "1 hour" if hours == 1 else f"{hours} hours"


def _bucket(url: httpx2.URL) -> tuple[str, str]:
    """Return which requests of a server have a window of their own: files, the API, or others."""
    if "/resolve/" in url.path:
        return url.host, "resolvers"
    return url.host, "api" if "/api/" in url.path else "pages"
