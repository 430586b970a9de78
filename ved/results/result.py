"""The result of one pair: what a run did, or what a plan says that it would do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ved.errors import ErrorCode, with_links
from ved.manifest.pair_models import Pair
from ved.planning import ActionName, Build, Finding, Level, PlannedAction, Skip
from ved.publishing.repos import commit_url

Outcome = Literal["built", "card-only", "skipped", "refused", "failed"]
BAD: tuple[ActionName | Outcome, ...] = ("refuse", "refused", "failed")
"""The actions and outcomes that the owner of the manifest has to do something about."""


@dataclass(frozen=True)
class Step:
    """A step of a pair.

    Attributes:
        verb: what is done, such as "Downloading".
        start: seconds since the run began.
        end: seconds since the run began.
    """

    verb: str
    start: float
    end: float


@dataclass(frozen=True)
class Result:
    """The outcome of a run for a pair, or the planned outcome.

    Attributes:
        pair: the entry of the manifest.
        action: what was done; in a plan, what a build would do.
        reason: why, as a sentence.
        findings: what is wrong with the pair, or worth knowing.
        fingerprint: the digest of what decides the checkpoint's bytes; "" if unknown.
        commit: the commit of the repo that has the checkpoint; None if there is none, or unknown.
        url: the address of that commit, for people.
        size: bytes that were published, or that a build would download and publish.
        seconds: the duration.
        checksums: sha256 of the published weight files and of the build record, by name.
        steps: the steps, with their times.
        code: the error code of a failure; None without a failure.
        uploaded: bytes of large files that the Hub did not have and that were sent; None if
            unknown.
    """

    pair: Pair
    action: ActionName | Outcome
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    fingerprint: str = ""
    commit: str | None = None
    url: str | None = None
    size: int = 0
    seconds: float = 0.0
    checksums: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    code: ErrorCode | None = None
    uploaded: int | None = None

    @property
    def is_bad(self) -> bool:
        """Whether the owner of the manifest has to do something."""
        return self.action in BAD

    @property
    def warnings(self) -> list[str]:
        """The messages of the warnings."""
        return [found.message for found in self.findings if found.level == "warning"]

    @property
    def errors(self) -> list[tuple[str, ErrorCode, str]]:
        """The key, code and message of each error; for a failure during the run, its reason."""
        errors = (found for found in self.findings if found.level == "error")
        found = [(each.key, each.code, each.message) for each in errors]
        if self.code is not None and self.code not in {code for _, code, _ in found}:
            found.append(("", self.code, self.reason))
        return found

    @property
    def codes(self) -> list[ErrorCode]:
        """The codes of all errors, each once."""
        return [*dict.fromkeys(code for _, code, _ in self.errors)]

    def annotations(self) -> list[tuple[Level, str, str]]:
        """Return what to annotate the manifest with: level, key and text of each.

        Notices are left out, because GitHub shows ten annotations of each level.
        """
        annotations: list[tuple[Level, str, str]] = [
            (found.level, found.key, found.text)
            for found in self.findings
            if found.level != "notice"
        ]
        if self.is_bad and not any(level == "error" for level, _, _ in annotations):
            annotations.append(("error", "", with_links(self.reason, self.codes)))
        return annotations


def planned_result(action: PlannedAction, endpoint: str) -> Result:
    """Return what a plan says about a pair.

    Args:
        action: the planned action.
        endpoint: the address of the Hub, for links.
    """
    size = 0
    if isinstance(action, Build):
        size = sum(action.estimate.sources.values()) + action.estimate.output
    return _result(action, action.name, endpoint, _head(action), size)


def outcome_result(
    action: PlannedAction,
    outcome: Outcome,
    endpoint: str,
    commit: str | None = None,
    size: int = 0,
    seconds: float = 0.0,
) -> Result:
    """Return what a run did for a pair.

    Args:
        action: the planned action.
        outcome: what was done.
        endpoint: the address of the Hub, for links.
        commit: the published commit; None if nothing was published.
        size: bytes that were published.
        seconds: the duration.
    """
    return _result(action, outcome, endpoint, commit or _head(action), size, seconds)


def _result(
    action: PlannedAction,
    name: ActionName | Outcome,
    endpoint: str,
    commit: str | None,
    size: int = 0,
    seconds: float = 0.0,
) -> Result:
    repo = action.pair.repo
    return Result(
        pair=action.pair,
        action=name,
        reason=action.reason,
        findings=action.findings,
        fingerprint=action.subject.fingerprint,
        commit=commit,
        url=commit and commit_url(repo, commit, endpoint),
        size=size,
        seconds=seconds,
    )


def _head(action: PlannedAction) -> str | None:
    """Return the commit of a repo that is up to date already."""
    return action.head if isinstance(action, Skip) else None
