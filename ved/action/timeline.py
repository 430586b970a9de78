"""When each pair was downloaded, assembled, published and checked: a picture that GitHub draws.

The format is Mermaid's: https://mermaid.js.org/syntax/gantt.html.
"""

from collections.abc import Mapping, Sequence

from ved.results.result import Step

MOST = 40
"""How many pairs are drawn; more are no picture any more."""

# How Mermaid's themes tell them apart.
_STYLES = {"Downloading": "", "Assembling": "active, ", "Publishing": "done, ", "Checking": ""}


def gantt(steps: Mapping[str, Sequence[Step]]) -> str:
    """Return the steps of pairs as Markdown that draws them, or nothing where there are none.

    Args:
        steps: by the pair's repo, whose letters the manifest's rules keep from being markup.
    """
    drawn = dict([(repo, each) for repo, each in steps.items() if each][:MOST])
    if not drawn:
        return ""
    lines = ["```mermaid", "gantt", "    dateFormat x", "    axisFormat %M:%S"]
    for repo, each in drawn.items():
        lines.append(f"    section {repo}")
        lines += [_task(step) for step in each]
    return "\n".join((*lines, "```"))


def _task(step: Step) -> str:
    start, end = round(step.start * 1000), round(step.end * 1000)
    return f"    {step.verb} :{_STYLES.get(step.verb, '')}{start}, {max(end, start + 1)}"
