"""Responses with the bytes of a file, or with ranges of them."""

from collections.abc import Mapping
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import FileResponse

BYTES = "application/octet-stream"
"""The media type of all files."""


class StoredFile(FileResponse):
    """The response with a file. Create it in a thread of its own, not in the event loop.

    Each operation on a file that Starlette does itself is a switch of threads, which takes longer
    than the operation. So this one has the file's size already, and reads large pieces.

    Args:
        path: the file.
        headers: further headers.
        background: runs after the response.
    """

    chunk_size = 2**20  # bytes

    def __init__(
        self,
        path: Path,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(
            path,
            headers=headers,
            media_type=BYTES,
            background=background,
            stat_result=path.stat(),
        )
