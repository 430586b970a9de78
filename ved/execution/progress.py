"""Report the steps of a run: bars in a terminal, plain lines in a log."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from ved.results import Step
from ved.sizes import format_size

if TYPE_CHECKING:
    from ved.terminal.bars import RunState

log = logging.getLogger("ved")

_BLOCK = 512
"""Bytes of the unit of `st_blocks`."""


Measure: TypeAlias = Callable[[], int | None]
"""Returns how many bytes of a step are done; None if that is unknown."""


@dataclass(frozen=True)
class _Running:
    """A step that is not finished."""

    verb: str
    size: int
    measure: Measure | None

    def done(self) -> int | None:
        """Return the bytes so far, which never are more than those of the step."""
        try:
            done = self.measure() if self.measure else None
        except Exception:  # the numbers of a bar never end a run
            return None
        return None if done is None else min(done, self.size)


class Progress:
    """The steps of all pairs; safe to share between threads.

    Args:
        total: bytes to download, write, upload and check.
        level: of the lines of the log about steps.
    """

    def __init__(self, total: int = 0, level: int = logging.INFO) -> None:
        self._total = total
        self._level = level
        self._done = 0
        self._running: dict[str, _Running] = {}
        self._steps: dict[str, list[Step]] = {}
        self._start = time.monotonic()
        self._lock = Lock()

    @contextmanager
    def step(
        self, repo: str, verb: str, size: int, measure: Measure | None = None
    ) -> Iterator[None]:
        """Report that a step begins, and count its bytes when the block ends.

        Args:
            repo: the repo of the pair.
            verb: what is done, such as "Downloading".
            size: bytes that the step downloads, writes or uploads; 0 is not reported.
            measure: returns how many of these bytes are done; called in other threads.
        """
        log.log(self._level, "%s: %s%s", repo, verb, f" {format_size(size)}" if size else "")
        start = time.monotonic()
        with self._lock:
            self._running[repo] = _Running(verb, size, measure)
        try:
            yield
        finally:
            step = Step(verb, start - self._start, time.monotonic() - self._start)
            with self._lock:
                del self._running[repo]
                self._done += size
                self._steps.setdefault(repo, []).append(step)
            log.debug("%s: %s took %.1f s", repo, verb, step.end - step.start)

    def steps(self, repo: str) -> tuple[Step, ...]:
        """Return the finished steps of a pair."""
        return tuple(self._steps.get(repo, ()))

    def state(self) -> "RunState":
        """Return the progress at this moment."""
        from ved.terminal.bars import RunningStep, RunState

        with self._lock:
            running, done = [*self._running.items()], self._done
        steps = [RunningStep(repo, each.verb, each.done(), each.size) for repo, each in running]
        done += sum(step.done or 0 for step in steps)
        return RunState(steps, done, self._total, time.monotonic() - self._start)


@contextmanager
def progress_bars(total: int, *, are_drawn: bool) -> Iterator[Progress]:
    """Yield the progress of a run, with bars on standard error if wanted.

    Args:
        total: bytes to download, write, upload and check.
        are_drawn: whether to draw bars; lines of the log appear above them.
    """
    if not are_drawn:
        yield Progress(total)
        return
    progress = Progress(total, logging.DEBUG)  # the bars say the same
    from ved.terminal.bars import live_bars

    with live_bars(progress.state, sys.stderr, sys.stdout):
        yield progress


def bytes_below(*directories: Path) -> int:
    """Return the disk space of all files in directories that others are writing to, in bytes."""
    total = 0
    for directory in directories:
        for parent, _, names in os.walk(directory):
            for name in names:
                with suppress(OSError):  # renamed or deleted meanwhile
                    status = os.lstat(Path(parent, name))
                    # A download may write the end of a file first.
                    total += min(status.st_blocks * _BLOCK, status.st_size)
    return total
