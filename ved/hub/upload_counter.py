"""Count the bytes that a commit uploads. The Hub does not request files that it has already.

Over LFS, the counts come from answers of the batch API: an object without actions is stored
already. Over Xet, which sends parts of files, hf_xet counts.
Source of the format: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpx2
from huggingface_hub.utils import get_session

_BATCH = ".git/info/lfs/objects/batch"


class UploadCounter:
    """Counts bytes.

    Attributes:
        sent: bytes of the LFS files that the Hub requested, or bytes that Xet sent; None if
            unknown.
    """

    def __init__(self) -> None:
        self.sent: int | None = None
        self._is_known = True
        self._processed = 0
        self._transfer: Callable[[], int] | None = None

    def count_answer(self, response: httpx2.Response) -> None:
        """Add the bytes that an answer of the batch API requests. Ignores other answers."""
        if not (response.is_success and response.url.path.endswith(_BATCH)):
            return
        response.read()
        try:
            answer = response.json()
            sizes = [each["size"] for each in answer["objects"] if each.get("actions")]
        except (ValueError, TypeError, KeyError, AttributeError):
            return  # huggingface_hub reads the same answer, and raises an error
        are_valid = all(type(size) is int and 0 <= size < 2**40 for size in sizes)
        self._is_known &= are_valid
        self.count_bytes(sum(sizes) if are_valid else 0)

    def count_bytes(self, size: int) -> None:
        """Add a number of bytes."""
        self.sent = (self.sent or 0) + size if self._is_known else None

    def begin_transfer(self, processed: Callable[[], int]) -> None:
        """Note that a transfer begins.

        Args:
            processed: returns how many bytes it has read, sent or found on the Hub so far.
        """
        self._processed, self._transfer = self.measure() or 0, processed

    def measure(self) -> int | None:
        """Return how many bytes of all transfers have been processed; for any thread.

        Without Xet, that is unknown.
        """
        return None if self._transfer is None else self._processed + self._transfer()


# huggingface_hub makes a commit in the calling thread.
_counter: ContextVar[UploadCounter | None] = ContextVar("counter", default=None)


def current_counter() -> UploadCounter | None:
    """Return the counter of this thread; None if nothing is counted."""
    return _counter.get()


def upload_measure() -> Callable[[], int | None] | None:
    """Return what measures the uploads of this thread; None if nothing is counted."""
    counter = current_counter()
    return None if counter is None else counter.measure


def _count(response: httpx2.Response) -> None:
    if counter := current_counter():
        counter.count_answer(response)


@contextmanager
def count_uploads() -> Iterator[UploadCounter]:
    """Yield a counter of the uploads that this thread makes inside the block."""
    uploads = UploadCounter()
    hooks = get_session().event_hooks["response"]
    if _count not in hooks:  # all threads share the session
        hooks.append(_count)
    token = _counter.set(uploads)
    try:
        yield uploads
    finally:
        _counter.reset(token)
