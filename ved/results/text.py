"""Describe results for people, and format them as plain lines: one for each pair.

`ved.terminal` formats the same descriptions for a terminal.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ved.errors import ErrorCode, with_links
from ved.planning import ActionName, Level
from ved.results.result import Outcome, Result
from ved.sizes import format_size

LABELS: dict[ActionName | Outcome, str] = {
    "build": "to build",
    "built": "built",
    "card-only": "card only",
    "skip": "to skip",
    "skipped": "skipped",
    "refuse": "refused",
    "refused": "refused",
    "failed": "failed",
}
"""The text of each action after a number, in the order in which actions are counted."""

ACTION_WIDTH = max(map(len, LABELS))
"""Characters of the longest action."""

_REFUSED = ("refuse", "refused")


@dataclass(frozen=True)
class Problem:
    """A finding for people.

    Attributes:
        place: where in the manifest, as file:line:column.
        level: an error, a warning or a notice.
        message: the cause, and what to do.
        code: names the explanation.
    """

    place: str
    level: Level
    message: str
    code: ErrorCode


@dataclass(frozen=True)
class Description:
    """A text about one pair for people.

    Attributes:
        action: what was done, or would be done.
        repo: the repo of the pair.
        text: why, and what came of it; may be empty.
        codes: the codes of errors in the text.
        url: the address of the commit; empty if there is none.
        problems: the findings.
    """

    action: ActionName | Outcome
    repo: str
    text: str
    codes: Sequence[ErrorCode] = ()
    url: str = ""
    problems: Sequence[Problem] = ()


def describe(
    result: Result, *, findings: bool = False, output_directory: Path | None = None
) -> Description:
    """Return the text about a result.

    Args:
        result: what was done, or would be done.
        findings: whether to add the findings. A refused pair has its errors always, and no other
            findings.
        output_directory: where built checkpoints are kept.
    """
    is_refused = result.action in _REFUSED
    chosen = [
        each for each in result.findings if (each.level == "error" if is_refused else findings)
    ]
    located = [(result.pair.location(each.key), each) for each in chosen]
    problems = [
        Problem(str(place), each.level, each.message, each.code)
        for place, each in sorted(located, key=lambda pair: (pair[0].line, pair[0].column))
    ]
    # The reason of a refusal consists of its findings.
    text = "" if is_refused and problems else result.reason
    if result.action == "built" or (result.action == "card-only" and result.seconds):
        text = f"{_deed(result, output_directory)} in {result.seconds:.0f} s. Reason: {text}"
    return Description(
        result.action,
        result.pair.repo,
        text,
        () if is_refused and problems else tuple(result.codes),
        result.url or "",
        problems,
    )


def _deed(result: Result, output_directory: Path | None) -> str:
    """Return what a run did for a pair, such as "Published 1.2 GB"."""
    size = format_size(result.size)
    if result.action != "built" or output_directory is None:
        return f"Published {size}" if result.size else "Changed"
    kept = output_directory / result.pair.repo
    return f"Published {size}, kept in {kept}," if result.commit else f"Wrote {size} to {kept}"


def announce(results: Iterable[Result]) -> list[Result]:
    """Return a plan as a build announces it: without the pairs that it skips.

    A refused pair has the codes of its errors only, because the result of the build explains them.
    """
    return [
        replace(result, reason=", ".join(result.codes), findings=(), code=None)
        if result.action == "refuse"
        else result
        for result in results
        if result.action != "skip"
    ]


def without_notices(result: Result) -> Result:
    """Return a result with warnings and errors only."""
    return replace(result, findings=tuple(f for f in result.findings if f.level != "notice"))


def format_lines(
    results: Sequence[Result], *, findings: bool = False, output_directory: Path | None = None
) -> str:
    """Return results as plain lines: one for each pair, and one below it for each finding.

    Args:
        results: what was done, or would be done.
        findings: whether to add the findings of each pair, with their places in the manifest.
        output_directory: where built checkpoints are kept.
    """
    width = max((len(result.pair.repo) for result in results), default=0)
    lines = []
    for result in results:
        each = describe(result, findings=findings, output_directory=output_directory)
        detail = f"{with_links(each.text, each.codes)} {each.url}".strip()
        lines.append(f"{each.action:<{ACTION_WIDTH}}  {each.repo:<{width}}  {detail}".rstrip())
        lines += [
            f"  {problem.place}: {problem.level}: {with_links(problem.message, [problem.code])}"
            for problem in each.problems
        ]
    return "\n".join(lines)


def count_actions(actions: Iterable[ActionName | Outcome]) -> str:
    """Return how many pairs have each action, as text such as "2 built, 1 failed"."""
    counts = Counter(actions)
    return ", ".join(
        f"{counts[action]} {label}" for action, label in LABELS.items() if counts[action]
    )
