"""Report the results of pairs to the collector."""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace

from ved.errors import VedError, as_ved_error
from ved.execution.progress import Progress
from ved.planning import Build, RenewCard, SetVisibility
from ved.publishing.commits import VisibilityError
from ved.results import Outcome, Result, ResultCollector, outcome_result

log = logging.getLogger("ved")

UNCHECKED = "The run ended before the check of what was published."
"""The reason of a result until its check is done; it stays if the run is interrupted."""


class Reporter:
    """Adds results to the collector, with durations and steps.

    Args:
        collector: gets the results.
        progress: knows the steps of each pair.
        endpoint: the address of the Hub, for links.
    """

    def __init__(self, collector: ResultCollector, progress: Progress, endpoint: str) -> None:
        self._collector = collector
        self._progress = progress
        self._endpoint = endpoint

    def result(
        self,
        action: Build | RenewCard | SetVisibility,
        outcome: Outcome,
        start: float,
        commit: str | None = None,
        size: int = 0,
    ) -> Result:
        """Return the result of an action, without adding it.

        Args:
            action: the planned action.
            outcome: what was done.
            start: when the action started, by the monotonic clock.
            commit: the published commit; None if nothing was published.
            size: bytes that were published.
        """
        seconds = time.monotonic() - start
        return outcome_result(action, outcome, self._endpoint, commit, size, seconds)

    def done(self, result: Result) -> None:
        """Add a final result."""
        self._collector.add(replace(result, steps=self._progress.steps(result.pair.repo)))

    def unchecked(self, result: Result) -> None:
        """Add a result that a check is going to confirm or replace."""
        self.done(replace(result, reason=f"{result.reason} {UNCHECKED}"))

    def failed(
        self,
        action: Build | RenewCard | SetVisibility,
        error: Exception,
        start: float,
        commit: str | None = None,
        checksums: Mapping[str, str] | None = None,
    ) -> None:
        """Add a failure, maybe after a commit was published.

        Args:
            action: the planned action.
            error: what failed. An unexpected error is logged with its traceback.
            start: when the action started, by the monotonic clock.
            commit: the published commit; None if nothing was published, or if the error names it.
            checksums: sha256 of the files that were to be published.
        """
        repo = action.pair.repo
        if not isinstance(error, VedError | OSError):
            log.error("%s: Unexpected error", repo, exc_info=error)
        explained = as_ved_error(error)
        if isinstance(explained, VisibilityError):
            commit = explained.commit
        log.error("%s: Failed: %s", repo, explained)
        result = self.result(action, "failed", start, commit)
        published = checksums if checksums and commit else {}
        self.done(replace(result, reason=str(explained), code=explained.code, checksums=published))
