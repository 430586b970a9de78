"""Format the results of a run as Markdown for the job summary.

Text from outside is escaped: a row may come from another job, and may quote a server or a source.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from ved.errors import TROUBLESHOOTING, VedError
from ved.markdown import code_span, plain_text
from ved.planning import ActionName
from ved.results import BAD, Outcome, Row
from ved.sizes import format_size

_LABELS: dict[ActionName | Outcome, tuple[str, str]] = {
    "build": ("🔨", "to build"),
    "built": ("✅", "built"),
    "card-only": ("📝", "card only"),
    "skip": ("💤", "to skip"),
    "skipped": ("💤", "skipped"),
    "refuse": ("⛔", "refused"),
    "refused": ("⛔", "refused"),
    "failed": ("❌", "failed"),
}
"""The icon and the text of each action, in the order in which actions are counted."""


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
        blocks.append("\n".join(f"- {plain_text(str(problem))}" for problem in problems))
        blocks.append(help_links(dict.fromkeys(problem.code for problem in problems)))
    if rows:
        blocks += [results_table(rows, endpoint), timeline]
    return "\n\n".join(filter(None, blocks))


def count_actions(rows: Sequence[Row]) -> str:
    """Return how many pairs have each action, as text such as "2 built, 1 failed"."""
    counts = Counter(row.action for row in rows)
    return ", ".join(
        f"{counts[action]} {label}" for action, (_, label) in _LABELS.items() if counts[action]
    )


def results_table(rows: Sequence[Row], endpoint: str) -> str:
    """Return rows as a Markdown table, failed and refused pairs first, skipped ones last."""
    ordered = sorted(rows, key=lambda row: (row.action not in BAD, row.action[:4] == "skip"))
    lines = [
        f"**{count_actions(rows) or 'No pairs'}.**",
        "",
        "| checkpoint | action | reason | sources | size | time |",
        "| --- | --- | --- | --- | ---: | ---: |",
        *(_table_row(row, endpoint) for row in ordered),
    ]
    warnings = [
        f"- {code_span(row.repo)}: {plain_text(text)}" for row in rows for text in row.warnings
    ]
    if warnings:
        lines += ["", "### Warnings", "", *warnings]
    return "\n".join(lines)


def help_links(codes: Iterable[str]) -> str:
    """Return a Markdown sentence that links error codes to their explanations; "" for no code."""
    links = " and ".join(
        f"[{code.replace('-', ' ')}]({TROUBLESHOOTING}#{code})" for code in codes if code
    )
    return f"See {links}." if links else ""


def _table_row(row: Row, endpoint: str) -> str:
    name = code_span(row.repo)
    if row.commit:
        # Not the row's own URL: another job may have written it, and it can lead anywhere.
        name = f"[{name}]({quote(endpoint, safe=':/[]')}/{row.repo}/commit/{row.commit})"
    cells = (
        name,
        " ".join(_LABELS[row.action]),
        f"{plain_text(row.reason)} {help_links(row.codes)}".rstrip(),
        f"{code_span(row.encoder)} + {code_span(row.decoder)}",
        _size(row),
        f"{row.seconds:.0f} s" if row.seconds else "",
    )
    return f"| {' | '.join(cells)} |"


def _size(row: Row) -> str:
    sent = "" if row.uploaded is None else f", {format_size(row.uploaded)} sent"
    return f"{format_size(row.bytes)}{sent}" if row.bytes else ""
