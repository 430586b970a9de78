"""Report the results of pairs to the collector."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from ved.errors import ErrorCode, VedError, as_ved_error
from ved.execution.progress import Progress
from ved.hub.rate_limits import is_long_limit
from ved.planning import Build, Finding, RenewCard, SetVisibility
from ved.planning.actions import with_findings
from ved.publishing.commits import VisibilityError
from ved.results import Outcome, Result, ResultCollector, outcome_result

log = logging.getLogger("ved")

# Reasons of results that are replaced when the pair is done. They stay if the run is interrupted.
PUBLISHING = "The run ended during publishing: its commit may exist."
AFTER_COMMIT = "The run ended directly after the commit."
UNCHECKED = "The run ended before the check of what was published."


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
        self._limit: VedError | None = None

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

    def with_warnings(self, action: Build, warnings: Sequence[str]) -> Build:
        """Return an action with the warnings of its build, and log those that its plan lacks.

        Args:
            action: the planned action.
            warnings: the `tie_warnings` of the checkpoint.
        """
        code = ErrorCode.TIED_TENSORS
        findings = [Finding("warning", "decoder", warning, code) for warning in warnings]
        for finding in findings:
            if finding not in action.findings:
                log.warning("%s: %s", action.pair.repo, finding.text)
        warned = with_findings(action, findings)
        assert isinstance(warned, Build), "a warning is not an error"
        return warned

    def done(self, result: Result) -> None:
        """Add a final result."""
        self._collector.add(replace(result, steps=self._progress.steps(result.pair.repo)))

    def publishing(
        self,
        action: Build | RenewCard,
        outcome: Outcome,
        start: float,
        size: int,
        checksums: Mapping[str, str] = MappingProxyType({}),
    ) -> Callable[[str], None]:
        """Add the result that a pair has while its commit is created.

        Args:
            action: the planned action.
            outcome: what is done once there is a commit.
            start: when the action started, by the monotonic clock.
            size: bytes that are published.
            checksums: sha256 of the files that are published.

        Returns:
            A function that adds the result that the pair has directly after its commit.
        """
        ended = replace(self.result(action, "failed", start), code=ErrorCode.RUN_ENDED_EARLY)
        self.done(replace(ended, reason=PUBLISHING))

        def committed(commit: str) -> None:
            result = self.result(action, outcome, start, commit, size)
            self.unfinished(replace(result, checksums=checksums), AFTER_COMMIT)

        return committed

    def unfinished(self, result: Result, reason: str) -> None:
        """Add a result that a later one replaces, with the reason that it has until then."""
        self.done(replace(result, reason=f"{result.reason} {reason}"))

    def raise_if_limited(self) -> None:
        """Begin nothing more after the Hub refused by a limit that is too long to wait for.

        Raises:
            VedError: the Hub's text, and when to run again.
        """
        if self._limit is not None:
            cause = f"Not started, because of a limit: {self._limit.cause}"
            raise VedError(cause, self._limit.remedy, code=self._limit.code)

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
        if is_long_limit(error):
            self._limit = explained
        if isinstance(explained, VisibilityError):
            commit = explained.commit
        log.error("%s: Failed: %s", repo, explained.code)  # the result says the whole text once
        result = self.result(action, "failed", start, commit)
        published = checksums if checksums and commit else {}
        self.done(replace(result, reason=str(explained), code=explained.code, checksums=published))
