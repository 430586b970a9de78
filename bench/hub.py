"""A local Hub in a process of its own, so that it shares no interpreter with what is measured."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from ved.localhub import Exchange, LocalHub

TOKEN = "hf_bench"  # noqa: S105 - of the local Hub alone
OWNER = "bench"


class HubProcess:
    """What `hub_process` yields.

    Attributes:
        endpoint: its URL.
    """

    def __init__(self, endpoint: str, pipe: "Connection[float | None, list[Exchange]]") -> None:
        self.endpoint = endpoint
        self._pipe = pipe

    def reset(self, rate: float | None) -> list[Exchange]:
        """Limit each direction from now on; return what passed since the last call.

        Args:
            rate: bytes per second of all bodies together; None is no limit.
        """
        self._pipe.send(rate)
        return self._pipe.recv()


@contextmanager
def hub_process(root: Path, *, xet: bool = False) -> Iterator[HubProcess]:
    """Serve a Hub, with `OWNER` on it, until the block ends.

    Args:
        root: where its repos are kept.
        xet: whether it stores large files by Xet.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(root, theirs, xet), daemon=True)
    process.start()
    theirs.close()
    try:
        yield HubProcess(ours.recv(), ours)
    finally:
        ours.close()
        process.join()


def _serve(root: Path, pipe: "Connection[list[Exchange] | str, float | None]", xet: bool) -> None:
    with LocalHub(root, xet=xet) as hub:
        hub.add_user(OWNER, token=TOKEN)
        pipe.send(hub.endpoint)
        while True:
            try:
                rate = pipe.recv()
            except EOFError:
                return
            hub.faults.download.rate = hub.faults.upload.rate = rate
            pipe.send(hub.requests)
            hub.requests.clear()
