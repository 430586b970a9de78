"""Format the log and the summary of a step for a person at a terminal, as GitHub's pages do."""

import re
import sys
from typing import ClassVar

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, MarkdownElement, TableElement
from rich.table import Column, Table
from rich.text import Text

_COMMAND = re.compile(r"::(?P<name>[\w-]+)(?P<properties> .*?)?::(?P<message>.*)")
_ESCAPES = {"%3A": ":", "%2C": ",", "%0D": "\r", "%0A": "\n", "%25": "%"}
_LEVELS = ("error", "warning", "notice")
_CHART = re.compile(r"^```mermaid\n.*?^```\n?", re.MULTILINE | re.DOTALL)
_WIDTH = 110
"""Characters of a line outside of a terminal."""
_ANY_WIDTH = 10_000
"""Characters of a line that no table needs."""
_SENTENCES, _MIN_SENTENCE = "reason", 20
"""The column of a table whose texts are divided between lines, and its least characters."""


class _WholeNames(TableElement):
    """A table that cuts no name, so that each can be copied.

    If it has no room for that, each row becomes a list.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        assert self.header is not None
        assert self.header.row is not None
        assert self.body is not None
        names = [cell.content for cell in self.header.row.cells]
        rows = [[cell.content for cell in row.cells] for row in self.body.rows]
        table = Table(box=box.SIMPLE, pad_edge=False)
        for name in names:
            is_divided = name.plain == _SENTENCES
            table.add_column(name, no_wrap=not is_divided, min_width=is_divided * _MIN_SENTENCE)
        for row in rows:
            table.add_row(*row)
        needed = console.measure(table, options=options.update(width=_ANY_WIDTH)).minimum
        if needed <= options.max_width:
            yield table
            return
        for row in rows:
            yield Text("\n", overflow="fold") + row[0]
            fields = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
            for name, content in zip(names[1:], row[1:], strict=True):
                name.justify = content.justify = "left"
                if content:
                    fields.add_row(name, content)
            yield fields
        yield ""


class _Summary(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "table_open": _WholeNames,
    }


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
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(_Summary(_CHART.sub("", summary)))


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
