"""Print descriptions and messages with colors, wrapped at the width of a terminal.

Every text becomes a `Text`: rich interprets markup in strings only, such as `[red]`. Texts may
quote a manifest, a source or a server, so they are cleaned first.
"""

from collections.abc import Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ved.errors import ErrorCode
from ved.results.text import ACTION_WIDTH, Description, Problem
from ved.terminal.abilities import Abilities
from ved.text import clean

_ANY_WIDTH = 1_000_000
"""Columns of a stream whose lines are not wrapped."""

_MAX_REPO, _MIN_TEXT = 48, 40
"""Columns: names of repos are aligned up to the first, texts beside them have the second."""

_SHORT = 60
"""Characters of a message that may be repeated."""

# Colors of the terminal's own palette are readable on dark and on light backgrounds.
_ACTION_STYLES = {
    "build": "cyan",
    "built": "green",
    "card-only": "cyan",
    "skip": "dim",
    "skipped": "dim",
    "refuse": "bold red",
    "refused": "bold red",
    "failed": "bold red",
}
_LEVEL_STYLES = {"error": "bold red", "warning": "bold yellow", "notice": "blue"}
_LABEL_STYLES = {"ERROR": "bold red", "  TIP": "bold green", "  SEE": "bold blue"}


class Printer:
    """Prints to a stream with colors, a width, or both.

    Args:
        stream: where to print.
        abilities: what it can show.
    """

    def __init__(self, stream: TextIO, abilities: Abilities) -> None:
        self._width = abilities.width or _ANY_WIDTH
        self._console = Console(
            file=stream,
            width=self._width,
            force_terminal=abilities.colors,
            color_system="standard" if abilities.colors else None,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )

    def descriptions(self, descriptions: Sequence[Description]) -> None:
        """Print the texts about pairs, the explanation of each code once, and an empty line."""
        column = max((cell_len(each.repo) for each in descriptions), default=0)
        column = min(column, _MAX_REPO)
        explained: dict[ErrorCode, None] = {}
        printed: dict[tuple[str, str], str] = {}
        for each in descriptions:
            self._description(each, column)
            for problem in each.problems:
                self._problem(problem, printed.setdefault(_key(problem), each.repo), each.repo)
            explained |= dict.fromkeys([*each.codes, *(problem.code for problem in each.problems)])
        width = max(map(len, explained), default=0)
        for number, code in enumerate(explained):
            if number == 0:
                self._print(Text())
            self._print(Text.assemble((f"{code:<{width}}", "bold"), "  ", code.url))
        self._print(Text())

    def labeled(self, label: str, text: str) -> None:
        """Print a text after a label, such as ERROR."""
        head = Text.assemble((label, _LABEL_STYLES.get(label, "bold")), " ")
        self._hang(head, _text(text), head.cell_len)

    def paragraph(self, text: str, indent: int = 0) -> None:
        """Print a text, whose second and later lines are indented."""
        self._hang(Text(), _text(text), indent)

    def _description(self, each: Description, column: int) -> None:
        style = _ACTION_STYLES[each.action]
        head = Text.assemble(
            (f"{each.action:<{ACTION_WIDTH}}  ", style),
            (f"{clean(each.repo):<{column}}", style if style == "dim" else "bold"),
        )
        text = _text(" ".join([each.text, _marks(each.codes)]).strip())
        indent = ACTION_WIDTH + 2 + column + 2
        room = self._width - indent if head.cell_len < indent else 0
        if room >= min(text.cell_len, _MIN_TEXT):
            self._hang(head + Text("  "), text, indent)
        else:
            self._hang(head, Text(), 0)
            self._hang(Text("    "), text, 4)
        if each.url and each.action not in ("skip", "skipped"):
            self._print(Text(f"    {clean(each.url)}", "dim"))

    def _problem(self, problem: Problem, first: str, repo: str) -> None:
        """Print a problem of a pair; one that an earlier pair has, too, in short."""
        message = problem.message
        if first != repo and len(message) > _SHORT:
            message = f"The same as for {first}."
        style = _LEVEL_STYLES[problem.level]
        body = Text.assemble(
            f"{clean(problem.place)}: ", (problem.level, style), f": {clean(message)} "
        )
        self._hang(Text("  "), body + Text(_marks([problem.code])), 4)

    def _hang(self, head: Text, body: Text, indent: int) -> None:
        """Print a text after a head, and its second and later lines below one another.

        Addresses and paths that are longer than a line stay whole, to be copied.
        """
        width = max(self._width - max(indent, head.cell_len), 1)
        first, *others = _wrapped(body, width)
        paragraph = head + first
        paragraph.rstrip()
        for line in others:
            paragraph.append("\n" + " " * indent).append_text(line)
        self._print(paragraph)

    def _print(self, lines: Text) -> None:
        self._console.print(lines, soft_wrap=True)


def _wrapped(text: Text, width: int) -> list[Text]:
    """Return the lines of a text; unlike those of rich, they never divide a word."""
    starts, column, offset = [], 0, 0
    for word in text.plain.split(" "):
        length = cell_len(word)
        if column and column + length > width:
            starts.append(offset)
            column = 0
        column += length + 1
        offset += len(word) + 1
    lines = list(text.divide(starts))
    for line in lines:
        line.rstrip()
    return lines


def _text(text: str) -> Text:
    return Text(clean(text))


def _marks(codes: Sequence[ErrorCode]) -> str:
    return f"({', '.join(codes)})" if codes else ""


def _key(problem: Problem) -> tuple[str, str]:
    return problem.level, problem.message
