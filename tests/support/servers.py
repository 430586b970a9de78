"""Small HTTP servers for tests of answers that the local Hub does not give."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

Answer: TypeAlias = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[None]:
    """Run a server in a thread until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def serving_requests(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Answer HEAD, GET and POST requests on a port of loopback, and yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            answer(self)

        def do_GET(self) -> None:
            answer(self)

        def do_POST(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            """Keep the output of the tests clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, running(server):
        yield f"http://127.0.0.1:{server.server_port}"


def send(
    request: BaseHTTPRequestHandler, status: int, fields: dict[str, str], body: bytes = b""
) -> None:
    """Send an answer, with a Content-Length unless `fields` has one."""
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **fields}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


@contextmanager
def serving(answer: Callable[[str, bytes], Answer]) -> Iterator[str]:
    """Answer requests by their path and body on a port of loopback, and yield the URL."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        send(request, *answer(request.path, body))

    with serving_requests(respond) as url:
        yield url
