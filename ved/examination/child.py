"""One examining process: start it, send it the names of folders, and read its answers."""

import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import ved
from ved.environment import VARIABLES
from ved.interruption import POLL_SECONDS, raise_if_interrupted

if TYPE_CHECKING:
    from ved.examination.report import Answer

_PASSED_ON = ("LANG", "LC_ALL", "LD_LIBRARY_PATH")
"""The variables that the process gets from this one, whose environment may hold secrets."""

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""Threads that are not needed, and memory for them, would count against the limits."""

_START = """\
import importlib, sys
sys.path[:0] = sys.argv.pop(1).split("\\n")
importlib.import_module(sys.argv.pop(1)).main()
"""

_READ_BYTES = 2**20

_REASONS = {
    "SIGXCPU": "too much processor time",
    "SIGKILL": "the machine may lack memory",
    "SIGABRT": "a library gave up",
    "SIGSEGV": "a library crashed",
    "SIGXFSZ": "too large a file",
}


class ChildEndedError(Exception):
    """The process ended, or is to be ended; the text says how, for the end of a sentence.

    Args:
        how: the text.
        retry: whether an earlier source can be the reason.
        slow: whether the process answers too late, as on a machine with too much other work.
    """

    def __init__(self, how: str, *, retry: bool = False, slow: bool = False) -> None:
        super().__init__(how)
        self.retry = retry
        self.slow = slow


class Child:
    """A process that examines sources. It starts at once, and is ready after its first answer.

    Args:
        module: the module whose `main` is the program of the process.
        sources: the parent of the sources' folders, which the process may read.
        work: the directory that it may write in.
    """

    def __init__(self, module: str, sources: Path, work: Path) -> None:
        root = Path(ved.__file__).parents[1]
        paths = [str(root), *(path for path in sys.path if _is_installed(path, root))]
        arguments = [str(os.getpid()), str(sources), str(work)]
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        own = {
            **dict.fromkeys(("HOME", "TMPDIR", "HF_HOME", "XDG_CACHE_HOME"), str(work)),
            **{"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        }
        options = ["-E", "-s", "-P", "-B", "-X", "utf8", "-c", _START, "\n".join(paths)]
        self._process = subprocess.Popen(  # noqa: S603 - the program is VED's own
            [sys.executable, *options, module, *arguments],
            cwd=work,
            env={**passed_on, **VARIABLES, **_ONE_THREAD, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl+C is for this process only
        )
        self.is_ready = False
        self.served = 0

    def is_running(self) -> bool:
        """Return whether the process has not ended."""
        return self._process.poll() is None

    def send(self, folder: str) -> None:
        """Ask about the source in a folder.

        Args:
            folder: the name of the folder.
        """
        assert self._process.stdin is not None
        self.served += 1
        with suppress(BrokenPipeError):  # what ended the process is in its exit status
            self._process.stdin.write(os.fsencode(folder) + b"\n")

    def receive(self, seconds: float) -> "Answer":
        """Return the next answer.

        Args:
            seconds: how long to wait.

        Raises:
            ChildEndedError: there is none, or it is not valid.
        """
        # Imported when the process has been started, which imports its own libraries meanwhile
        from pydantic import ValidationError

        from ved.examination.report import ANSWER_BYTES, Answer

        answers = self._process.stdout
        assert answers is not None
        deadline = time.monotonic() + seconds
        received = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(answers, selectors.EVENT_READ)
            while not received.endswith(b"\n"):
                rest = deadline - time.monotonic()
                if rest <= 0:
                    raise ChildEndedError(f"it takes longer than {seconds:g} seconds", slow=True)
                if len(received) > ANSWER_BYTES:
                    raise ChildEndedError(f"its answer is longer than {ANSWER_BYTES} bytes")
                if not selector.select(min(rest, POLL_SECONDS)):
                    raise_if_interrupted()
                    continue
                chunk = os.read(answers.fileno(), _READ_BYTES)
                if not chunk:
                    how, retry = self._how_it_ended()
                    raise ChildEndedError(how, retry=retry)
                received += chunk
        try:
            return Answer.model_validate_json(bytes(received))
        except ValidationError as error:
            raise ChildEndedError("its answer is not valid") from error

    def _how_it_ended(self) -> tuple[str, bool]:
        """Describe the end of the process, for the end of a sentence.

        Returns:
            the description, and whether an earlier source can be the reason. Each source has its
            own processor time, so that is never used up by another one.
        """
        try:
            status = self._process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            return "it stops answering", True
        if status >= 0:
            return f"the process exits with status {status}", True
        with suppress(ValueError):
            name = signal.Signals(-status).name
            reason = _REASONS.get(name)
            text = f"the process ends by {name}" + (f" ({reason})" if reason else "")
            return text, name != "SIGXCPU"
        return f"the process ends by signal {-status}", True

    def stop(self) -> None:
        """End the process, if it has not ended."""
        if self.is_running():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _is_installed(path: str, root: Path) -> bool:
    """Return whether a path of `sys.path` may be passed on: not the working directory."""
    return Path(path).is_absolute() and Path(path) not in (root, Path.cwd())
