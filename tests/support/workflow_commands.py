"""Workflow commands as a GitHub runner finds them in a step's log.

Source: ActionCommand and ActionCommandManager of https://github.com/actions/runner.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

NAMES = (
    *("add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group"),
    *("internal-set-repo-path", "notice", "remove-matcher", "save-state", "set-env", "set-output"),
    *("stop-commands", "warning"),
)

# `::name key=value,key=value::message` alone on its line, or `##[name key=value]message` anywhere.
_FORMS = (r"\s*::(\S+?)(?: (.*?))?::(.*)", r".*?##\[(\S+?)(?: (.*?))?\](.*)")

_DATA_ESCAPES = {"%0D": "\r", "%0A": "\n", "%25": "%"}
_PROPERTY_ESCAPES = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}


@dataclass(frozen=True)
class Command:
    """A command as the runner understands it; `line` is that of the log, from 0."""

    name: str
    message: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    line: int = field(default=0, compare=False)


def lines(log: str) -> list[str]:
    """Return a log's lines, as the runner splits it."""
    return re.split(r"\r\n|\r|\n", log)


def commands(log: str) -> list[Command]:
    """Return the commands in a log that the runner heeds."""
    found = []
    stop_token = ""
    for number, line in enumerate(lines(log)):
        candidates = [_parsed(form, line, number) for form in _FORMS]
        command = next((each for each in candidates if each.name in (*NAMES, stop_token)), None)
        if command is None:
            continue
        if stop_token:
            stop_token = "" if command.name == stop_token else stop_token
        elif command.name == "stop-commands":
            stop_token = command.message
        else:
            found.append(command)
    return found


def _parsed(form: str, line: str, number: int) -> Command:
    match = re.fullmatch(form, line)
    if match is None:
        return Command("no command")
    name, properties, message = match.groups(default="")
    pairs = [part.split("=", 1) for part in properties.split(",") if "=" in part]
    values = {key: _unescaped(value, _PROPERTY_ESCAPES) for key, value in pairs}
    return Command(name.lower(), _unescaped(message, _DATA_ESCAPES), values, number)


def _unescaped(text: str, escapes: Mapping[str, str]) -> str:
    for escape, character in escapes.items():
        text = text.replace(escape, character)
    return text
