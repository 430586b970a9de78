"""Findings: what is wrong with a pair, or worth knowing, at a key of its entry in the manifest."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ved.errors import ErrorCode, VedError, as_ved_error, with_links
from ved.interruption import raise_if_interrupted
from ved.text import clean

log = logging.getLogger("ved")

Level = Literal["error", "warning", "notice"]


@dataclass(frozen=True)
class Finding:
    """One thing about a pair.

    Attributes:
        level: an error prevents the build, a warning is likely to be a mistake, a notice is
            information.
        key: the key of the manifest's entry that it is about.
        message: the cause, and what to do.
        code: the heading of docs/troubleshooting.md that explains it.
    """

    level: Level
    key: str
    message: str
    code: ErrorCode

    def __post_init__(self) -> None:
        """Clean the message, which may quote a source or a server."""
        object.__setattr__(self, "message", clean(self.message))

    @property
    def text(self) -> str:
        """The message, and the address of its explanation."""
        return with_links(self.message, [self.code])


class Findings(list[Finding]):
    """A list of findings that also collects errors."""

    @contextmanager
    def about(self, key: str) -> Iterator[None]:
        """Turn an exception of the block into a finding about a key, and continue after the block.

        An unexpected exception is logged and becomes a finding, too: the source of one pair must
        not end the plan of the others.
        """
        try:
            yield
        except Exception as error:
            raise_if_interrupted()
            if not isinstance(error, VedError | OSError):
                log.error("Unexpected error", exc_info=error)
            explained = as_ved_error(error)
            self.append(Finding("error", key, str(explained), explained.code))

    def warn(self, key: str, message: str, code: ErrorCode) -> None:
        """Add a warning."""
        self.append(Finding("warning", key, message, code))

    def notice(self, key: str, message: str, code: ErrorCode) -> None:
        """Add a notice."""
        self.append(Finding("notice", key, message, code))
