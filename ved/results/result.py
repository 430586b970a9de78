"""What became of pairs, for people and for other programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ved.errors import ErrorCode, with_links
from ved.manifest.models import Pair
from ved.planning.findings import Finding, Level

Action = Literal["build", "card-only", "skip", "refuse", "built", "skipped", "refused", "failed"]
BAD: tuple[Action, ...] = ("refuse", "refused", "failed")


@dataclass(frozen=True)
class Step:
    """A step of a pair; start and end are in seconds since the first step of all."""

    verb: str
    start: float
    end: float


@dataclass(frozen=True)
class Result:
    """What became of a pair, or would become of it.

    Attributes:
        pair: the pair.
        action: what was done; in a plan, what is to be done.
        reason: why.
        findings: what is wrong with it, or worth knowing.
        fingerprint: of what it is built from; empty where that is not known.
        commit: the commit that the repo is at then; None where that is not known.
        url: where a person can look at that commit.
        size: bytes of what was published, or of what is to be downloaded and published.
        seconds: how long it took.
        checksums: the sha256 of the weight files that were published, and of their record.
        steps: what was done when.
        code: what made it fail; None where nothing did.
        uploaded: how many of the bytes were sent, of large files that the Hub did not have; None
            where that is not known.
    """

    pair: Pair
    action: Action
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
        """Whether it is not what the manifest's owner wants."""
        return self.action in BAD

    @property
    def warnings(self) -> list[str]:
        """What is likely to be a mistake."""
        return [found.message for found in self.findings if found.level == "warning"]

    @property
    def codes(self) -> list[str]:
        """The codes of all errors, each once."""
        refused = [found.code for found in self.findings if found.level == "error"]
        return [code for code in dict.fromkeys([*refused, self.code]) if code]

    def annotations(self) -> list[tuple[Level, str, str]]:
        """Return what to say at the manifest: how grave, at which key, and what.

        Not what is only good to know: GitHub shows ten annotations of a kind.
        """
        said: list[tuple[Level, str, str]] = [
            (found.level, found.key, found.text)
            for found in self.findings
            if found.level != "notice"
        ]
        failed = self.is_bad and not any(level == "error" for level, _, _ in said)
        if failed:
            said.append(("error", "", with_links(self.reason, self.codes)))
        return said
