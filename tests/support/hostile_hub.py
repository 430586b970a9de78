"""A server that never ends, bombs, trickles or leads astray, alone or in front of the local Hub."""

import gzip
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.servers import running
from tests.support.web import web

Attack = Callable[["Request"], None]
"""Writes an answer, headers included."""

BOMB_BYTES = 32 * 2**20
"""The size of a bomb after decompression."""


class Request(BaseHTTPRequestHandler):
    """A request to the server; its attributes are those of the standard library."""

    protocol_version = "HTTP/1.1"
    server: Any

    def _answer(self) -> None:
        hostile: HostileServer = self.server.hostile
        hostile.asked.append(f"{self.command} {self.path}")
        hostile.tokens.add(self.headers.get("Authorization", ""))
        attack = hostile.attack_on(f"{self.command} {self.path}")
        with suppress(OSError):  # the client has closed the connection
            (attack or _forward)(self)
        self.close_connection |= attack is not None

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def start(self, status: int = 200, **fields: object) -> None:
        """Send the status and the headers."""
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def write(self, content: bytes) -> None:
        """Send bytes, and count them."""
        self.wfile.write(content)
        self.server.hostile.sent += len(content)

    def log_message(self, *_: object) -> None:
        """Keep the output of the tests clean."""


@dataclass
class HostileServer:
    """A server, what it does and what it was asked.

    Attributes:
        endpoint: its address.
        hub: the address of the Hub that answers what no attack answers; "" for none.
        attacks: what to do with a request, by a regular expression for its method and path.
        asked: the method and the path of each request.
        tokens: the values of the header `Authorization`.
        sent: how many bytes the attacks have sent.
    """

    endpoint: str
    hub: str = ""
    attacks: dict[str, Attack] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    sent: int = 0

    def attack_on(self, request: str) -> Attack | None:
        """Return the attack on a request; None to answer as the Hub does."""
        found = (each for name, each in self.attacks.items() if re.search(name, request))
        return next(found, None)


@contextmanager
def hostile_server(hub: str = "", host: str = "127.0.0.1") -> Iterator[HostileServer]:
    """Serve on a port of loopback until the end of the block."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False  # some attacks have no end of their own

    with Server((host, 0), Request) as server:
        hostile = HostileServer(f"http://{host}:{server.server_port}", hub)
        server.hostile = hostile  # type: ignore[attr-defined]
        with running(server):
            yield hostile


def _forward(request: Request) -> None:
    """Answer as the Hub does, in whose words its address is replaced by this server's."""
    hostile: HostileServer = request.server.hostile
    body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
    if not hostile.hub:
        request.start(404, Content_Length=0)
        return
    headers = {name: value for name, value in request.headers.items() if name != "Host"}
    headers["Accept-Encoding"] = "identity"
    got = web.request(
        request.command,
        hostile.hub + request.path,
        content=body.replace(hostile.endpoint.encode(), hostile.hub.encode()),
        headers=headers,
        follow_redirects=False,
    )
    request.send_response(got.status_code)
    content = got.content
    if "json" in got.headers.get("Content-Type", ""):
        content = content.replace(hostile.hub.encode(), hostile.endpoint.encode())
    for name, value in got.headers.items():
        if name.lower() not in ("connection", "content-length", "date", "server"):
            request.send_header(name, value.replace(hostile.hub, hostile.endpoint))
    length = got.headers["Content-Length"] if request.command == "HEAD" else str(len(content))
    request.send_header("Content-Length", length)
    request.end_headers()
    request.wfile.write(content)


def sending(content: bytes) -> Attack:
    """Return an answer without malice."""

    def answer(request: Request) -> None:
        request.start(Content_Length=len(content))
        request.write(content)

    return answer


# Bodies without an end


def endless_chunks(request: Request, status: int = 200) -> None:
    """Send chunks until the client has enough."""
    request.start(status, Transfer_Encoding="chunked", Content_Type="application/json")
    while True:
        request.write(b"10000\r\n" + b"[" * 0x10000 + b"\r\n")


def endless_body(request: Request, status: int = 200) -> None:
    """Send a body without a length until the client has enough."""
    request.start(status, Connection="close")
    while True:
        request.write(b" " * 2**16)


def huge_body(request: Request, status: int = 200) -> None:
    """Promise a petabyte, and send until the client has enough."""
    request.start(status, Content_Length=10**15)
    while True:
        request.write(b" " * 2**16)


def endless_error(request: Request) -> None:
    """Send an error whose explanation has no end."""
    endless_chunks(request, 403)


# Bombs


@cache
def bomb(encoding: str) -> bytes:
    """Return a compressed body that is `BOMB_BYTES` long after decompression."""
    zeros = bytes(2**20)
    if encoding == "gzip, gzip":
        return gzip.compress(bomb("gzip"))
    wrapping = 31 if encoding == "gzip" else 15
    packer = zlib.compressobj(9, zlib.DEFLATED, wrapping)
    packed = [packer.compress(zeros) for _ in range(BOMB_BYTES // len(zeros))]
    return b"".join([*packed, packer.flush()])


def bomb_of(encoding: str, status: int = 200, **fields: Any) -> Attack:
    """Return an attack that sends a bomb, with further headers."""

    def attack(request: Request) -> None:
        content = bomb(encoding)
        request.start(status, Content_Encoding=encoding, Content_Length=len(content), **fields)
        request.write(content)

    return attack


# Slow answers


def silent_body(request: Request) -> None:
    """Promise a body, and send nothing."""
    request.start(Content_Length=1000)
    _wait(request)


def trickling_body(request: Request) -> None:
    """Send a byte now and then."""
    request.start(Content_Length=10**6)
    while True:
        request.write(b" ")
        time.sleep(0.02)


def trickling_headers(request: Request) -> None:
    """Send a byte of the headers now and then."""
    request.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        request.write(b"x")
        time.sleep(0.02)


def endless_interim_answers(request: Request) -> None:
    """Send `100 Continue` without an end."""
    while True:
        request.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.002)


def _wait(request: Request) -> None:
    with suppress(OSError):
        request.connection.settimeout(30)
        request.connection.recv(1)


# Addresses


def redirect_to(location: str, status: int = 302, **fields: Any) -> Attack:
    """Return an attack that redirects.

    Args:
        location: the address; `{n}` is another number each time, and `{endpoint}` this server.
        status: the HTTP status.
        fields: further headers.
    """

    def attack(request: Request) -> None:
        hostile: HostileServer = request.server.hostile
        target = location.replace("{n}", str(len(hostile.asked)))
        target = target.replace("{endpoint}", hostile.endpoint)
        request.start(status, Location=target, Content_Length=0, **fields)

    return attack


def pages_to(link: str, content: bytes = b"[]") -> Attack:
    """Return an attack that sends a page of a list that names the next, as `redirect_to` does."""

    def attack(request: Request) -> None:
        number = len(request.server.hostile.asked)
        address = link.replace("{n}", str(number))
        request.start(Link=f'<{address}>; rel="next"', Content_Length=len(content))
        request.write(content)

    return attack
