"""The log of requests, and the faults that tests can add to them."""

import asyncio
import re
import threading
import time
from dataclasses import dataclass, replace

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_EXTENSION = "ved.localhub"


@dataclass
class Exchange:
    """One request and its response. It is updated while bytes arrive and leave.

    Attributes:
        method: GET, PUT and so on.
        path: the quoted path, without the query.
        status: the HTTP status; None until the response begins.
        bytes_in: size of the request body so far, in bytes.
        bytes_out: size of the response body so far, in bytes.
    """

    method: str
    path: str
    status: int | None = None
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True)
class _Fault:
    """The effect on a request; `Faults.add` documents the fields."""

    status: int | None = None
    retry_after: int | None = None
    cut_request: int | None = None
    cut_response: int | None = None
    flip_bit: bool = False
    drop_response: bool = False
    body: bytes | None = None
    delay: float = 0.0


@dataclass
class _Rule:
    method: str
    path: re.Pattern[str]
    after: int
    times: int
    fault: _Fault


_MAX_LAG = 0.05
"""In seconds. A throttle catches up this much when the event loop wakes up late."""


class Throttle:
    """A rate limit for one direction, shared by all connections.

    Attributes:
        rate: in bytes per second, for all bodies together. None: no limit.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self._free_at = 0.0

    @property
    def step(self) -> int | None:
        """The size of one piece in bytes, a 20th of a second at the rate. None: no limit."""
        return None if self.rate is None else max(1, int(self.rate / 20))

    async def wait(self, size: int) -> None:
        """Wait until `size` more bytes may pass."""
        while size > 0 and self.rate is not None and self.step is not None:
            step = min(size, self.step)
            self._free_at = max(self._free_at, time.monotonic() - _MAX_LAG) + step / self.rate
            await asyncio.sleep(self._free_at - time.monotonic())
            size -= step


class Faults:
    """The faults of a hub. All methods may be called at any time, from any thread.

    Attributes:
        upload: the rate limit of request bodies: `faults.upload.rate = 1e6` bytes per second.
        download: the rate limit of response bodies.
    """

    def __init__(self) -> None:
        self.upload = Throttle()
        self.download = Throttle()
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def add(
        self,
        method: str,
        path: str,
        *,
        after: int = 0,
        times: int = 1,
        status: int | None = None,
        retry_after: int | None = None,
        cut_request: int | None = None,
        cut_response: int | None = None,
        flip_bit: bool = False,
        drop_response: bool = False,
        body: bytes | None = None,
        delay: float = 0.0,
    ) -> None:
        """Add a fault to the next requests that match. If several faults match, the oldest acts.

        Args:
            method: GET, PUT and so on.
            path: a regular expression to search for in the quoted path, without the query.
            after: number of matching requests to serve normally first. No other fault acts on
                them.
            times: number of requests to act on.
            status: respond with this HTTP status, without handling the request.
            retry_after: value of the Retry-After header of that response, in seconds.
            cut_request: abort the connection after this many bytes of the request body.
            cut_response: close the connection after this many bytes of the response body.
            flip_bit: flip one bit of the request body, or of the response body if the request
                has none.
            drop_response: handle the request, then close the connection without a response.
            body: respond with this JSON, without handling the request.
            delay: wait before anything else, in seconds.
        """
        fault = _Fault(
            status, retry_after, cut_request, cut_response, flip_bit, drop_response, body, delay
        )
        with self._lock:
            self._rules.append(_Rule(method, re.compile(path), after, times, fault))

    def clear(self) -> None:
        """Remove all faults and rate limits."""
        with self._lock:
            self._rules.clear()
        self.upload.rate = self.download.rate = None

    def next_fault(self, method: str, path: str) -> _Fault:
        """Return the fault of a request, and count it."""
        with self._lock:
            for rule in self._rules:
                if rule.times > 0 and rule.method == method and rule.path.search(path):
                    if rule.after > 0:
                        rule.after -= 1
                        break
                    rule.times -= 1
                    return rule.fault
        return _Fault()


class ReachableProtocol(H11Protocol):
    """uvicorn's h11 protocol, which puts the transport into the scope of a request."""

    def handle_events(self) -> None:
        """Handle received bytes. An application that this starts runs only after it returns."""
        super().handle_events()
        if self.scope is not None:
            self.scope["extensions"] = {_EXTENSION: {"transport": self.transport}}


