"""The HTTP session of huggingface_hub's client: time limits, retries, and who gets the token.

Retries happen in the transport of the session and nowhere else. huggingface_hub retries some
requests by itself, with waits that neither end on an interrupt nor have a limit. So a request that
has used up its attempts raises an error that huggingface_hub does not retry.
"""

import re
from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import Any
from urllib.parse import urljoin

import httpx2
from huggingface_hub import HfApi, constants, get_token, set_client_factory
from huggingface_hub.utils import hf_raise_for_status
from huggingface_hub.utils._http import hf_request_event_hook
from huggingface_hub.utils._xet import parse_xet_file_data_from_response

from ved.errors import ErrorCode, RequestError
from ved.hub import addresses, connections, rate_limits, retries
from ved.hub.addresses import AddressPolicy, is_encrypted_or_loopback, unsafe_redirect
from ved.hub.answers import RefusedAnswerError
from ved.hub.connections import (
    CheckAddresses,
    LimitedConnections,
    NoAnswerError,
    is_unreachable,
    proxy_for,
)
from ved.hub.rate_limits import RateLimitClock
from ved.hub.responses import MAX_ERROR_BYTES, LimitedResponse, remaining_bytes
from ved.hub.stored_tokens import stored_tokens
from ved.interruption import raise_if_interrupted
from ved.redaction import KNOWN

TIMEOUT = httpx2.Timeout(60.0, connect=10.0, pool=None)
"""Seconds to wait for a connection, and for the next bytes of an answer."""

_CACHE_KEY_HEADERS = ("ETag", "X-Linked-ETag", "X-Repo-Commit")
"""Headers that huggingface_hub uses as names of files and folders in its cache, unchecked."""

_CACHE_KEY = r'(W/)?"?[0-9A-Za-z_-]+"?'

_REDIRECTS_AND_ERRORS, _ERRORS = 300, 400
"""The lowest HTTP statuses of answers that do not have the content that was asked for."""

_READING = ("GET", "HEAD")
_KEEPING_METHOD = (307, 308)
"""Redirects that are followed with the same method and body. After others, a client sends GET."""

MAX_REDIRECTS = 10
"""How many redirects to follow one after the other."""

_RETRYABLE = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.ProxyError)
_TRUNCATED = httpx2.RemoteProtocolError


