"""Format results as lines for a terminal or a log."""

from collections.abc import Sequence

from ved.errors import with_links
from ved.manifest.pair_models import Pair
from ved.planning import Finding
from ved.results.result import Result


def format_lines(results: Sequence[Result], *, findings: bool = False) -> str:
    """Return results as lines for a terminal or a log.

    Args:
        results: what was done, or would be done.
        findings: whether to add the findings of each pair, with their places in the manifest.
    """
    lines = []
    for result in results:
        placed = [_placed(result.pair, each) for each in result.findings if findings]
        # The reason of a refusal consists of its findings.
        reason = (
            ""
            if placed and result.action in ("refuse", "refused")
            else with_links(result.reason, result.codes)
        )
        detail = " ".join(filter(None, (reason, result.url)))
        lines += [f"{result.action:<9}  {result.pair.repo}  {detail}".rstrip(), *placed]
    return "\n".join(lines)


def _placed(pair: Pair, finding: Finding) -> str:
    return f"  {pair.location(finding.key)}: {finding.level}: {finding.text}"
