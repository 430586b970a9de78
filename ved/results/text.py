"""Format results as lines for a terminal or a log."""

from collections.abc import Sequence

from ved.errors import with_links
from ved.manifest.models import Pair
from ved.planning.findings import Finding
from ved.results.result import Result


def format_lines(results: Sequence[Result], *, findings: bool = False) -> str:
    """Return results as lines for a terminal or a log, with what was found of each if wanted."""
    said = []
    for result in results:
        found = [_placed(result.pair, each) for each in result.findings if findings]
        # A refusal's reason is what was found.
        reason = with_links(result.reason, result.codes)
        if found and result.is_bad:
            reason = ""
        detail = " ".join(filter(None, (reason, result.url)))
        said += [f"{result.action:<9}  {result.pair.repo}  {detail}".rstrip(), *found]
    return "\n".join(said)


def _placed(pair: Pair, finding: Finding) -> str:
    return f"  {pair.location(finding.key)}: {finding.level}: {finding.text}"
