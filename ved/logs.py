"""Format the records of the log, which may quote sources and servers."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
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


class CleanStream:
    """A stream whose text has no secrets and no control characters. It is not truncated.

    Args:
        raw: receives the text.

    Attributes:
        raw: the same, for what VED itself draws in a terminal.
    """

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw
        self._target: TextIO | TextIOBase = raw

    def write(self, text: str) -> int:
        """Write a text."""
        # An escape is at most ten characters long, so nothing is truncated.
        self._target.write(clean(text, 10 * len(text) + 10, keep="\n\t"))
        return len(text)

    @contextmanager
    def diverted(self, target: TextIOBase) -> Iterator[None]:
        """Write to another stream while the block runs, such as one that has bars below."""
        self._target = target
        try:
            yield
        finally:
            self._target = self.raw

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the stream."""
        return getattr(self.raw, name)


class LogFormatter(logging.Formatter):
    """Formats records as their message, cleaned line by line, and a traceback if there is one.

    Args:
        with_time: whether each record begins with the time of day.
    """

    def __init__(self, *, with_time: bool = False) -> None:
        super().__init__("%(asctime)s %(message)s" if with_time else "%(message)s", "%H:%M:%S")

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


def configure(stream: TextIO | TextIOBase, level: int = logging.INFO) -> None:
    """Have all records from a level on written to a stream.

    Args:
        stream: where to write.
        level: of VED's own records; with DEBUG, each record begins with the time of day.
    """
    handler: logging.StreamHandler[Any] = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter(with_time=level <= logging.DEBUG))
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler], force=True)
    # Debug records of libraries have headers and addresses, which may be secret.
    logging.getLogger("ved").setLevel(level if level < logging.INFO else logging.NOTSET)
    # They log the address of each request, or of each truncated download. It may be signed.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub.file_download").setLevel(logging.ERROR)
