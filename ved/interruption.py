"""Interrupt the process in an orderly way: signals, waiting threads, and the exit status.

The flag is module state because signal handlers are: a process has one set of them.
"""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from enum import IntEnum
from importlib import import_module
from math import inf
from threading import Event, Lock
from time import monotonic
from typing import NoReturn, TypeVar

from ved import garbage


class ExitStatus(IntEnum):
    """The exit status of a command or of the action."""

    WELL = 0
    FAILED = 1
    """A pair failed or was refused, or a checkpoint differs."""
    WRONG_REQUEST = 2
    INTERRUPTED = 130


POLL_SECONDS = 1.0
"""Polling interval, in seconds, for the flag while a thread is waiting."""

REPEAT_SECONDS = 2.0
"""So long after an interrupt, in seconds, another signal means the same: people press keys twice. A
second exception would end the removal of temporary directories."""

_interrupted = Event()
_raises_at_once = True
_repeats_until = -inf

_Result = TypeVar("_Result")


def hold_signals() -> None:
    """Hold SIGTERM and SIGINT back until `release_signals`, for what cannot be interrupted."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))


def release_signals() -> None:
    """Deliver signals that were held back, and later ones.

    Raises:
        KeyboardInterrupt: a signal was held back.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))


def install_signal_handlers() -> None:
    """Make SIGTERM raise KeyboardInterrupt as Ctrl+C does, so that everything is cleaned up.

    Without a handler, SIGTERM would not end the first process of a container at all.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # a shell ignores it in the background
            signal.signal(number, _interrupt)
    sys.unraisablehook = _report_unraisable


def _report_unraisable(error: "sys.UnraisableHookArgs") -> None:
    """Say nothing of an interrupt that a library's callback dropped: the flag has kept it."""
    if not (_interrupted.is_set() and issubclass(error.exc_type, KeyboardInterrupt)):
        sys.__unraisablehook__(error)


def import_whole(module: str) -> None:
    """Import a module with many others, such as jax.

    KeyboardInterrupt is raised only afterwards: inside, jax would abort. See `garbage.paused`, too.

    Raises:
        KeyboardInterrupt: the process was interrupted.
    """
    global _raises_at_once
    _raises_at_once = False
    try:
        with garbage.paused(freeze=True):
            import_module(module)
    finally:
        _raises_at_once = True
    raise_if_interrupted()


def ignore_signals() -> None:
    """Ignore the signals that `install_signal_handlers` handles."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_IGN)


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if the process was interrupted, also after the first one was lost.

    A library's callback may drop the exception (jax has one in the garbage collector), and compiled
    code may turn it into another error.

    Raises:
        KeyboardInterrupt: the process was interrupted.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt


def sleep(seconds: float) -> None:
    """Wait, in any thread; stop waiting on an interrupt.

    Raises:
        KeyboardInterrupt: the process was interrupted.
    """
    _interrupted.wait(seconds)
    raise_if_interrupted()


def wait_interruptibly(future: "Future[_Result]") -> _Result:
    """Return the result of a future, or raise its exception; stop waiting on an interrupt.

    Raises:
        KeyboardInterrupt: the process was interrupted.
    """
    while not wait([future], POLL_SECONDS).done:
        raise_if_interrupted()
    return future.result()


class InterruptibleLock:
    """A lock, as a context manager, that stops waiting on an interrupt."""

    def __init__(self) -> None:
        self._lock = Lock()

    def __enter__(self) -> None:
        while not self._lock.acquire(timeout=POLL_SECONDS):
            raise_if_interrupted()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _interrupt(*_: object) -> None:
    global _repeats_until
    _interrupted.set()
    if _raises_at_once and monotonic() > _repeats_until:
        _repeats_until = monotonic() + REPEAT_SECONDS
        raise KeyboardInterrupt


@contextmanager
def thread_pool(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a thread pool; on KeyboardInterrupt, cancel pending work and do not join.

    Args:
        count: how many threads.
    """
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def exit_process(status: int) -> NoReturn:
    """End the process with an exit status, at once.

    Python would delete all of its objects first, which takes half a second with jax. After an
    interrupt, it would also wait for a thread that is in a transfer.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
