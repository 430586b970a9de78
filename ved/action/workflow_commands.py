"""Print workflow commands, and keep everything else that is printed from becoming one."""

import io
import logging
import secrets
import sys
from collections.abc import Mapping

from ved.manifest import Location, Problem
from ved.planning.findings import Level

UNENCODABLE = "backslashreplace"
"""What becomes of half a character, which a server's JSON can hold and UTF-8 cannot."""

known_secrets: list[str] = []
"""What the runner is told to mask. It does so in the log, and what else is written may go on."""


class RedactedLog(io.TextIOWrapper):
    """What is printed, without secrets, and errors where they happen.

    The runner reads standard error by itself: it could come to the end of stop-commands before it
    comes to what was printed there within.
    """

    def write(self, text: str) -> int:
        """Write a text, and everything before it."""
        written = super().write(redact(text))
        self.flush()
        return written


class StopCommands:
    """Has the runner take nothing that is printed within its block for a workflow command."""

    def __init__(self) -> None:
        self._stop = secrets.token_hex(16)
        self._is_over = False

    def __enter__(self) -> "StopCommands":
        print(f"::stop-commands::{self._stop}", flush=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is KeyboardInterrupt:
            # Nobody waits for the other threads, and what they say would be heeded from here on.
            logging.disable()
        self._is_over = True
        print(f"::{self._stop}::", flush=True)

    def mask(self, secret: str) -> None:
        """Have a secret masked, within the block; after it, what is left has no need of it."""
        if not self._is_over:
            # In one write, so that nothing another thread prints comes between.
            sys.stdout.write(
                f"::{self._stop}::\n::add-mask::{_data(secret)}\n::stop-commands::{self._stop}\n"
            )
            sys.stdout.flush()
        known_secrets.append(secret)


def annotate(
    message: str,
    where: Location | Problem | None = None,
    title: str = "",
    level: Level = "error",
) -> None:
    """Say what is wrong at its place, in the log and beside the file."""
    properties = {"title": title} if title else {}
    if where is not None:
        place = {"file": where.file, "line": str(where.line), "col": str(where.column)}
        properties = place | properties
    issue_command(level, message, properties)


def issue_command(name: str, message: str, properties: Mapping[str, str] | None = None) -> None:
    """Print a workflow command, with its message and properties escaped and redacted."""
    escaped = ",".join(f"{key}={_property(value)}" for key, value in (properties or {}).items())
    print(f"::{name}{' ' if escaped else ''}{escaped}::{_data(message)}", flush=True)


def redact(text: str) -> str:
    """Return a text without the secrets that are known, such as one that a server repeats."""
    for secret in known_secrets:
        text = text.replace(secret, "***")
    return text


def _data(text: str) -> str:
    return redact(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
