"""Format the results of a run as Markdown for the job summary.

Text from outside is escaped: a row may come from another job, and may quote a server or a source.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from ved.errors import TROUBLESHOOTING, VedError
from ved.markdown import code_span, plain_text
from ved.planning import ActionName
from ved.results import BAD, LABELS, Outcome, Row, count_actions
from ved.sizes import format_size
from ved.text import MAX_MESSAGE, clean

_TABLE_BYTES, _WARNINGS_BYTES, _PROBLEMS_BYTES = 600_000, 200_000, 100_000
"""The longest table and lists in bytes. Together with a chart they are less than a summary may be,
so that one long text never takes the place of a pair."""

_MIN_REASON, _MAX_NAME = 40, 80
"""The most characters of a reason if there are very many pairs, and of a name."""

_MAX_LINKS = 3
_BYTES_OF_OTHER_CELLS, _BYTES_OF_CHARACTER = 700, 6

_ICONS: dict[ActionName | Outcome, str] = {
    "build": "🔨",
    "built": "✅",
    "card-only": "📝",
    "skip": "💤",
    "skipped": "💤",
    "refuse": "⛔",
    "refused": "⛔",
    "failed": "❌",
}


def render_summary(
    rows: Sequence[Row], problems: Sequence[VedError], endpoint: str, timeline: str
) -> str:
    """Return the job summary as Markdown.

    Args:
        rows: the result of each pair, redacted.
        problems: the errors that ended the run early, redacted.
        endpoint: the address of the Hub that the table links to.
        timeline: a chart, as Markdown; may be empty.
    """
    blocks = [] if rows else ["Nothing was done."]
    if problems:
        lines = [f"- {plain_text(clean(str(problem)))}" for problem in problems]
        blocks.append("\n".join(_first_lines(lines, _PROBLEMS_BYTES)))
        blocks.append(help_links(dict.fromkeys(problem.code for problem in problems)))
    if rows:
        blocks += [results_table(rows, endpoint), timeline]
    return "\n\n".join(filter(None, blocks))


def results_table(rows: Sequence[Row], endpoint: str) -> str:
    """Return rows as a Markdown table, failed and refused pairs first, skipped ones last."""
    ordered = sorted(rows, key=lambda row: (row.action not in BAD, row.action[:4] == "skip"))
    longest = _TABLE_BYTES // max(len(rows), 1) - _BYTES_OF_OTHER_CELLS
    longest = min(max(longest // _BYTES_OF_CHARACTER, _MIN_REASON), MAX_MESSAGE)
    lines = [
        f"**{count_actions(row.action for row in rows) or 'No pairs'}.**",
        "",
        "| checkpoint | action | reason | sources | size | time |",
        "| --- | --- | --- | --- | ---: | ---: |",
        *_first_lines([_table_row(row, endpoint, longest) for row in ordered], _TABLE_BYTES),
    ]
    warnings = [
        f"- {code_span(row.repo)}: {plain_text(clean(text))}"
        for row in rows
        for text in row.warnings
    ]
    if warnings:
        lines += ["", "### Warnings", "", *_first_lines(warnings, _WARNINGS_BYTES)]
    return "\n".join(lines)


def help_links(codes: Iterable[str]) -> str:
    """Return a Markdown sentence that links error codes to their explanations; "" for no code."""
    links = " and ".join(
        f"[{code.replace('-', ' ')}]({TROUBLESHOOTING}#{code})" for code in codes if code
    )
    return f"See {links}." if links else ""


def _first_lines(lines: Sequence[str], limit: int) -> list[str]:
    """Return the first lines of a list, up to a number of bytes, and how many others there are."""
    size = 0
    for number, line in enumerate(lines):
        size += len(line.encode(errors="replace")) + 1
        if size > limit:
            return [*lines[:number], f"- And {len(lines) - number} more; see the log."]
    return list(lines)


def _table_row(row: Row, endpoint: str, longest: int) -> str:
    name = code_span(row.repo)
    if row.commit:
        # Not the row's own URL: another job may have written it, and it can lead anywhere.
        name = f"[{name}]({quote(endpoint, safe=':/[]')}/{row.repo}/commit/{row.commit})"
    cells = (
        name,
        f"{_ICONS[row.action]} {LABELS[row.action]}",
        f"{plain_text(clean(row.reason, longest))} {help_links(row.codes[:_MAX_LINKS])}".rstrip(),
        " + ".join(code_span(clean(name, _MAX_NAME)) for name in (row.encoder, row.decoder)),
        _size(row),
        f"{row.seconds:.0f} s" if row.seconds else "",
    )
    return f"| {' | '.join(cells)} |"


def _size(row: Row) -> str:
    sent = "" if row.uploaded is None else f", {format_size(row.uploaded)} sent"
    return f"{format_size(row.bytes)}{sent}" if row.bytes else ""
