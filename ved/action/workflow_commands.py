"""Print workflow commands.

Source of the format: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
"""

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING

from ved.action.log import StepLog
from ved.manifest import Location, Problem
from ved.redaction import KNOWN
from ved.text import clean

if TYPE_CHECKING:
    from ved.planning import Level

_MAX_PROPERTY = 500
"""The most characters of a title or a file name."""


_MAX_ANNOTATIONS = 1_000
"""The most annotations of a run. GitHub shows far fewer, and each is work for the runner."""


class WorkflowCommands:
    """Prints workflow commands to a log; threads may share it.

    Args:
        log: what the runner reads.
    """

    def __init__(self, log: StepLog) -> None:
        self._log = log
        self._annotations = count(1)

    def mask(self, secret: str) -> None:
        """Have the runner mask a secret in the log, and redact it in all that is written."""
        KNOWN.add(secret)
        self._log.command(f"::add-mask::{_escape_data(secret)}")

    def annotate(
        self,
        message: str,
        where: Location | Problem | None = None,
        title: str = "",
        level: "Level" = "error",
    ) -> None:
        """Show a message in the log and beside the line of a file that it is about.

        After `_MAX_ANNOTATIONS` of them, the others are left out; a notice says so.

        Args:
            message: the text.
            where: the place in the file; None for a message about the whole run.
            title: the heading of the annotation.
            level: the command's name.
        """
        number = next(self._annotations)
        if number > _MAX_ANNOTATIONS:
            if number == _MAX_ANNOTATIONS + 1:
                self._issue("notice", "There are more annotations than VED writes.", {})
            return
        properties = {"title": title} if title else {}
        if where is not None:
            place = {"file": where.file, "line": str(where.line), "col": str(where.column)}
            properties = place | properties
        self._issue(level, message, properties)

    def _issue(self, name: str, message: str, properties: Mapping[str, str]) -> None:
        escaped = ",".join(
            f"{key}={_escape_property(clean(value, _MAX_PROPERTY))}"
            for key, value in properties.items()
        )
        space = " " if escaped else ""
        self._log.command(f"::{name}{space}{escaped}::{_escape_data(clean(message))}")


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
