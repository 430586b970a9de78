"""Format results as Markdown for the job summary."""

from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from ved.errors import TROUBLESHOOTING
from ved.markdown import code_span, plain_text
from ved.planning.actions import ActionName
from ved.results.result import BAD, Outcome
from ved.results.rows import Row
from ved.sizes import format_size

_SHOWN: dict[ActionName | Outcome, tuple[str, str]] = {
    "build": ("🔨", "to build"),
    "built": ("✅", "built"),
    "card-only": ("📝", "card only"),
    "skip": ("💤", "to skip"),
    "skipped": ("💤", "skipped"),
    "refuse": ("⛔", "refused"),
    "refused": ("⛔", "refused"),
    "failed": ("❌", "failed"),
}
"""A mark and words for each, in the order in which they are counted."""


def count_actions(rows: Sequence[Row]) -> str:
    """Return how many pairs came to what, in words."""
    counts = Counter(row.action for row in rows)
    return ", ".join(f"{counts[action]} {_SHOWN[action][1]}" for action in _SHOWN if counts[action])


def results_table(rows: Sequence[Row], endpoint: str) -> str:
    """Return rows as Markdown, those that need somebody first."""
    urgent = sorted(rows, key=lambda row: (row.action not in BAD, row.action[:4] == "skip"))
    lines = [
        f"**{count_actions(rows) or 'No pairs'}.**",
        "",
        "| checkpoint | action | reason | sources | size | time |",
        "| --- | --- | --- | --- | ---: | ---: |",
        *(_line(row, endpoint) for row in urgent),
    ]
    warned = [row for row in rows if row.warnings]
    if warned:
        lines += ["", "### Warnings", ""]
        lines += [
            f"- {code_span(row.repo)}: {plain_text(text)}"
            for row in warned
            for text in row.warnings
        ]
    return "\n".join(lines)


def _line(row: Row, endpoint: str) -> str:
    name = code_span(row.repo)
    if row.commit:
        # Not the address in the row: that may have come from another job.
        name = f"[{name}]({quote(endpoint, safe=':/[]')}/{row.repo}/commit/{row.commit})"
    cells = (
        name,
        " ".join(_SHOWN[row.action]),
        f"{plain_text(row.reason)} {help_links(row.codes)}".rstrip(),
        f"{code_span(row.encoder)} + {code_span(row.decoder)}",
        _size(row),
        f"{row.seconds:.0f} s" if row.seconds else "",
    )
    return f"| {' | '.join(cells)} |"


def _size(row: Row) -> str:
    sent = "" if row.uploaded is None else f", {format_size(row.uploaded)} sent"
    return f"{format_size(row.bytes)}{sent}" if row.bytes else ""


def help_links(codes: Iterable[str]) -> str:
    """Return a Markdown sentence that links error codes to their explanations; "" for no code."""
    links = " and ".join(
        f"[{code.replace('-', ' ')}]({TROUBLESHOOTING}#{code})" for code in codes if code
    )
    return f"See {links}." if links else ""
