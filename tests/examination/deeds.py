"""The program of an examining process whose sources do what their request says.

Its code runs where a library would run that a hostile file has taken over.
"""

import ctypes
import mmap
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ved.errors import ErrorCode
from ved.examination import worker
from ved.examination.report import AnyRequest, Examination, Problem, Request


def main() -> None:
    """Run the real worker, with `DEEDS` in place of the examination."""
    parent, readable, writable = sys.argv[1:]
    worker.serve(int(parent), Path(readable), Path(writable), lambda: _examine)


def _examine(request: AnyRequest, _directory: Path) -> Examination:
    assert isinstance(request, Request)
    name, _, argument = request.family.partition(" ")
    told = str(DEEDS[name](argument))
    return Examination(problems=[Problem(cause=told, remedy="", code=ErrorCode.VED_ITSELF_FAILED)])


def _attempt(deed: Callable[[], object]) -> str:
    """Return what comes of a deed: the name of its error, or "done" and what it returns."""
    try:
        return f"done: {deed()}"
    except Exception as error:
        return type(error).__name__


def _call(name: str, *arguments: object) -> int:
    """Call a function of the C library, past Python's own checks.

    Raises:
        OSError: it fails.
    """
    result: int = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _fork() -> None:
    if _call("fork") == 0:
        os._exit(0)


def _io_uring() -> int:
    return _call("syscall", 425, 1, ctypes.create_string_buffer(120))


def _spin(_: str) -> NoReturn:
    while True:
        pass


def _use_up_time(_: str) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_CPU, (1, resource.RLIM_INFINITY))
    _spin("")


def _write_large_file(_: str) -> None:
    with Path("large").open("wb") as file:
        for _number in range(2**10):
            file.write(bytes(2**20))


def _print(_: str) -> str:
    command = "::set-output name=built::9\n::error::hostile\n"
    print(command, flush=True)
    print(command, file=sys.stderr, flush=True)
    os.write(1, command.encode())
    os.write(2, command.encode())
    return "printed"


def _pipe() -> int:
    """Return the descriptor that answers go to."""
    for path in Path("/proc/self/fd").iterdir():
        try:
            os.write(int(path.name), b"")
            if str(path.readlink()).startswith("pipe:"):
                return int(path.name)
        except OSError:
            pass
    raise AssertionError


def _flood(_: str) -> NoReturn:
    pipe = _pipe()
    while True:
        os.write(pipe, b"x" * 2**16)


def _answer(text: str) -> None:
    os.write(_pipe(), text.encode() + b"\n")
    time.sleep(60)


def _thread(_: str) -> str:
    ran: list[int] = []
    thread = threading.Thread(target=ran.append, args=(1,))
    thread.start()
    thread.join()
    return f"done: {ran}"


class PanicException(BaseException):
    """What a panic of a library in Rust looks like in Python."""


def _panic(text: str) -> NoReturn:
    raise PanicException(text)


def _overflow_stack(_: str) -> None:
    sys.setrecursionlimit(10**9)

    def repeat(depth: int) -> int:
        return int(again(depth + 1))

    again = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(repeat)
    again(0)


DEEDS: dict[str, Callable[[str], object]] = {
    "well": lambda _: "done: ",
    "say": lambda text: text,
    "pid": lambda _: os.getpid(),
    "socket": lambda _: _attempt(lambda: socket.socket(socket.AF_INET)),
    "unix-socket": lambda _: _attempt(lambda: socket.socket(socket.AF_UNIX)),
    "socketpair": lambda _: _attempt(socket.socketpair),
    "io_uring": lambda _: _attempt(_io_uring),
    "read": lambda path: _attempt(Path(path).read_bytes),
    "write": lambda path: _attempt(lambda: Path(path).write_bytes(b"1")),
    "list": lambda path: _attempt(lambda: [*Path(path).iterdir()][:9]),
    "environment": lambda _: " ".join(sorted(os.environ)),
    "fork": lambda _: _attempt(_fork),
    "exec": lambda _: _attempt(lambda: os.execv("/bin/true", ["true"])),
    "run": lambda _: _attempt(lambda: subprocess.run(["/bin/true"], check=True)),
    "kill": lambda pid: _attempt(lambda: os.kill(int(pid), 0)),
    "limit": lambda pid: _attempt(lambda: resource.prlimit(int(pid), resource.RLIMIT_CORE, (0, 0))),
    "ptrace": lambda pid: _attempt(lambda: _call("ptrace", 16, int(pid), 0, 0)),
    "thread": _thread,
    "memory": lambda _: [bytearray(2**26) for _ in range(1000)],
    "address-space": lambda _: [mmap.mmap(-1, 2**28) for _ in range(1000)],
    "spin": _spin,
    "cpu": _use_up_time,
    "sleep": lambda _: time.sleep(60),
    "large-file": _write_large_file,
    "print": _print,
    "flood": _flood,
    "answer": _answer,
    "panic": _panic,
    "segfault": lambda _: ctypes.string_at(8),
    "abort": lambda _: os.abort(),
    "_exit": lambda status: os._exit(int(status)),
    "exit": lambda status: sys.exit(int(status)),
    "overflow": _overflow_stack,
}
"""What a source can do, by name; each gets the text after the name."""
