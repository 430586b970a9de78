"""The settings of the HTTP server."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from ved.localhub.app import create_app
from ved.localhub.call import Hub
from ved.localhub.faults import Exchange, Faults, ReachableProtocol, Wire


def configuration(hub: Hub, faults: Faults, log: list[Exchange]) -> uvicorn.Config:
    """Return the settings of a server.

    Args:
        hub: the state of the endpoints.
        faults: the faults to apply.
        log: the list to add all requests to.
    """
    return uvicorn.Config(
        Wire(create_app(hub), faults, log),
        http=ReachableProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )


@contextmanager
def stop_signal() -> Iterator[threading.Event]:
    """Lend out an event that SIGINT and SIGTERM set. Use it in the main thread."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
