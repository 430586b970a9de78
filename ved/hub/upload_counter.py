"""How much of what is published was really sent: the Hub says what it has already.

The answers are those of the LFS batch API: an object without an action is there.
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
        sent: bytes of the files that the Hub asked for, of those that it stores outside git; None
            where it did not say. Of its storage Xet it is not known: that asks for parts of files.
    """

    def __init__(self) -> None:
        self.sent: int | None = None
        self._is_known = True

    def note(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Look at an answer."""
        if not (response.ok and response.url.endswith(_BATCH)):
            return
        try:
            answer = response.json()
            sizes = [each["size"] for each in answer["objects"] if each.get("actions")]
        except (ValueError, TypeError, KeyError, AttributeError):
            return  # the client will have to say something to this
        in_form = all(type(size) is int and 0 <= size < 2**40 for size in sizes)
        self._is_known &= in_form and answer.get("transfer") != "xet"
        self.sent = (self.sent or 0) + sum(sizes) if self._is_known else None


@contextmanager
def count_uploads() -> Iterator[UploadCounter]:
    """Count what the client asks the Hub for in this thread, which is where it makes commits."""
    uploads = UploadCounter()
    hooks = get_session().hooks["response"]
    hooks.append(uploads.note)
    try:
        yield uploads
    finally:
        hooks.remove(uploads.note)
