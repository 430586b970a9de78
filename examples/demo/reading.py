"""Format the log and the summary of a step for a person at a terminal, as GitHub's pages do."""

import re
import sys

from rich.console import Console
from rich.markdown import Markdown

_COMMAND = re.compile(r"::(?P<name>[\w-]+)(?P<properties> .*?)?::(?P<message>.*)")
_ESCAPES = {"%3A": ":", "%2C": ",", "%0D": "\r", "%0A": "\n", "%25": "%"}
_LEVELS = ("error", "warning", "notice")
_CHART = re.compile(r"^```mermaid\n.*?^```\n?", re.MULTILINE | re.DOTALL)
_WIDTH = 110
"""Characters of a line outside of a terminal."""


def readable_log(log: str) -> str:
    """Return a log without workflow commands: annotations become lines with their places.

    Source of the format: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
    """
    lines, stopped = [], ""
    for line in log.splitlines():
        command = _COMMAND.fullmatch(line)
        if stopped or not command:
            if line == f"::{stopped}::":
                stopped = ""
            else:
                lines.append(line)
        elif command["name"] == "stop-commands":
            stopped = command["message"]
        elif command["name"] in _LEVELS:
            lines.append(_annotation(command))
    return "\n".join(lines).strip()


def print_summary(summary: str) -> None:
    """Print a job summary; GitHub also draws its chart, the times of all steps."""
    # Links are short in a terminal, and the log has the addresses, too.
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(Markdown(_CHART.sub("", summary)))


def _annotation(command: re.Match[str]) -> str:
    pairs = (pair.partition("=") for pair in (command["properties"] or "").strip().split(","))
    known = {name: _unescaped(value) for name, _, value in pairs}
    place = ":".join(known[name] for name in ("file", "line", "col") if name in known)
    head = f"{place}: {command['name']}" if place else command["name"]
    return f"{head}: {_unescaped(command['message'])}"


def _unescaped(text: str) -> str:
    for escape, char in _ESCAPES.items():
        text = text.replace(escape, char)
    return text
