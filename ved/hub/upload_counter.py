"""Count the bytes that a commit uploads. The Hub does not request files that it has already.

The counts come from answers of the LFS batch API: an object without actions is stored already.
Source of the format: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from huggingface_hub.utils import get_session

_BATCH = ".git/info/lfs/objects/batch"


class UploadCounter:
    """Counts bytes.

    Attributes:
        sent: bytes of the LFS files that the Hub requested; None if unknown. Always unknown with
            Xet, which uploads parts of files.
    """

    def __init__(self) -> None:
        self.sent: int | None = None
        self._is_known = True

    def count_answer(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Add the bytes that an answer of the batch API requests. Ignores other answers."""
        if not (response.ok and response.url.endswith(_BATCH)):
            return
        try:
            answer = response.json()
            sizes = [each["size"] for each in answer["objects"] if each.get("actions")]
        except (ValueError, TypeError, KeyError, AttributeError):
            return  # huggingface_hub reads the same answer, and raises an error
        are_valid = all(type(size) is int and 0 <= size < 2**40 for size in sizes)
        self._is_known &= are_valid and answer.get("transfer") != "xet"
        self.sent = (self.sent or 0) + sum(sizes) if self._is_known else None


@contextmanager
def count_uploads() -> Iterator[UploadCounter]:
    """Yield a counter of the uploads that this thread makes inside the block."""
    uploads = UploadCounter()
    # huggingface_hub has one session for each thread, and makes a commit in the calling thread.
    hooks = get_session().hooks["response"]
    hooks.append(uploads.count_answer)
    try:
        yield uploads
    finally:
        hooks.remove(uploads.count_answer)
