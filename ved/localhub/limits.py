"""Rate limits, as the real Hub has them: of API requests in a window, and of actions.

Source: https://huggingface.co/docs/hub/rate-limits. The texts are those that users have reported.
"""

import math
import threading
import time
from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ved.localhub.errors import HubError

_SECONDS = {"hour": 3600, "day": 86_400}


@dataclass(frozen=True)
class RateLimit:
    """A limit of the API requests of one account.

    Attributes:
        quota: how many requests are answered in a window.
        seconds: the length of a window.
    """

    quota: int
    seconds: float


@dataclass(frozen=True)
class ActionLimit:
    """A limit of an action of one account, such as to commit.

    Attributes:
        quota: how often it may be done.
        period: in which time.
    """

    quota: int
    period: Literal["hour", "day"]


class Counters:
    """Counts what each account does in windows of time. A window begins with the first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def count(self, who: str, what: str, quota: int, seconds: float) -> tuple[bool, int, int]:
        """Count a use; return whether it is allowed, the rest, and the seconds until the next."""
        now = time.monotonic()
        with self._lock:
            start, used = self._windows.get((who, what), (now, 0))
            if now >= start + seconds:
                start, used = now, 0
            allowed = used < quota
            used += allowed
            self._windows[who, what] = start, used
        return allowed, max(0, quota - used), max(1, math.ceil(round(start + seconds - now, 3)))

    def require(self, who: str, action: str, limit: ActionLimit | None) -> None:
        """Count an action.

        Raises:
            HubError: 429, the account has reached the limit.
        """
        if limit is None:
            return
        allowed, _, seconds = self.count(who, action, limit.quota, _SECONDS[limit.period])
        if not allowed:
            adverb = {"hour": "hourly", "day": "daily"}[limit.period]
            raise HubError(
                429,
                f"You have exceeded our {adverb} quotas for action: {action} ({limit.quota} per "
                f"{limit.period}). You can retry this action in about 1 {limit.period}.",
                retry_after=seconds,
            )


class RateLimiter:
    """ASGI middleware that limits the requests to the API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        hub = scope["app"].state.hub
        limit = hub.behavior.rate_limit
        if limit is None or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        _, _, token = request.headers.get("authorization", "").partition(" ")
        identity = hub.accounts.identify(token) or hub.access_tokens.identify(token)
        # Without a token, the address of the sender counts.
        who = identity.name + identity.repository if identity else ""
        allowed, rest, seconds = hub.counters.count(who, "api", limit.quota, limit.seconds)
        fields = {
            "RateLimit": f'"api";r={rest};t={seconds}',
            "RateLimit-Policy": f'"fixed window";"api";q={limit.quota};w={limit.seconds:g}',
        }
        if not allowed:
            text = (
                f"We had to rate limit you, you hit the quota of {limit.quota} api requests per "
                f"{limit.seconds:g} seconds period."
            )
            await JSONResponse({"error": text}, 429, fields)(scope, receive, send)
            return

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(fields)
            await send(message)

        await self._app(scope, receive, send_with_fields)
