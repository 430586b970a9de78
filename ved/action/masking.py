"""Keep secrets out of all that a run writes.

The runner hides the values of `add-mask` commands, but only in the log, and only in lines that
follow the command. Job summary, outputs and files are written as they are. So VED redacts what it
writes by itself, the log included.
"""

import io
import re
from collections.abc import Mapping
from threading import Lock
from typing import BinaryIO

REDACTED = "***"

UNENCODABLE = "backslashreplace"
"""The way to write lone surrogates: a server's JSON can contain them, and UTF-8 cannot."""

_VARIABLES = ("INPUT_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_RUNNER_VARIABLES = re.compile("ACTIONS_.*TOKEN")

_SHORTEST_LINE = 4
"""Characters of the shortest line of a secret that is redacted without the rest of the secret."""


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """Return the tokens in a step's environment, each once, without surrounding white space.

    They are the input `token`, the variables that huggingface_hub reads, and the runner's own
    tokens, such as the one with which a job asks for an id token.
    """
    names = [*_VARIABLES, *sorted(filter(_RUNNER_VARIABLES.fullmatch, environ))]
    values = (environ.get(name, "").strip() for name in names)
    return [value for value in dict.fromkeys(values) if value]


class Secrets:
    """The secrets that a run knows; threads may share it."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()
        self._lock = Lock()

    def __contains__(self, secret: object) -> bool:
        return secret in self._known

    def add(self, secret: str) -> None:
        """Redact a secret from now on, and each of its lines, as the runner does."""
        lines = [line for line in re.split(r"[\r\n]+", secret) if len(line) >= _SHORTEST_LINE]
        with self._lock:
            # The longest first: a shorter one may be a part of it.
            self._known = tuple(
                sorted(filter(None, {*self._known, secret, *lines}), key=len, reverse=True)
            )

    def redact(self, text: str) -> str:
        """Return a text with `***` in place of every secret."""
        for secret in self._known:
            text = text.replace(secret, REDACTED)
        return text


class RedactedLog(io.TextIOWrapper):
    """A log in UTF-8 that contains no secrets and is flushed at every write.

    It is both standard output and standard error. The runner reads these two separately, so it
    could read the end of `stop-commands` before an error that was printed within.

    Args:
        buffer: receives the bytes.
        secrets: what to redact.
    """

    def __init__(self, buffer: BinaryIO, secrets: Secrets) -> None:
        super().__init__(buffer, "utf-8", UNENCODABLE)
        self.secrets = secrets

    def write(self, text: str) -> int:
        """Write a text without the secrets in it."""
        return self.write_unredacted(self.secrets.redact(text))

    def write_unredacted(self, text: str) -> int:
        """Write a text as it is: a workflow command, whose parts are redacted by then."""
        written = super().write(text)
        self.flush()
        return written
