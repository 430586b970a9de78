"""Print results and errors to a stream, in the form that the stream can show."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ved.errors import VedError
from ved.logs import CleanStream
from ved.manifest.loading import ManifestError
from ved.terminal.abilities import abilities_of

if TYPE_CHECKING:
    from ved.results import Result
    from ved.terminal.printing import Printer


class Output:
    """Standard output or standard error of a command.

    Args:
        stream: where to print.
        variables: the environment.

    Attributes:
        abilities: what the stream can show.
    """

    def __init__(
        self, stream: TextIO | CleanStream, variables: Mapping[str, str] = os.environ
    ) -> None:
        self._stream = stream
        self.abilities = abilities_of(stream, variables)

    def results(
        self,
        results: "Sequence[Result]",
        *,
        findings: bool = False,
        output_directory: Path | None = None,
    ) -> None:
        """Print results; see `ved.results.format_lines`."""
        if self.abilities.is_plain:
            from ved.results import format_lines

            text = format_lines(results, findings=findings, output_directory=output_directory)
            self._print(text)
        else:
            from ved.results import describe

            described = [
                describe(each, findings=findings, output_directory=output_directory)
                for each in results
            ]
            self._printer().descriptions(described)

    @contextmanager
    def status(self, text: str) -> Iterator[None]:
        """Display what is being done while the block runs, if the stream is a terminal."""
        if not self.abilities.bars:
            yield
            return
        from ved.terminal.bars import live_text

        with live_text(text, self._stream, sys.stdout):
            yield

    def error(self, error: VedError) -> None:
        """Print an error that ends the command: its cause, what to do, and its explanation."""
        parts = {"ERROR": error.cause, "  TIP": error.remedy, "  SEE": error.code.url}
        self._labeled({label: text for label, text in parts.items() if text})

    def manifest_error(self, error: ManifestError) -> None:
        """Print the first problems of a manifest, and how many others there are."""
        self.lines(str(error), indent=2)
        self._labeled({"  SEE": error.code.url})

    def lines(self, text: str, indent: int = 0) -> None:
        """Print each line of a text; see `line`."""
        for line in text.splitlines():
            self.line(line, indent)

    def line(self, text: str, indent: int = 0) -> None:
        """Print a text.

        Args:
            text: the text.
            indent: spaces before its second and later lines, if it is wrapped.
        """
        if self.abilities.is_plain:
            self._print(text)
        else:
            self._printer().paragraph(text, indent)

    def _labeled(self, parts: Mapping[str, str]) -> None:
        for label, text in parts.items():
            if self.abilities.is_plain:
                self._print(f"{label} {text}")
            else:
                self._printer().labeled(label, text)

    def _print(self, text: str) -> None:
        self._stream.write(f"{text}\n")

    def _printer(self) -> "Printer":
        from ved.terminal.printing import Printer

        self._stream.flush()  # VED's own control characters do not pass a clean stream
        raw = self._stream.raw if isinstance(self._stream, CleanStream) else self._stream
        return Printer(raw, self.abilities)