class Wire:
    """The outermost ASGI middleware. It writes the log and applies the faults."""

    def __init__(self, app: ASGIApp, faults: Faults, log: list[Exchange]) -> None:
        self._app = app
        self._faults = faults
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange(scope["method"], scope["raw_path"].decode("ascii"))
        self._log.append(exchange)
        fault = self._faults.next_fault(exchange.method, exchange.path)
        transport = scope["extensions"][_EXTENSION]["transport"]
        call = _Call(exchange, fault, self._faults, transport, receive, send)
        await asyncio.sleep(fault.delay)
        app = self._app
        if fault.status is not None:
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            message = f"A fault of the local Hub: status {fault.status}."
            app = JSONResponse({"error": message}, fault.status, headers)
        elif fault.body is not None:
            app = Response(fault.body, media_type="application/json")
        if fault.cut_request == 0:  # whether or not the application reads the body
            call.abort()
        else:
            await app(scope, call.receive, call.send)
        if call.is_cut:
            # uvicorn logs an unfinished response as an error unless the connection is closed.
            while (await receive())["type"] != "http.disconnect":
                pass


class _Call:
    """The ASGI `receive` and `send` of one request, with its fault applied."""

    def __init__(
        self,
        exchange: Exchange,
        fault: _Fault,
        faults: Faults,
        transport: asyncio.Transport,
        receive: Receive,
        send: Send,
    ) -> None:
        self._exchange = exchange
        self._fault = fault
        self._faults = faults
        self._transport = transport
        self._receive = receive
        self._send = send
        self._body_complete = False
        self.is_cut = False

    def abort(self) -> None:
        """Abort the connection."""
        self.is_cut = True
        self._transport.abort()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        self._body_complete = not message.get("more_body", False)
        body = message.get("body", b"")
        cut = self._fault.cut_request
        if cut is not None and self._exchange.bytes_in + len(body) >= cut:
            self._exchange.bytes_in = cut
            self.abort()
            return {"type": "http.disconnect"}
        if body and self._fault.flip_bit:
            body = self._with_flipped_bit(body)
        self._exchange.bytes_in += len(body)
        await self._faults.upload.wait(len(body))
        return {**message, "body": body}

    async def send(self, message: Message) -> None:
        if self._fault.drop_response and not self.is_cut:
            self.is_cut = True
            self._transport.close()
        if self.is_cut:
            return
        if message["type"] == "http.response.start":
            self._exchange.status = message["status"]
            if message["status"] >= 400:
                await self._drain()
            await self._send(message)
            return
        body = b"" if self._exchange.method == "HEAD" else message.get("body", b"")
        if body and self._fault.flip_bit:
            body = self._with_flipped_bit(body)
        step = self._faults.download.step or max(1, len(body))
        for start in range(0, max(1, len(body)), step):
            more = message.get("more_body", False) or start + step < len(body)
            await self._send_piece(body[start : start + step], more)

    async def _send_piece(self, piece: bytes, more: bool) -> None:
        if self.is_cut:
            return
        cut = self._fault.cut_response
        if cut is not None and self._exchange.bytes_out + len(piece) >= cut:
            piece, more = piece[: cut - self._exchange.bytes_out], True
            self.is_cut = True
        await self._faults.download.wait(len(piece))
        self._exchange.bytes_out += len(piece)
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})
        if self.is_cut:
            self._transport.close()

    def _with_flipped_bit(self, body: bytes) -> bytes:
        """Return a body with a bit of its last byte flipped. Do so once per request."""
        self._fault = replace(self._fault, flip_bit=False)
        return body[:-1] + bytes([body[-1] ^ 1])

    async def _drain(self) -> None:
        """Read the rest of the request. A client that still sends does not see an early error."""
        while not self._body_complete:
            if (await self.receive())["type"] == "http.disconnect":
                return
