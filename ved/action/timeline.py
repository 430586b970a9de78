"""Draw when each pair was downloaded, assembled, published and checked.

GitHub draws the text as a Gantt chart. Source of the format:
https://mermaid.js.org/syntax/gantt.html.
"""

from collections.abc import Mapping, Sequence

from ved.results import Step

MAX_PAIRS = 40
"""The maximum number of pairs; a chart of more is too dense to read."""


def gantt(steps: Mapping[str, Sequence[Step]]) -> str:
    """Return a Gantt chart of steps as Markdown, "" if there are none.

    Args:
        steps: the steps by the pair's repo, whose id cannot contain markup.
    """
    drawn = dict([(repo, each) for repo, each in steps.items() if each][:MAX_PAIRS])
    if not drawn:
        return ""
    lines = ["```mermaid", "gantt", "    dateFormat x", "    axisFormat %M:%S"]
    for repo, each in drawn.items():
        lines.append(f"    section {repo}")
        lines += [_task(step) for step in each]
    return "\n".join((*lines, "```"))


def _task(step: Step) -> str:
    start, end = round(step.start * 1000), round(step.end * 1000)  # milliseconds
    # No tag, such as `done`: in the dark theme, a tagged label beside its bar is dark on dark.
    return f"    {step.verb} :{start}, {max(end, start + 1)}"
