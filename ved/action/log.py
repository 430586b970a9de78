"""The log of a step: text that is never taken for a workflow command, and the commands themselves.

The runner obeys a line such as `::set-output ...` whoever printed it, and also after a crash. So
commands are stopped with a random token whenever the log has text, and enabled only for VED's own
commands. Source of the format:
https://docs.github.com/actions/reference/workflow-commands-for-github-actions.

The runner hides the values of `add-mask` commands, but only in the log, and only in lines that
follow the command. So VED redacts by itself what it writes, the log included.
"""

import io
import secrets
from threading import RLock
from typing import BinaryIO

from ved.text import clean

UNENCODABLE = "backslashreplace"
"""The way to write lone surrogates: a server's JSON can contain them, and UTF-8 cannot."""

MAX_LINE = 8_000
"""The most characters of a line. A longer one is truncated."""

_MAX_PENDING = 2**20
"""The most characters of a line that are kept. A line is never written in parts, because a secret
could be in two of them."""


class StepLog(io.TextIOBase):
    """The log that the runner reads, in UTF-8; threads may share it.

    It is both standard output and standard error. The runner reads these two separately, so it
    could read a command before a text that was printed earlier. Text is written in whole lines:
    without secrets, without control characters, and not too long.

    Args:
        stream: receives the bytes.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._pending = ""
        self._lock = RLock()
        # These change in such an order that an interrupt in between never leaves commands enabled
        # while the log believes that they are stopped.
        self._is_stopped = False
        self._token = _new_token()

    @property
    def buffer(self) -> "_Bytes":
        """The log for programs that print bytes."""
        return _Bytes(self)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Write the lines of a text. Its last line, if it has no end yet, is written later."""
        with self._lock:
            *lines, self._pending = f"{self._pending}{text}".split("\n")
            self._pending = self._pending[:_MAX_PENDING]
            self._write_lines(lines)
        return len(text)

    def command(self, command: str) -> None:
        """Write a workflow command, which the runner obeys; its parts are escaped by then."""
        with self._lock:
            self._end_line()
            self._write(f"{self._resume()}{command}\n")
            self._token = _new_token()

    def finish(self) -> None:
        """Write the end of the log. What is written afterwards is lost."""
        with self._lock:
            self._end_line()
            self._write(self._resume())
            self._stream = io.BytesIO()

    def _resume(self) -> str:
        """Return the line that enables commands again, if they are stopped."""
        resume = f"::{self._token}::\n" if self._is_stopped else ""
        self._is_stopped = False
        return resume

    def _end_line(self) -> None:
        if self._pending:
            self.write("\n")

    def _write_lines(self, lines: list[str]) -> None:
        if not lines:
            return
        stop = "" if self._is_stopped else f"::stop-commands::{self._token}\n"
        cleaned = (clean(line.removesuffix("\r"), MAX_LINE, keep="\t") for line in lines)
        self._write(stop + "".join(f"{line}\n" for line in cleaned))
        self._is_stopped = True

    def _write(self, text: str) -> None:
        self._stream.write(text.encode(errors=UNENCODABLE))
        self._stream.flush()


class _Bytes(io.RawIOBase):
    """Writes bytes to a log as text."""

    def __init__(self, log: StepLog) -> None:
        super().__init__()
        self._log = log

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: object) -> int:
        """Write bytes."""
        content = bytes(data)  # type: ignore[call-overload]
        self._log.write(content.decode(errors=UNENCODABLE))
        return len(content)


def _new_token() -> str:
    # A new one each time: the log of a public repository can be read while it grows.
    return secrets.token_hex(16)
