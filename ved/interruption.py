"""The process: how it is stopped, and how it ends."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event
from typing import NoReturn, TypeVar

INTERRUPTED = 130
"""The exit status of a process that was told to stop."""


POLL_SECONDS = 1.0
"""Seconds between two looks at whether the process was told to stop, for who waits."""

_interrupted = Event()

_Result = TypeVar("_Result")


def install_signal_handlers() -> None:
    """Have SIGTERM stop the process as Ctrl+C does: with everything tidied up.

    As the first process of a container, it would not be stopped by SIGTERM at all.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as a shell has it in the background
            signal.signal(number, _interrupt)


def ignore_signals() -> None:
    """Ignore signals from now on that `install_signal_handlers` handles."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_IGN)


def raise_if_interrupted() -> None:
    """Raise the KeyboardInterrupt that was lost, if one was.

    A library's callback may drop it (jax has one in the garbage collector), and compiled code turn
    it into another error.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt


def wait_interruptibly(future: "Future[_Result]") -> _Result:
    """Return what a thread has done, or raise what it raised; see `stop_if_told`."""
    while not wait([future], POLL_SECONDS).done:
        raise_if_interrupted()
    return future.result()


def _interrupt(*_: object) -> NoReturn:
    _interrupted.set()
    raise KeyboardInterrupt


@contextmanager
def thread_pool(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads that work things off; on an interrupt nobody waits for them."""
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
    """End the process."""
    if status == INTERRUPTED:
        # Threads in the middle of a transfer would keep the process alive until that is done.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
