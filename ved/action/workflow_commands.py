"""Print workflow commands, and keep everything else in the log from being taken for one.

Source of the format: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
"""

import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from ved.action.masking import RedactedLog
from ved.manifest import Location, Problem

if TYPE_CHECKING:
    from ved.planning import Level


class WorkflowCommands:
    """Prints workflow commands to a log; threads may share it.

    Args:
        log: what the runner reads.
    """

    def __init__(self, log: RedactedLog) -> None:
        self._log = log
        self._stop_token = ""
        self._lock = Lock()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Have the runner ignore commands within the block, but for those of `mask`."""
        token = secrets.token_hex(16)
        with self._lock:
            self._stop_token = token
            self._log.write_unredacted(f"::stop-commands::{token}\n")
        try:
            yield
        except KeyboardInterrupt:
            # The other threads go on. The runner would obey what they log after this block.
            logging.disable()
            raise
        finally:
            with self._lock:
                self._stop_token = ""
                self._log.write_unredacted(f"::{token}::\n")

    def mask(self, secret: str) -> None:
        """Have the runner mask a secret in the log, and redact it in all that is written."""
        command = f"::add-mask::{_escape_data(secret)}\n"
        with self._lock:
            if self._stop_token:
                # In one write, so that the text of another thread cannot come between.
                command = f"::{self._stop_token}::\n{command}::stop-commands::{self._stop_token}\n"
            self._log.write_unredacted(command)
            self._log.secrets.add(secret)

    def annotate(
        self,
        message: str,
        where: Location | Problem | None = None,
        title: str = "",
        level: "Level" = "error",
    ) -> None:
        """Show a message in the log and beside the line of a file that it is about.

        Args:
            message: the text.
            where: the place in the file; None for a message about the whole run.
            title: the heading of the annotation.
            level: the command's name.
        """
        properties = {"title": title} if title else {}
        if where is not None:
            place = {"file": where.file, "line": str(where.line), "col": str(where.column)}
            properties = place | properties
        self._issue(level, message, properties)

    def _issue(self, name: str, message: str, properties: Mapping[str, str]) -> None:
        redact = self._log.secrets.redact  # before escaping, which could change a secret
        escaped = ",".join(
            f"{key}={_escape_property(redact(value))}" for key, value in properties.items()
        )
        space = " " if escaped else ""
        self._log.write_unredacted(f"::{name}{space}{escaped}::{_escape_data(redact(message))}\n")


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
