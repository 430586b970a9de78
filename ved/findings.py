"""What is found to be wrong, or worth knowing, of a pair, and the key of its entry that says so."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ved.errors import VedError, describe, describe_unexpected

log = logging.getLogger("ved")

Level = Literal["error", "warning", "notice"]


@dataclass(frozen=True)
class Finding:
    """One thing about a pair.

    Attributes:
        level: whether it prevents the build, is likely to be a mistake, or is good to know.
        key: the key of the manifest's entry that it is about.
        message: what it is, and what to do.
    """

    level: Level
    key: str
    message: str


class Findings(list[Finding]):
    """A list of findings that failures can be collected in."""

    @contextmanager
    def about(self, key: str) -> Iterator[None]:
        """Turn a failure into a finding about a key, and go on after the block.

        Of a failure that nobody foresaw, too: one pair's strange source is not the others' problem.
        """
        try:
            yield
        except VedError as error:
            self.append(Finding("error", key, str(error)))
        except OSError as error:
            self.append(Finding("error", key, describe(error)))
        except Exception as error:
            log.error("Unexpected error", exc_info=error)
            self.append(Finding("error", key, describe_unexpected(error)))

    def warn(self, key: str, message: str) -> None:
        """Add a warning."""
        self.append(Finding("warning", key, message))

    def tell(self, key: str, message: str) -> None:
        """Add a notice."""
        self.append(Finding("notice", key, message))
