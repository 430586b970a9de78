"""Format the records of the log, which may quote sources and servers."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOBase
from types import TracebackType
from typing import Any, TextIO

from ved.text import clean, shorten, wrap_words

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
        width: characters of a line, after which a message is wrapped; None for any number.
    """

    def __init__(self, *, with_time: bool = False, width: int | None = None) -> None:
        super().__init__("%(asctime)s %(message)s" if with_time else "%(message)s", "%H:%M:%S")
        self._width = width

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as lines."""
        lines = super().format(record).split("\n")
        width = None if record.exc_info else self._width
        text = "\n".join(_wrapped(clean(line, _MAX_LINE, keep="\t"), width) for line in lines)
        return shorten(text, _MAX_RECORD)

    def formatException(self, ei: _ExceptionInfo) -> str:  # noqa: N802 - the name is logging's
        """Return a traceback, whose middle is left out if it is too long."""
        text = super().formatException(ei)
        if len(text) <= _MAX_TRACEBACK:
            return text
        half = _MAX_TRACEBACK // 2
        return f"{text[:half]}\n… ({len(text):,} characters)\n{text[-half:]}"


def _wrapped(line: str, width: int | None) -> str:
    """Return a line that is wrapped between words, if it is longer than a width."""
    if width is None or len(line) <= width:
        return line
    return "\n".join(wrap_words(line, width, indent=2))


def configure(
    stream: TextIO | TextIOBase, level: int = logging.INFO, width: int | None = None
) -> None:
    """Have all records from a level on written to a stream.

    Args:
        stream: where to write.
        level: of VED's own records; with DEBUG, each record begins with the time of day.
        width: characters of a line of a terminal; None for lines of any length.
    """
    handler: logging.StreamHandler[Any] = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter(with_time=level <= logging.DEBUG, width=width))
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler], force=True)
    # Debug records of libraries have headers and addresses, which may be secret.
    logging.getLogger("ved").setLevel(level if level < logging.INFO else logging.NOTSET)
    # They log the address of each request, or of each truncated download. It may be signed.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub.file_download").setLevel(logging.ERROR)
