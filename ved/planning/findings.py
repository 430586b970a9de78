"""What is found to be wrong, or worth knowing, of a pair, and the key of its entry that says so."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ved.errors import ErrorCode, VedError, as_ved_error, with_links
from ved.interruption import raise_if_interrupted

log = logging.getLogger("ved")

Level = Literal["error", "warning", "notice"]


@dataclass(frozen=True)
class Finding:
    """One thing about a pair.

    Attributes:
        level: whether it prevents the build, is likely to be a mistake, or is good to know.
        key: the key of the manifest's entry that it is about.
        message: what it is, and what to do.
        code: the heading of docs/troubleshooting.md that explains it.
    """

    level: Level
    key: str
    message: str
    code: ErrorCode

    @property
    def text(self) -> str:
        """The message, with the address of more."""
        return with_links(self.message, [self.code])


class Findings(list[Finding]):
    """A list of findings that failures can be collected in."""

    @contextmanager
    def about(self, key: str) -> Iterator[None]:
        """Turn a failure into a finding about a key, and go on after the block.

        Of a failure that nobody foresaw, too: one pair's strange source is not the others' problem.
        """
        try:
            yield
        except Exception as error:
            raise_if_interrupted()
            if not isinstance(error, VedError | OSError):
                log.error("Unexpected error", exc_info=error)
            said = as_ved_error(error)
            self.append(Finding("error", key, str(said), said.code))

    def warn(self, key: str, message: str, code: ErrorCode) -> None:
        """Add a warning."""
        self.append(Finding("warning", key, message, code))

    def notice(self, key: str, message: str, code: ErrorCode) -> None:
        """Add a notice."""
        self.append(Finding("notice", key, message, code))
