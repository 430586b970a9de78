"""Connections to a Hub and to the hosts that it names: allowed addresses only, and not for ever.

The address is checked between the look-up of the name and the connection, so that no second look-up
can lead elsewhere. Through a proxy, the proxy looks the name up: then only addresses that are
written as numbers are checked, in `ved.hub.http`.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from ved.hub import certificates
from ved.hub.answers import RefusedAnswerError, too_slow

PATIENCE = 120.0
"""Seconds for a connection, a request and the headers of its answer; and for a body before its rate
counts."""

SLOWEST_RATE = 50_000
"""Bytes per second, at least, of a body that takes longer than `PATIENCE`."""

_WRITE_BYTES = 2**16
"""Bytes that are sent at a time: before each piece, the remaining time is checked."""

CheckAddresses = Callable[[str, Iterable[str]], None]
"""Raises if VED may not connect to a host with these IP addresses."""

_end: ContextVar[float] = ContextVar("end", default=float("inf"))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limit the time of the network in this thread, inside the block.

    Raises:
        RefusedAnswerError: connections, sending and receiving take longer.
    """
    token = _end.set(monotonic() + seconds)
    try:
        yield
    finally:
        _end.reset(token)


@contextmanager
def _remaining(timeout: float | None) -> Iterator[float]:
    """Yield the seconds that one operation may take, up to its own limit."""
    seconds = _end.get() - monotonic()
    if seconds <= 0:
        raise too_slow()
    try:
        yield seconds if timeout is None else min(timeout, seconds)
    except httpcore2.TimeoutException as error:
        if monotonic() >= _end.get():
            raise too_slow() from error
        raise


class _LimitedStream(httpcore2.NetworkStream):
    """A connection whose operations end when the time of their thread is over."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Receive up to `max_bytes` bytes."""
        with _remaining(timeout) as seconds:
            return self._stream.read(max_bytes, seconds)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes, in pieces."""
        for start in range(0, len(buffer), _WRITE_BYTES):
            with _remaining(timeout) as seconds:
                self._stream.write(buffer[start : start + _WRITE_BYTES], seconds)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Return the connection, encrypted."""
        try:
            with _remaining(timeout) as seconds:
                return _LimitedStream(self._stream.start_tls(ssl_context, server_hostname, seconds))
        except httpcore2.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise certificates.not_trusted(server_hostname, error.__cause__) from error
            raise
        except RefusedAnswerError:
            self._stream.close()  # without an attempt, nobody else does
            raise

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore2 asks of the connection."""
        return self._stream.get_extra_info(info)


class _LimitedNetwork(httpcore2.NetworkBackend):
    """Connects to allowed addresses, with limits for all that follows.

    Args:
        check: checks the IP addresses of a host before a connection; None allows all.
    """

    def __init__(self, check: CheckAddresses | None) -> None:
        self._check = check
        self._network = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first IP address of a host that answers."""
        addresses = [host]
        if self._check is not None:
            addresses = _look_up(host, port)
            self._check(host, addresses)
        for number, address in enumerate(addresses, 1):
            try:
                with _remaining(timeout) as seconds:
                    return _LimitedStream(
                        self._network.connect_tcp(
                            address, port, seconds, local_address, socket_options
                        )
                    )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise AssertionError("getaddrinfo returns at least one address")


def _look_up(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class LimitedConnections(httpx2.HTTPTransport):
    """Connections that are limited, through a proxy or without one.

    Args:
        check: checks the IP addresses of a host before a connection; None allows all.
        is_encrypted: whether the connections are for https.
        proxy: the address of the proxy; None without one.

    Raises:
        RefusedAnswerError: the certificates to trust cannot be read.
    """

    def __init__(self, check: CheckAddresses | None, is_encrypted: bool, proxy: str | None) -> None:
        # The authorities take a while to load.
        context = (
            certificates.trusted_authorities()
            if is_encrypted
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        super().__init__(verify=context, proxy=proxy)
        # httpcore2 has a parameter for it, and httpx2 does not pass it on.
        self._pool._network_backend = _LimitedNetwork(None if proxy else check)


def proxy_for(url: httpx2.URL) -> str | None:
    """Return the proxy that the environment names for an address; None without one."""
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if not found or proxy_bypass(url.netloc.decode("ascii")):
        return None
    return found if "://" in found else f"http://{found}"


class NoAnswerError(httpx2.RequestError):
    """A request has used up its attempts without an answer. Nobody retries this error.

    Args:
        last: the error of the last attempt.
    """

    def __init__(self, last: httpx2.RequestError) -> None:
        super().__init__(f"{type(last).__name__}: {last}")
        self.is_unreachable = is_unreachable(last)


def is_unreachable(error: httpx2.RequestError) -> bool:
    """Return whether the connection itself failed."""
    return isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError)
