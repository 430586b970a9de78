"""The HTTP session of huggingface_hub's client: time limits, retries, and who gets the token.

Retries happen in the adapter of the session and nowhere else. huggingface_hub retries some requests
by itself, which would multiply the attempts. So a request that has used up its attempts raises an
error that huggingface_hub does not retry.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from huggingface_hub import HfApi, configure_http_backend, constants, get_token
from huggingface_hub.utils import hf_raise_for_status
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, RetryError
from requests.utils import rewind_body

from ved.errors import ErrorCode, RequestError
from ved.hub import addresses, rate_limits, retries
from ved.hub.addresses import AddressPolicy, is_encrypted_or_loopback, is_endpoint, unsafe_redirect
from ved.hub.answers import RefusedAnswerError
from ved.hub.connections import CheckAddresses, connection_class, is_unreachable
from ved.hub.rate_limits import RateLimitClock
from ved.hub.responses import MAX_ERROR_BYTES, LimitedResponse, remaining_bytes
from ved.hub.stored_tokens import stored_tokens
from ved.interruption import raise_if_interrupted
from ved.redaction import KNOWN

TIMEOUT = (10.0, 60.0)
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


class _RetryingAdapter(HTTPAdapter):
    """Retries requests, and limits answers.

    Every request of VED can be repeated: a commit names its parent, so it cannot happen twice, and
    a repo is created once.

    Args:
        policy: decides to which addresses VED sends requests.
        clock: the rate limits of the server.
        check: checks the IP addresses of a host before a connection; None allows all.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        clock: RateLimitClock,
        check: CheckAddresses | None = None,
    ) -> None:
        super().__init__()
        self.policy = policy
        self._clock = clock
        self._connections = {each: connection_class(each, check) for each in ("http", "https")}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return a pool of connections that are limited."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = self._connections[pool.scheme]
        return pool

    def send(self, request: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send a request, up to `retries.ATTEMPTS` times.

        Waits for rate limits do not count as attempts.

        Raises:
            HfHubHTTPError: the last answer has one of `retries.RETRYABLE_STATUSES`, or a limit by
                the hour or by the day is reached.
            RetryError: there is no answer.
            RefusedAnswerError: the answer is too large or too slow, or leads to an unsafe address.
            KeyboardInterrupt: the process was interrupted. Checked before each attempt, so that no
                file is written while the process cleans up.
        """
        attempt, waits = 1, 0
        while True:
            raise_if_interrupted()
            self._clock.wait(request.url)
            try:
                response = self._attempt(request, **kwargs)
            except (requests.ConnectionError, requests.Timeout, ChunkedEncodingError) as error:
                unreachable = is_unreachable(error)
                if attempt >= (retries.CONNECTION_ATTEMPTS if unreachable else retries.ATTEMPTS):
                    raise RetryError(error, request=request) from error
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
                response.close()
                if is_limited:
                    waits += 1
                else:
                    problem = f"The Hub answers {response.status_code}"
                    seconds = rate_limits.parse_retry_after(response)
                    retries.wait_before_retry(problem, attempt, seconds)
                    attempt += 1
            if isinstance(request._body_position, int):
                rewind_body(request)
        self._clock.observe(response)
        return response

    def _attempt(self, request: Any, *, stream: bool = False, **kwargs: Any) -> requests.Response:
        # huggingface_hub sets 10 seconds for some requests, and no limit for others.
        kwargs["timeout"] = TIMEOUT
        response = super().send(request, stream=stream, **kwargs)
        assert isinstance(response, LimitedResponse)
        if response.status_code >= _REDIRECTS_AND_ERRORS:
            response.read_beginning(MAX_ERROR_BYTES)
            _check_redirect(request.method, response)
        elif stream:
            response.max_bytes = remaining_bytes(request)
        else:
            _ = response.content  # reads the body, which may be truncated
        # hf_xet connects there by itself.
        if storage := response.headers.get("X-Xet-Cas-Url"):
            self.policy.check_url(storage)
        return response

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """Return urllib3's response as one of requests, without headers that are not safe."""
        response = super().build_response(req, resp)
        response.__class__ = LimitedResponse
        KNOWN.add(response.headers.get(constants.HUGGINGFACE_HEADER_X_XET_ACCESS_TOKEN, ""))
        for name in _CACHE_KEY_HEADERS:
            if not re.fullmatch(_CACHE_KEY, response.headers.get(name, "-")):
                del response.headers[name]
        return response


class _HubAdapter(_RetryingAdapter):
    """Adapter for the Hub, and nobody else."""

    def __init__(self, policy: AddressPolicy, clock: RateLimitClock) -> None:
        super().__init__(policy, clock, policy.check_hub)

    def send(self, request: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send a request; a token only if nobody else can read it.

        Raises:
            RequestError: the request has a token, and is not encrypted.
        """
        if "Authorization" in request.headers:
            _check_encrypted(request.url)
        return super().send(request, **kwargs)


class _ThirdPartyAdapter(_RetryingAdapter):
    """Adapter for all hosts but the Hub: removes the token from requests."""

    def __init__(self, policy: AddressPolicy) -> None:
        super().__init__(policy, RateLimitClock(), policy.check_other)

    def send(self, request: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send a request without `Authorization`; see `_RetryingAdapter.send`.

        Raises:
            RefusedAnswerError: VED sends no request to this address.
        """
        self.policy.check_url(request.url)
        request.headers.pop("Authorization", None)
        return super().send(request, **kwargs)


class _Session(requests.Session):
    """A session that follows a limited number of redirects, and none to an unencrypted address."""

    _relative_redirects = 0

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = MAX_REDIRECTS

    def send(self, request: Any, **kwargs: Any) -> requests.Response:
        """Send a request.

        Raises:
            TooManyRedirects: huggingface_hub has followed many relative redirects by itself.
        """
        response = super().send(request, **kwargs)
        is_relative = response.is_redirect and not urlsplit(response.headers["Location"]).netloc
        self._relative_redirects = self._relative_redirects + 1 if is_relative else 0
        if self._relative_redirects > MAX_REDIRECTS:
            self._relative_redirects = 0
            raise requests.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects")
        return response

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the address that an answer redirects to; None if it is not a redirect.

        Raises:
            RefusedAnswerError: the address is not encrypted, and that of the answer is.
        """
        target = super().get_redirect_target(resp)
        if target is not None:
            following = urljoin(resp.url, target)
            if resp.url.startswith("https:") and not following.startswith("https:"):
                raise unsafe_redirect(following, "where the connection would not be encrypted")
        return target


def connect(token: str | None = None, *trusted_urls: str) -> HfApi:
    """Configure huggingface_hub's HTTP sessions, and return a client.

    Args:
        token: the token to send; None for the one that huggingface_hub finds.
        trusted_urls: beginnings of addresses besides the Hub's that may get an `Authorization`.

    Raises:
        RequestError: the endpoint is not an address, or would get a token without encryption.
    """
    if not is_endpoint(constants.ENDPOINT):
        # The text may contain a password.
        raise RequestError(
            "The endpoint is not the address of a Hub.",
            "Correct the endpoint. It begins with https:// or http://, and has no user name, "
            "password, query, fragment or character that an address cannot have.",
            code=ErrorCode.WRONG_INPUT,
        )
    for secret in (token, *stored_tokens()):
        KNOWN.add(secret or "")
    if token or get_token():
        _check_encrypted(constants.ENDPOINT)
    policy = AddressPolicy(constants.ENDPOINT)
    # Each thread has a session of its own. All share the clock.
    clock, hub = RateLimitClock(), f"{constants.ENDPOINT}/"
    configure_http_backend(partial(_session, policy, clock, hub, trusted_urls))
    return HfApi(token=token)


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


def _session(
    policy: AddressPolicy, clock: RateLimitClock, hub: str, trusted_urls: Sequence[str]
) -> requests.Session:
    session = _Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _ThirdPartyAdapter(policy))
    for url in trusted_urls:
        session.mount(url, _RetryingAdapter(policy, RateLimitClock()))
    session.mount(hub, _HubAdapter(policy, clock))
    return session


def _check_redirect(method: str, response: requests.Response) -> None:
    """Check that nobody takes a redirect for success: neither huggingface_hub nor requests.

    Raises:
        RefusedAnswerError: the redirect leads nowhere, or loses what the request should change.
    """
    if response.status_code >= _ERRORS:
        return
    if method not in _READING:
        addresses.check_same_repo(response.url, response.headers.get("Location", ""))
    is_lost = method not in _READING and response.status_code not in _KEEPING_METHOD
    if is_lost or not response.is_redirect:
        raise RefusedAnswerError(
            f"the answer to {method} has status {response.status_code}, a redirect without use",
            "Check the endpoint. A proxy, such as the login page of a network, may have answered.",
            ErrorCode.HUB_DOES_NOT_ANSWER,
        )
