"""Start the process that examines sources, ask it, and replace it when it ends."""

import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

import ved
from ved.environment import VARIABLES
from ved.errors import ErrorCode, VedError
from ved.examination.report import ANSWER_BYTES, Answer, Examination
from ved.interruption import POLL_SECONDS, raise_if_interrupted

log = logging.getLogger("ved")

WALL_SECONDS = 50
"""Time limit of one source, in seconds."""

START_SECONDS = 120
"""Time limit of the start of the process, in seconds."""

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


class ExaminesSources(Protocol):
    """Examines sources, whose files are in folders."""

    def new_folder(self) -> Path:
        """Return the path of a folder that does not exist, for the files of a source."""
        ...

    def examine(self, folder: Path, origin: str) -> Examination:
        """Return what is known of the source in a folder; see `Examiner.examine`."""
        ...


class _EndedError(Exception):
    """The process ended, or is to be ended; the text says how, for the end of a sentence."""

    def __init__(self, how: str, *, retry: bool = False) -> None:
        super().__init__(how)
        self.retry = retry


class Examiner:
    """Examines sources in a process that it starts, and replaces when it ends.

    The process sees a directory of its own only. A context manager, which ends the process and
    deletes that directory.

    Args:
        module: the module whose `main` is the program of the process.
        wall_seconds: the time limit of one source, in seconds.
    """

    def __init__(
        self, module: str = "ved.examination.worker", wall_seconds: float = WALL_SECONDS
    ) -> None:
        self._module = module
        self._wall_seconds = wall_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._served = 0
        self._count = 0

    def __enter__(self) -> "Examiner":
        self._scratch = tempfile.TemporaryDirectory(
            prefix=".ved-examination-", ignore_cleanup_errors=True
        )
        root = Path(self._scratch.name).resolve()
        self._sources, self._work = root / "sources", root / "work"
        for directory in (self._sources, self._work):
            directory.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._scratch.cleanup()

    def new_folder(self) -> Path:
        """Return the path of a folder that does not exist, for the files of a source."""
        self._count += 1
        return self._sources / f"{self._count}"

    def start(self) -> None:
        """Start the process, if there is none; do not wait until it is ready."""
        if self._process is not None and self._process.poll() is None:
            return
        self._stop()
        root = Path(ved.__file__).parents[1]
        paths = [str(root), *(path for path in sys.path if _is_installed(path, root))]
        arguments = [str(os.getpid()), str(self._sources), str(self._work)]
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        own = {
            **dict.fromkeys(("HOME", "TMPDIR", "HF_HOME", "XDG_CACHE_HOME"), str(self._work)),
            **{"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        }
        options = ["-E", "-s", "-P", "-B", "-X", "utf8", "-c", _START, "\n".join(paths)]
        self._process = subprocess.Popen(  # noqa: S603 - the program is VED's own
            [sys.executable, *options, self._module, *arguments],
            cwd=self._work,
            env={**passed_on, **VARIABLES, **_ONE_THREAD, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl+C is for this process only
        )
        self._is_ready, self._served = False, 0

    def examine(self, folder: Path, origin: str) -> Examination:
        """Return what is known of a source.

        Args:
            folder: a folder that `collect_files` has filled.
            origin: the source, for errors.

        Raises:
            VedError: the source ends the examination instead of being examined.
            KeyboardInterrupt: this process is interrupted.
        """
        try:
            return self._examine_again(folder, origin)
        except _EndedError as error:
            self._stop()
            raise VedError(
                f"{origin} broke its examination: {error}.",
                "Use another source. If this one is good, report it with this log.",
                code=ErrorCode.EXAMINATION_FAILED,
            ) from error
        except BaseException:
            self._stop()
            raise

    def _examine_again(self, folder: Path, origin: str) -> Examination:
        """Return the examination; repeat it if an earlier source can be what ended the process."""
        self._wait_until_ready()
        was_used = self._served > 0
        try:
            return self._ask(folder, origin)
        except _EndedError as error:
            if not (was_used and error.retry):
                raise
        self._stop()
        self._wait_until_ready()
        return self._ask(folder, origin)

    def _wait_until_ready(self) -> None:
        """Start the process if there is none, and wait until it has imported its libraries.

        Raises:
            VedError: it does not start.
        """
        self.start()
        if self._is_ready:
            return
        try:
            answer = self._receive(START_SECONDS)
        except _EndedError as error:
            answer = Answer(broken=str(error))
        if not answer.ready:
            _log_traceback(answer)
            raise VedError(
                f"The process that examines sources does not start: {answer.broken or 'it fails'}.",
                "Report it with this log.",
                code=ErrorCode.VED_ITSELF_FAILED,
            )
        self._is_ready = True

    def _ask(self, folder: Path, origin: str) -> Examination:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        self._served += 1
        with suppress(BrokenPipeError):  # what ended the process is in its exit status
            process.stdin.write(os.fsencode(folder.name) + b"\n")
        answer = self._receive(self._wall_seconds)
        if answer.retires:
            self._stop()
        if answer.examination is not None:
            return answer.examination
        if answer.traceback:
            _log_traceback(answer)
            raise VedError(
                f"VED itself failed at the examination of {origin}.",
                "Report it with this log.",
                code=ErrorCode.VED_ITSELF_FAILED,
            )
        raise _EndedError(answer.broken or "it gives an empty answer", retry=True)

    def _receive(self, seconds: float) -> Answer:
        """Return the next answer.

        Args:
            seconds: how long to wait.

        Raises:
            _EndedError: there is none, or it is not valid.
        """
        process = self._process
        assert process is not None
        assert process.stdout is not None
        deadline = time.monotonic() + seconds
        received = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not received.endswith(b"\n"):
                rest = deadline - time.monotonic()
                if rest <= 0:
                    raise _EndedError(f"it takes longer than {seconds:g} seconds")
                if len(received) > ANSWER_BYTES:
                    raise _EndedError(f"its answer is longer than {ANSWER_BYTES} bytes")
                if not selector.select(min(rest, POLL_SECONDS)):
                    raise_if_interrupted()
                    continue
                chunk = os.read(process.stdout.fileno(), _READ_BYTES)
                if not chunk:
                    raise _EndedError(self._how_it_ended(), retry=True)
                received += chunk
        try:
            return Answer.model_validate_json(bytes(received))
        except ValidationError as error:
            raise _EndedError("its answer is not valid") from error

    def _how_it_ended(self) -> str:
        """Describe the end of the process, for the end of a sentence."""
        assert self._process is not None
        try:
            status = self._process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            return "it stops answering"
        if status >= 0:
            return f"the process exits with status {status}"
        with suppress(ValueError):
            name = signal.Signals(-status).name
            reason = _REASONS.get(name)
            return f"the process ends by {name}" + (f" ({reason})" if reason else "")
        return f"the process ends by signal {-status}"

    def _stop(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


_REASONS = {
    "SIGXCPU": "too much processor time",
    "SIGKILL": "the machine may lack memory",
    "SIGABRT": "a library gave up",
    "SIGSEGV": "a library crashed",
    "SIGXFSZ": "too large a file",
}


def _is_installed(path: str, root: Path) -> bool:
    """Return whether a path of `sys.path` may be passed on: not the working directory."""
    return Path(path).is_absolute() and Path(path) not in (root, Path.cwd())


def _log_traceback(answer: Answer) -> None:
    lines = "".join(f"\n  | {line}" for line in answer.traceback)
    log.error("Unexpected error in the examination of a source:%s", lines)


_shared: ExaminesSources | None = None


@contextmanager
def use_examiner(examiner: ExaminesSources) -> Iterator[None]:
    """Have all that examines sources within the block use an examiner.

    Args:
        examiner: the examiner.
    """
    global _shared
    before, _shared = _shared, examiner
    try:
        yield
    finally:
        _shared = before


@contextmanager
def open_examiner() -> Iterator[ExaminesSources]:
    """Yield the examiner of the block around this one, or else a new one."""
    if _shared is not None:
        yield _shared
        return
    with Examiner() as own:
        own.start()
        yield own
