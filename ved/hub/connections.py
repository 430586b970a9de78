"""Connections of the HTTP session: only to addresses that are allowed, and not for ever.

The address is checked between the look-up of the name and the connection, so that no second look-up
can lead elsewhere. Through a proxy, the proxy looks the name up: then only addresses that are
written as numbers are checked, in `ved.hub.http`.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Timer
from typing import Any

import requests
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from ved.hub.answers import too_slow

PATIENCE = 120.0
"""Seconds for the headers of an answer, and for a body before its rate counts."""

SLOWEST_RATE = 50_000
"""Bytes per second, at least, of a body that takes longer than `PATIENCE`."""

CheckAddresses = Callable[[str, Iterable[str]], None]
"""Raises if VED may not connect to a host with these IP addresses."""


class _LimitedConnection(HTTPConnection):
    """A connection to an allowed address, with limits for sending and for the headers.

    Attributes:
        check_addresses: checks the IP addresses of a host before a connection; None allows all.
    """

    check_addresses: CheckAddresses | None = None
    _line: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        sock = self._connect_checked()
        # A second handle of the same connection, which also a TLS handshake leaves as it is.
        self._line = sock.dup()
        return sock

    def _connect_checked(self) -> socket.socket:
        """Connect to the first IP address of the host that answers."""
        if self.proxy is not None or self.check_addresses is None:
            return super()._new_conn()
        name = self._dns_host
        try:
            found = socket.getaddrinfo(name.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(self.host, self, socket.gaierror(str(error))) from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        type(self).check_addresses(name, addresses)  # type: ignore[misc]
        try:
            for number, address in enumerate(addresses, 1):
                self._dns_host = address
                try:
                    return super()._new_conn()
                except (NewConnectionError, ConnectTimeoutError):
                    if number == len(addresses):
                        raise
        finally:
            self._dns_host = name
        raise AssertionError("getaddrinfo returns at least one address")

    def connect(self) -> None:
        """Connect, handshakes included."""
        with self._time_limit(PATIENCE):
            super().connect()

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = None, **kw: Any
    ) -> None:
        """Send a request. A large body has more time."""
        size = int((headers or {}).get("Content-Length", 0))
        with self._time_limit(PATIENCE + size / SLOWEST_RATE):
            super().request(method, url, body, headers, **kw)

    def getresponse(self) -> Any:
        """Return the answer, after reading its headers."""
        with self._time_limit(PATIENCE):
            return super().getresponse()

    def close(self) -> None:
        """Close the connection."""
        if self._line is not None:
            self._line.close()
            self._line = None
        super().close()

    @contextmanager
    def _time_limit(self, seconds: float) -> Iterator[None]:
        """End the connection if the block takes longer.

        Raises:
            RefusedAnswerError: the block took longer.
        """
        is_over = Event()

        def end() -> None:
            is_over.set()
            with suppress(OSError, AttributeError):
                self._line.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

        timer = Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
            if is_over.is_set():  # http.client takes headers that are cut for whole
                raise too_slow()
        except Exception as error:
            if is_over.is_set():
                raise too_slow() from error
            raise
        finally:
            timer.cancel()


class _LimitedTLSConnection(_LimitedConnection, HTTPSConnection):
    """The same, encrypted."""


def connection_class(scheme: str, check: CheckAddresses | None) -> type[_LimitedConnection]:
    """Return the class of connections whose addresses a function checks.

    Args:
        scheme: "http" or "https".
        check: the function; None allows all addresses.
    """
    base = _LimitedTLSConnection if scheme == "https" else _LimitedConnection
    function = None if check is None else staticmethod(check)
    return type(base.__name__, (base,), {"check_addresses": function})


def is_unreachable(error: requests.RequestException) -> bool:
    """Return whether the connection itself failed."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    kinds = (requests.ConnectTimeout, requests.exceptions.ProxyError, requests.exceptions.SSLError)
    return isinstance(error, kinds) or isinstance(reason, NewConnectionError)