class HubTransport(httpx2.BaseTransport):
    """Retries requests, limits answers, and sends the token to the Hub only.

    Every request of VED can be repeated: a commit names its parent, so it cannot happen twice, and
    a repo is created once.

    Args:
        policy: decides to which addresses VED sends requests.
        hub: the beginning of the Hub's addresses.
        trusted: beginnings of other addresses that may get an `Authorization`.
    """

    def __init__(self, policy: AddressPolicy, hub: str, trusted: Sequence[str] = ()) -> None:
        self._policy = policy
        self._hub = hub
        self._trusted = trusted
        self._clock = RateLimitClock()
        self._connections: dict[tuple[object, ...], LimitedConnections] = {}
        self._lock = Lock()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, up to `retries.ATTEMPTS` times.

        Waits for rate limits do not count as attempts.

        Raises:
            HfHubHTTPError: the last answer has one of `retries.RETRYABLE_STATUSES`, or a limit by
                the hour or by the day is reached.
            NoAnswerError: there is no answer.
            RefusedAnswerError: the answer is too large or too slow, or VED sends no request to this
                address, or to the one that the answer names, or does not trust the certificate.
            RequestError: the request has a token, and is not encrypted.
            KeyboardInterrupt: the process was interrupted. Checked before each attempt, so that no
                file is written while the process cleans up.
        """
        transport = self._transport_for(request)
        attempt, waits = 1, 0
        while True:
            raise_if_interrupted()
            self._clock.wait(request.url)
            try:
                response = self._attempt(transport, request)
            except (*_RETRYABLE, _TRUNCATED) as error:
                unreachable = is_unreachable(error)
                if attempt >= (retries.CONNECTION_ATTEMPTS if unreachable else retries.ATTEMPTS):
                    raise NoAnswerError(error) from error
                retries.wait_before_retry("The Hub does not answer", attempt)
                attempt += 1
            else:
                if response.status_code not in retries.RETRYABLE_STATUSES:
                    break
                is_limited = self._clock.pauses_after(response)
                is_last = (
                    waits == rate_limits.MAX_WAITS if is_limited else attempt >= retries.ATTEMPTS
                )
                if is_last or rate_limits.is_long(response):
                    hf_raise_for_status(response)
                if is_limited:
                    waits += 1
                else:
                    problem = f"The Hub answers {response.status_code}"
                    seconds = rate_limits.parse_retry_after(response)
                    retries.wait_before_retry(problem, attempt, seconds)
                    attempt += 1
        self._clock.observe(response)
        return response

    def close(self) -> None:
        """Close all connections."""
        for each in self._connections.values():
            each.close()

    def _is_hub(self, url: str) -> bool:
        return _begins_with(url, self._hub)

    def _transport_for(self, request: httpx2.Request) -> LimitedConnections:
        """Return the connections for a request; remove its token unless they are for the Hub."""
        url = str(request.url)
        check: CheckAddresses | None = None
        if self._is_hub(url):
            check = self._policy.check_hub
            if "Authorization" in request.headers:
                _check_encrypted(url)
        elif not any(_begins_with(url, each) for each in self._trusted):
            check = self._policy.check_other
            self._policy.check_url(url)
            request.headers.pop("Authorization", None)
        key = (check, request.url.scheme == "https", proxy_for(request.url))
        with self._lock:  # a second object of a key would leave the connections of the first open
            if key not in self._connections:
                self._connections[key] = LimitedConnections(*key)
            return self._connections[key]

    def _attempt(self, transport: LimitedConnections, request: httpx2.Request) -> LimitedResponse:
        # huggingface_hub sets 10 seconds for some requests, and no limit for others.
        request.extensions["timeout"] = TIMEOUT.as_dict()
        _rewind(request)
        length = request.headers.get("Content-Length", "0")
        with connections.time_limit(
            connections.PATIENCE + float(length) / connections.SLOWEST_RATE
        ):
            response = LimitedResponse.of(transport.handle_request(request), request)
        try:
            self._check(request, response)
            if response.status_code >= _REDIRECTS_AND_ERRORS:
                response.max_bytes, response.is_shortened = MAX_ERROR_BYTES, True
                response.read()
            elif request.extensions.get("is_streamed"):
                response.max_bytes = remaining_bytes(request)
            else:
                response.read()  # it may be truncated
        except BaseException:
            response.close()
            raise
        return response

    def _check(self, request: httpx2.Request, response: LimitedResponse) -> None:
        """Check the headers of an answer, and remove those that are not safe.

        Raises:
            RefusedAnswerError: a redirect leads nowhere, or to an unsafe address, or loses what the
                request should change; or the token would be sent to another host.
        """
        KNOWN.add(response.headers.get(constants.HUGGINGFACE_HEADER_X_XET_ACCESS_TOKEN, ""))
        for name in _CACHE_KEY_HEADERS:
            if not re.fullmatch(_CACHE_KEY, response.headers.get(name, "-")):
                del response.headers[name]
        # hf_xet connects to the storage by itself, and renews the token there.
        if storage := response.headers.get(constants.HUGGINGFACE_HEADER_X_XET_ENDPOINT):
            self._policy.check_url(storage)
        stored = parse_xet_file_data_from_response(response)
        if stored and not self._is_hub(stored.refresh_route):
            raise unsafe_redirect(stored.refresh_route, "which is not an address of the Hub")
        if _REDIRECTS_AND_ERRORS <= response.status_code < _ERRORS:
            self._check_redirect(request, response)

    def _check_redirect(self, request: httpx2.Request, response: LimitedResponse) -> None:
        location = response.headers.get("Location", "")
        is_reading = request.method in _READING
        if not response.has_redirect_location or not (
            is_reading or response.status_code in _KEEPING_METHOD
        ):
            raise RefusedAnswerError(
                f"the answer to {request.method} has status {response.status_code}, a redirect "
                "that VED cannot follow",
                "Check the endpoint. A proxy, such as the login page of a network, may have "
                "answered.",
                ErrorCode.HUB_DOES_NOT_ANSWER,
            )
        before = str(request.url)
        try:
            following = str(httpx2.URL(urljoin(before, location)))
        except (httpx2.InvalidURL, ValueError):
            raise unsafe_redirect(location, "which is not an address") from None
        if before.startswith("https:") and not following.startswith("https:"):
            raise unsafe_redirect(following, "where the connection would not be encrypted")
        if not self._is_hub(following):
            self._policy.check_url(following)
        if not is_reading:
            addresses.check_same_repo(before, following)


class _Client(httpx2.Client):
    """A client that tells its transport which answers the caller reads as a stream."""

    def send(
        self, request: httpx2.Request, *, stream: bool = False, **options: Any
    ) -> httpx2.Response:
        """Send a request."""
        request.extensions["is_streamed"] = stream
        return super().send(request, stream=stream, **options)


def connect(token: str | None = None, *trusted_urls: str) -> HfApi:
    """Configure huggingface_hub's HTTP session, and return a client.

    Args:
        token: the token to send; None for the one that huggingface_hub finds.
        trusted_urls: beginnings of addresses besides the Hub's that may get an `Authorization`.

    Raises:
        RequestError: the endpoint is not an address, or would get a token without encryption.
    """
    addresses.check_endpoint(constants.ENDPOINT)
    for secret in (token, *stored_tokens()):
        KNOWN.add(secret or "")
    if token or get_token():
        _check_encrypted(constants.ENDPOINT)
    policy = AddressPolicy(constants.ENDPOINT)
    set_client_factory(partial(_new_client, policy, f"{constants.ENDPOINT}/", trusted_urls))
    return HfApi(token=token)


def _new_client(policy: AddressPolicy, hub: str, trusted_urls: Sequence[str]) -> httpx2.Client:
    return _Client(
        transport=HubTransport(policy, hub, trusted_urls),
        event_hooks={"request": [hf_request_event_hook]},  # offline mode, and HF_DEBUG
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
    )


def _check_encrypted(url: str) -> None:
    """Check that nobody on the network can read a token that is sent to the Hub.

    Raises:
        RequestError: the connection is not encrypted, and leaves this machine.
    """
    if not is_encrypted_or_loopback(url):
        raise RequestError(
            "The endpoint begins with http://, so VED does not send the token there.",
            "Use the https:// address of the Hub; or to read without a token, remove the token.",
            code=ErrorCode.ENDPOINT_NOT_ENCRYPTED,
        )


def _begins_with(url: str, beginning: str) -> bool:
    """Return whether an address is below another one, whose path may be longer than "/"."""
    try:
        found, wanted = httpx2.URL(url), httpx2.URL(beginning)
        return found.origin == wanted.origin and found.path.startswith(wanted.path)
    except (httpx2.InvalidURL, ValueError):
        return False


def _rewind(request: httpx2.Request) -> None:
    """Have the body of a request sent from its beginning, if it is a file."""
    file = getattr(request.stream, "_stream", None)  # httpx2 itself reads a file once
    if file is not None and hasattr(file, "seek"):
        file.seek(request.extensions.setdefault("begin", file.tell()))
