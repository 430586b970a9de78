"""The process: how it is stopped, and how it ends."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NoReturn

INTERRUPTED = 130
"""The exit status of a process that was told to stop."""


def heed_termination() -> None:
    """Have SIGTERM stop the process as Ctrl+C does: with everything tidied up.

    As the first process of a container, it would not be stopped by SIGTERM at all.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def hands(count: int) -> Iterator[ThreadPoolExecutor]:
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


def end(status: int) -> NoReturn:
    """End the process."""
    if status == INTERRUPTED:
        # Threads in the middle of a transfer would keep the process alive until that is done.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
