"""The wire between clients and hub: counts what passes, and misbehaves when a test says so."""

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
    """One request and its answer; path as on the wire without the query, bytes those of bodies.

    It is in the log as soon as the request arrives and grows while bytes pass; `status` is None
    until the answer begins.
    """

    method: str
    path: str
    status: int | None = None
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True)
class _Fault:
    """What to do to a request; Faults.add explains."""

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


LATENESS = 0.05
"""Seconds for which a wire makes up: an event loop that wakes up late would else be slower."""


class Throttle:
    """A limit for one direction, shared by all connections.

    Attributes:
        rate: bytes per second of all bodies together; None is no limit.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self._free_at = 0.0

    @property
    def step(self) -> int | None:
        """How many bytes to pass at once, so that a slow wire is slow throughout; None is all."""
        return None if self.rate is None else max(1, int(self.rate / 20))

    async def wait(self, size: int) -> None:
        """Wait until a number of bytes may pass."""
        while size > 0 and self.rate is not None and self.step is not None:
            step = min(size, self.step)
            self._free_at = max(self._free_at, time.monotonic() - LATENESS) + step / self.rate
            await asyncio.sleep(self._free_at - time.monotonic())
            size -= step


class Faults:
    """How a hub misbehaves; may be changed at any time, from any thread.

    Attributes:
        upload: the limit for request bodies.
        download: the limit for response bodies.
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
        """Let the next requests of a method suffer; the oldest rule that matches a request has it.

        Args:
            method: GET, PUT and so on.
            path: a regular expression, searched for in the path as on the wire, without the query.
            after: how many requests pass unharmed before; no other rule has those.
            times: how many requests suffer.
            status: answer with this and do nothing.
            retry_after: seconds, for the Retry-After header of that answer.
            cut_request: drop the connection when this many bytes of the request's body are in.
            cut_response: close the connection after this many bytes of the response's body.
            flip_bit: flip a bit in the request's body, or in the answer's where it has none.
            drop_response: do what is asked, and close the connection in place of an answer.
            body: say this in place of the answer, and do nothing.
            delay: seconds to wait before anything else.
        """
        fault = _Fault(
            status, retry_after, cut_request, cut_response, flip_bit, drop_response, body, delay
        )
        with self._lock:
            self._rules.append(_Rule(method, re.compile(path), after, times, fault))

    def clear(self) -> None:
        """Behave again."""
        with self._lock:
            self._rules.clear()
        self.upload.rate = self.download.rate = None

    def take(self, method: str, path: str) -> _Fault:
        """Return what to do to a request, and count it as done."""
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
    """uvicorn's h11 protocol, with the transport where an application can close it."""

    def handle_events(self) -> None:
        """Handle what arrived; an application that this starts runs only after it returns."""
        super().handle_events()
        if self.scope is not None:
            self.scope["extensions"] = {_EXTENSION: {"transport": self.transport}}


class Wire:
    """ASGI middleware, the outermost: keeps the log and applies the faults."""

    def __init__(self, app: ASGIApp, faults: Faults, log: list[Exchange]) -> None:
        self._app = app
        self._faults = faults
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange(scope["method"], scope["raw_path"].decode("ascii"))
        self._log.append(exchange)
        fault = self._faults.take(exchange.method, exchange.path)
        transport = scope["extensions"][_EXTENSION]["transport"]
        call = _Call(exchange, fault, self._faults, transport, receive, send)
        await asyncio.sleep(fault.delay)
        app = self._app
        if fault.status is not None:
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            message = f"The local Hub was told to answer {fault.status}."
            app = JSONResponse({"error": message}, fault.status, headers)
        elif fault.body is not None:
            app = Response(fault.body, media_type="application/json")
        await app(scope, call.receive, call.send)
        if call.is_cut:
            # uvicorn takes an unfinished answer for an error unless the connection is gone.
            while (await receive())["type"] != "http.disconnect":
                pass


class _Call:
    """One request's ends of the wire."""

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
        self._body_is_in = False
        self.is_cut = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        self._body_is_in = not message.get("more_body", False)
        body = message.get("body", b"")
        cut = self._fault.cut_request
        if cut is not None and self._exchange.bytes_in + len(body) >= cut:
            self._exchange.bytes_in = cut
            self.is_cut = True
            self._transport.abort()
            return {"type": "http.disconnect"}
        if body and self._fault.flip_bit:
            body = self._damaged(body)
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
            body = self._damaged(body)
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

    def _damaged(self, body: bytes) -> bytes:
        """Return a body with a bit flipped, in its last byte, and leave what follows alone."""
        self._fault = replace(self._fault, flip_bit=False)
        return body[:-1] + bytes([body[-1] ^ 1])

    async def _drain(self) -> None:
        """Take in the rest of the request: a client still sending would miss an early refusal."""
        while not self._body_is_in:
            if (await self.receive())["type"] == "http.disconnect":
                return
