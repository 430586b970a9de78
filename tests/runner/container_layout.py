"""A proxy between act and a container engine: containers get the layout of GitHub's own runner.

act runs jobs on this machine, and gives containers paths that exist only outside of them. The proxy
changes each request that creates a container. Source of the layout: actions/runner,
src/Runner.Worker/Handlers/ContainerActionHandler.cs.
"""

import json
import re
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

CREATE = re.compile(rb"POST /(v[\d.]+/)?containers/create")
OF_ACT = {"PATH", "PWD", "SHLVL", "_", "OLDPWD", "DOCKER_HOST", "XDG_CACHE_HOME", "ACT"}
"""Variables of act's own process, which act passes on and GitHub's runner does not."""


class LayoutProxy:
    """Listens on a socket for act, and forwards each connection to the engine.

    Args:
        address: where to create the socket.
        engine: the socket of the engine.
        network: the network of all containers, such as `host`; None for the engine's default, a
            bridge, which is also GitHub's.

    Attributes:
        environments: the variables of each container created until now.
    """

    def __init__(self, address: Path, engine: Path, network: str | None) -> None:
        self.address, self._engine, self._network = address, engine, network
        self.environments: list[dict[str, str]] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(address))
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(str(self._engine))
            answers = threading.Thread(target=_copy, args=(engine.makefile("rb"), client))
            answers.start()
            try:
                self._forward(client.makefile("rb"), engine)
                engine.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # one side has closed the connection
            answers.join()

    def _forward(self, requests: BinaryIO, engine: socket.socket) -> None:
        while head := _read_head(requests):
            if re.search(rb"(?im)^upgrade:", head):  # to a container's output
                engine.sendall(head)
                _copy(requests, engine)
                return
            if re.search(rb"(?im)^transfer-encoding: *chunked", head):  # the context of a build
                engine.sendall(head)
                _copy_chunks(requests, engine)
                continue
            length = re.search(rb"(?im)^content-length: *(\d+)", head)
            body = requests.read(int(length[1])) if length else b""
            if CREATE.match(head):
                body = self._with_layout(body)
                size = b"Content-Length: %d" % len(body)
                head = re.sub(rb"(?im)^content-length: *\d+", size, head)
            engine.sendall(head + body)

    def _with_layout(self, body: bytes) -> bytes:
        container: dict[str, Any] = json.loads(body)
        host = container["HostConfig"]
        mounted = {}
        for bind in host.get("Binds") or ():
            outside, inside = bind.split(":")[:2]
            mounted[inside] = outside
        if "/var/run/act" not in mounted:
            return body  # not a container of an action
        mounts = _mounts(Path(mounted["/var/run/act"]))
        variables = dict(entry.partition("=")[::2] for entry in container["Env"])
        variables = {
            name: _translate(value, mounts)
            for name, value in variables.items()
            if name not in OF_ACT
        }
        variables |= {"HOME": "/github/home", "RUNNER_TEMP": "/github/runner_temp"}
        self.environments.append(variables)
        container["Env"] = [f"{name}={value}" for name, value in variables.items()]
        container["WorkingDir"] = "/github/workspace"
        host["Binds"] = [f"{outside}:{inside}" for outside, inside in mounts]
        if self._network is not None:
            host["NetworkMode"] = self._network
        return json.dumps(container).encode()


def _mounts(act: Path) -> list[tuple[Path, str]]:
    """Return directories of a job, and where each is in the container; the most specific first."""
    files, job = act / "workflow", act.parent
    home = job / "tmp" / "_github_home"
    home.mkdir(parents=True, exist_ok=True)
    return [
        (files, "/github/file_commands"),
        (files, "/github/workflow"),  # with event.json
        (home, "/github/home"),
        (job / "tmp", "/github/runner_temp"),
        (job / "hostexecutor", "/github/workspace"),
    ]


def _translate(value: str, mounts: Iterable[tuple[Path, str]]) -> str:
    for outside, inside in mounts:
        if value == f"{outside}/event.json":
            return "/github/workflow/event.json"
        if value == str(outside) or value.startswith(f"{outside}/"):
            return inside + value.removeprefix(str(outside))
    return value


def _read_head(requests: BinaryIO) -> bytes:
    """Read a request up to and including the empty line; empty at the end of the connection."""
    head = b""
    while (line := requests.readline()) and line != b"\r\n":
        head += line
    return head + line if line else b""


def _copy_chunks(requests: BinaryIO, engine: socket.socket) -> None:
    while True:
        size = requests.readline()
        length = int(size.partition(b";")[0], 16)
        engine.sendall(size + requests.read(length + len(b"\r\n")))
        if length == 0:
            return


def _copy(source: BinaryIO, target: socket.socket) -> None:
    try:
        while data := source.read1(65536):  # type: ignore[attr-defined]
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side has closed the connection
