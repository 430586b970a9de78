"""Collect the results of a run while it is running, so that an interrupted run loses none."""

from collections.abc import Sequence

from ved.errors import ErrorCode
from ved.planning import PlannedAction, Refuse, Skip
from ved.results.result import Result, outcome_result

UNFINISHED = "The run ended before this pair was done."


class ResultCollector:
    """The results of a run. They may be read at any time, from any thread."""

    def __init__(self) -> None:
        self._planned: dict[str, Result] = {}
        self._results: dict[str, Result] = {}

    def start(self, plan: Sequence[PlannedAction], endpoint: str) -> None:
        """Begin with a plan; what it skips and refuses is done already.

        Args:
            plan: the planned actions, in the manifest's order.
            endpoint: the address of the Hub, for links.
        """
        for action in plan:
            repo = action.pair.repo
            self._planned[repo] = outcome_result(action, "failed", endpoint)
            if isinstance(action, Skip):
                self._results[repo] = outcome_result(action, "skipped", endpoint)
            elif isinstance(action, Refuse):
                self._results[repo] = outcome_result(action, "refused", endpoint)

    def add(self, result: Result) -> None:
        """Add the result of a pair; a later one replaces an earlier one."""
        self._results[result.pair.repo] = result

    @property
    def results(self) -> list[Result]:
        """The results so far, in the manifest's order; a pair without one has failed."""
        return [
            self._results.get(repo) or _unfinished(planned)
            for repo, planned in self._planned.items()
        ]


def _unfinished(planned: Result) -> Result:
    return Result(
        planned.pair,
        "failed",
        UNFINISHED,
        planned.findings,
        planned.fingerprint,
        code=ErrorCode.RUN_ENDED_EARLY,
    )
