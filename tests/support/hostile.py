"""A Hub that cannot be trusted, and a look at what a run of the action does besides printing."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from examples.demo.runner import ENTRYPOINT
from tests.support.servers import running
from tests.support.web import web

_OF_THE_CONNECTION = ("Connection", "Content-Length", "Date", "Server", "Transfer-Encoding")


@dataclass
class Request:
    """What a client asked; the path is with its query."""

    method: str
    path: str
    headers: httpx2.Headers
    body: bytes


@dataclass
class Answer:
    """What it is answered."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of_json(cls, content: object, status: int = 200, **headers: str) -> "Answer":
        """Return an answer of JSON."""
        return cls(
            status, {"Content-Type": "application/json"} | headers, json.dumps(content).encode()
        )

    def json(self) -> Any:
        """Return the content of an answer of JSON."""
        return json.loads(self.body)

    def with_json(self, content: object) -> "Answer":
        """Return it with other content."""
        return Answer(self.status, self.headers, json.dumps(content).encode())


Change = Callable[[Request, Callable[[], Answer]], Answer]


def with_value_in_file(repo: str, name: str, key: str, text: Callable[[Request], str]) -> Change:
    """Set a key of a JSON file of a repo.

    Args:
        repo: the repo.
        name: the name of the file.
        key: the key.
        text: returns the value for a request.
    """

    def change(request: Request, forwarded: Callable[[], Answer]) -> Answer:
        path = request.path.partition("?")[0]
        if not path.endswith(f"/{name}") or repo not in path:
            return forwarded()
        method, request.method = request.method, "GET"  # a HEAD has the length of the content
        answer = forwarded()
        request.method = method
        if answer.status != 200:
            return answer
        return Answer(
            200, answer.headers, json.dumps({**answer.json(), key: text(request)}).encode()
        )

    return change


@dataclass
class Server:
    """A server, and what it was asked."""

    endpoint: str
    requests: list[Request] = field(default_factory=list)

    @property
    def secrets(self) -> set[str]:
        """The tokens that it was sent."""
        headers = (request.headers.get("Authorization", "") for request in self.requests)
        return {header.removeprefix("Bearer ") for header in headers if header}


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[Server]:
    """Answer requests on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = httpx2.Headers(self.headers.items())
            request = Request(self.command, self.path, headers, body)
            server.requests.append(request)
            given = answer(request)
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(given.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(given.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server = Server(f"http://127.0.0.1:{listening.server_port}")
        with running(listening):
            yield server


@contextmanager
def impostor(hub: str, change: Change) -> Iterator[Server]:
    """Stand between a client and a Hub, and answer what a function makes of the Hub's answer."""

    def answer(request: Request) -> Answer:
        return change(request, lambda: _forwarded(request, hub, server.endpoint))

    with serving(answer) as server:
        yield server


def _forwarded(request: Request, hub: str, own: str) -> Answer:
    """Ask the Hub, in whose words its address is replaced by the impostor's."""
    path, body = request.path, request.body
    for before, after in ((own, hub), (quote(own, safe=""), quote(hub, safe=""))):
        path, body = path.replace(before, after), body.replace(before.encode(), after.encode())
    asked = {**request.headers, "Accept-Encoding": "identity"}
    for name in ("Host", *_OF_THE_CONNECTION):
        asked.pop(name, None)
    got = web.request(
        request.method, hub + path, content=body, headers=asked, follow_redirects=False, timeout=30
    )
    headers = {name: value.replace(hub, own) for name, value in got.headers.items()}
    for name in _OF_THE_CONNECTION:
        headers.pop(name.lower(), headers.pop(name, None))
    content = got.content
    if request.method == "HEAD":
        content = bytes(int(got.headers.get("Content-Length", 0)))
    elif "json" in got.headers.get("Content-Type", ""):
        content = content.replace(hub.encode(), own.encode())
    return Answer(got.status_code, headers, content)


# Runs before the action; os.write is not audited, so that it does not tell of itself.
_WATCH = """
import json, os, runpy, sys
log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
written = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
def told(event, args):
    if event == "open" and not isinstance(args[0], int) and (args[2] or 0) & written:
        return "write", [args[0]]
    if event in ("os.mkdir", "os.rename", "os.link", "os.symlink"):
        return "write", list(args[:1] if event == "os.mkdir" else args[1:2])
    if event == "socket.connect":
        return "connect", list(args[1])
    if event == "socket.getaddrinfo":
        return "look up", list(args[:2])
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork"):
        has_own = event == "subprocess.Popen" and args[3] is not None
        return "start", [repr(args), {} if has_own else dict(os.environ)]
def hook(event, args):
    known = told(event, args)
    if known:
        line = json.dumps([known[0], os.getcwd(), known[1]], default=os.fsdecode)
        os.write(log, line.encode(errors="replace") + b"\\n")
sys.addaudithook(hook)
runpy.run_path(ENTRYPOINT, run_name="__main__")
"""


@dataclass(frozen=True)
class Watch:
    """What a Python process writes, which processes it starts, and what it connects to."""

    folder: Path

    @property
    def command(self) -> Sequence[str]:
        """The command that runs the action and watches it."""
        self.folder.mkdir(exist_ok=True)
        names = {"LOG": str(self.folder / "log"), "ENTRYPOINT": str(ENTRYPOINT)}
        given = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        (self.folder / "watch.py").write_text(given + _WATCH)
        return (sys.executable, "-I", "-B", str(self.folder / "watch.py"))

    @property
    def written(self) -> set[Path]:
        """The files and folders that it wrote."""
        return {Path(folder, name).resolve() for folder, (name,) in self._told("write")}

    @property
    def connected(self) -> set[str]:
        """The addresses that it connected to."""
        return {f"http://{address[0]}:{address[1]}" for _, address in self._told("connect")}

    @property
    def looked_up(self) -> set[str]:
        """The hosts that it looked for."""
        return {str(host) for _, (host, _port) in self._told("look up")}

    @property
    def started(self) -> list[Any]:
        """The processes that it started, each with its environment."""
        return [started for _, started in self._told("start")]

    def _told(self, kind: str) -> list[tuple[str, Any]]:
        lines = map(json.loads, (self.folder / "log").read_text().splitlines())
        return [(folder, told) for found, folder, told in lines if found == kind]
