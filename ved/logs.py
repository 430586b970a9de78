"""Format the records of the log, which may quote sources and servers."""

import logging
from io import TextIOBase
from types import TracebackType
from typing import Any, TextIO

from ved.text import clean, shorten

_MAX_RECORD = 2**20
"""The most characters of a record. The plan of ten thousand pairs is one record."""

_MAX_LINE = 8_000
_MAX_TRACEBACK = 20_000

_ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)

_OF_A_TERMINAL = "\n\t\r"
_CURSOR_UP = "\x1b[A"


class CleanStream:
    """A stream whose text has no secrets and no control characters. It is not truncated.

    In a terminal, the two control sequences that progress bars need stay.

    Args:
        stream: receives the text.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        keep = _OF_A_TERMINAL if self._stream.isatty() else "\n\t"
        parts = text.split(_CURSOR_UP) if self._stream.isatty() else [text]
        # An escape is at most ten characters long, so nothing is truncated.
        cleaned = [clean(part, 10 * len(part) + 10, keep) for part in parts]
        self._stream.write(_CURSOR_UP.join(cleaned))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the stream."""
        return getattr(self._stream, name)


class LogFormatter(logging.Formatter):
    """Formats records as their message, cleaned line by line, and a traceback if there is one."""

    def __init__(self) -> None:
        super().__init__("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as lines."""
        lines = super().format(record).split("\n")
        text = "\n".join(clean(line, _MAX_LINE, keep="\t") for line in lines)
        return shorten(text, _MAX_RECORD)

    def formatException(self, ei: _ExceptionInfo) -> str:  # noqa: N802 - the name is logging's
        """Return a traceback, whose middle is left out if it is too long."""
        text = super().formatException(ei)
        if len(text) <= _MAX_TRACEBACK:
            return text
        half = _MAX_TRACEBACK // 2
        return f"{text[:half]}\n… ({len(text):,} characters)\n{text[-half:]}"


def configure(stream: TextIO | TextIOBase) -> None:
    """Have all records from level INFO on written to a stream."""
    handler: logging.StreamHandler[Any] = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # They log the address of each request, or of each truncated download. It may be signed.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub.file_download").setLevel(logging.ERROR)
