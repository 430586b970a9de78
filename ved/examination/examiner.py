"""Ask the process that examines sources, and replace it when it ends."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from ved.errors import ErrorCode, VedError
from ved.examination.child import Child, ChildEndedError
from ved.interruption import raise_if_interrupted

if TYPE_CHECKING:
    from ved.examination.report import Answer, Examination

log = logging.getLogger("ved")

WALL_SECONDS = 50
"""Time limit of one source, in seconds."""

START_SECONDS = 120
"""Time limit of the start of the process, in seconds."""


class ExaminesSources(Protocol):
    """Examines sources, whose files are in folders."""

    def start(self) -> object:
        """Start what examines, without waiting until it is ready."""
        ...

    def new_folder(self) -> Path:
        """Return the path of a folder that does not exist, for the files of a source."""
        ...

    def examine(self, folder: Path, origin: str) -> "Examination":
        """Return what is known of the source in a folder; see `Examiner.examine`."""
        ...


class Examiner:
    """Examines sources in a process that it starts, and replaces when it ends.

    The process sees a directory of its own only. Threads may share an examiner, which examines one
    source at a time. A context manager, which ends the process and deletes that directory.

    Args:
        module: the module whose `main` is the program of the process.
        wall_seconds: the time limit of one source, in seconds.
    """

    def __init__(
        self, module: str = "ved.examination.worker", wall_seconds: float = WALL_SECONDS
    ) -> None:
        self._module = module
        self._wall_seconds = wall_seconds
        self._child: Child | None = None
        self._lock = Lock()
        self._count = count(1)

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
        return self._sources / f"{next(self._count)}"

    def start(self) -> Child:
        """Return the process; start it if there is none, without waiting until it is ready."""
        if self._child is None or not self._child.is_running():
            self._stop()
            self._child = Child(self._module, self._sources, self._work)
        return self._child

    def examine(self, folder: Path, origin: str) -> "Examination":
        """Return what is known of a source.

        Args:
            folder: a folder that `collect_files` has filled.
            origin: the source, for errors.

        Raises:
            VedError: the source ends the examination instead of being examined.
            KeyboardInterrupt: this process is interrupted.
        """
        with self._lock:
            try:
                return self._examine_again(folder, origin)
            except ChildEndedError as error:
                self._stop()
                raise_if_interrupted()  # the command ends the process, and not the source
                busy = "Run again when the machine has less other work. " if error.slow else ""
                raise VedError(
                    f"The examination of {origin} failed: {error}.",
                    f"{busy}Use another source. If this one is good, report it with this log.",
                    code=ErrorCode.EXAMINATION_FAILED,
                ) from error
            except BaseException:
                self._stop()
                raise_if_interrupted()  # and closes its pipes, which is an error in this thread
                raise

    def _examine_again(self, folder: Path, origin: str) -> "Examination":
        """Return the examination; repeat it if an earlier source can be what ended the process."""
        child = self._ready_child()
        was_used = child.served > 0
        try:
            return self._ask(child, folder, origin)
        except ChildEndedError as error:
            if not (was_used and error.retry):
                raise
        raise_if_interrupted()  # the process of an interrupted command ends, and no other starts
        self._stop()
        return self._ask(self._ready_child(), folder, origin)

    def _ready_child(self) -> Child:
        """Return the process when it has imported its libraries; start it if there is none.

        Raises:
            VedError: it does not start.
        """
        child = self.start()
        if child.is_ready:
            return child
        try:
            answer = child.receive(START_SECONDS)
        except ChildEndedError as error:
            raise _does_not_start(str(error)) from error
        if not answer.ready:
            _log_traceback(answer)
            raise _does_not_start(answer.broken or "it fails")
        child.is_ready = True
        return child

    def _ask(self, child: Child, folder: Path, origin: str) -> "Examination":
        child.send(folder.name)
        answer = child.receive(self._wall_seconds)
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
        raise ChildEndedError(answer.broken or "it gives an empty answer", retry=True)

    def _stop(self) -> None:
        """End the process, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.stop()


def _does_not_start(reason: str) -> VedError:
    return VedError(
        f"The process that examines sources does not start: {reason}.",
        "Report it with this log.",
        code=ErrorCode.VED_ITSELF_FAILED,
    )


def _log_traceback(answer: "Answer") -> None:
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
    """Yield the examiner of the block around this one, or else a new one. Its process starts."""
    if _shared is not None:
        _shared.start()
        yield _shared
        return
    with Examiner() as own:
        own.start()
        yield own


@contextmanager
def share_examiner() -> Iterator[None]:
    """Have all that examines sources within the block share an examiner, which starts if needed."""
    if _shared is not None:
        yield
        return
    with Examiner() as own, use_examiner(own):
        yield
