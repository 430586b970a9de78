"""A pair with what is to be done for it, and why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from huggingface_hub import HfApi

from ved.families.family import Role
from ved.manifest.models import Pair
from ved.planning.findings import Finding
from ved.planning.matrix import PairCost
from ved.publishing import repos
from ved.publishing.repos import ListedRepo, TargetRepo
from ved.record.build_record import BuildRecord
from ved.results import result
from ved.results.result import Result
from ved.sources.source import Pinned, ResolvedSource

if TYPE_CHECKING:
    # Importing it imports jax and transformers, which a plan without a build does not need.
    from ved.planning.preflight import ResourceEstimate


Action = Literal["build", "card-only", "skip", "refuse"]


@dataclass(frozen=True)
class Planned:
    """What is to be done for a pair.

    Attributes:
        pair: the pair.
        action: what is to be done.
        reason: why.
        findings: what is wrong with it, or worth knowing.
        pinned: its sources at their commits, where they can be had.
        fingerprint: of what it would be built from; empty where a source cannot be had.
        card_digest: the digest of what its card would say besides.
        listed: what its namespace's listing tells of its repo.
        target: its repo; None where it was not looked at closely.
        published: the record of what is there, where that is to get a new card.
        needs: what building it takes, where it is to be built.
        sources: its sources with their configs, where it is to be built.
        to_collect: whether its repo is not in the collection that the pair names.
    """

    pair: Pair
    action: Action
    reason: str
    findings: tuple[Finding, ...] = ()
    pinned: Mapping[Role, Pinned] = field(default_factory=dict)
    fingerprint: str = ""
    card_digest: str = ""
    listed: ListedRepo | None = None
    target: TargetRepo | None = None
    published: BuildRecord | None = None
    needs: "ResourceEstimate | None" = None
    sources: Mapping[Role, ResolvedSource] = field(default_factory=dict)
    to_collect: bool = False

    @property
    def pending(self) -> bool:
        """Whether there is anything to do."""
        return self.action in ("build", "card-only") or self.to_collect

    def result(
        self,
        action: result.Action,
        api: HfApi,
        commit: str | None = None,
        size: int = 0,
        seconds: float = 0.0,
    ) -> Result:
        """Return what became of the pair, at a commit or at the one that its repo is at."""
        head = commit or (self._head if self.action == "skip" else None)
        return Result(
            self.pair,
            action,
            self.reason,
            self.findings,
            self.fingerprint,
            head,
            head and repos.commit_url(self.pair.repo, head, api),
            size,
            seconds,
        )

    def as_result(self, api: HfApi) -> Result:
        """Return what is to become of the pair."""
        size = sum(self.needs.sources.values()) + self.needs.output if self.needs else 0
        return self.result(self.action, api, size=size)

    @property
    def job(self) -> PairCost:
        """The pair as something to be dealt out to shards."""
        if self.needs is None:
            return PairCost(self.pair.repo, {}, 0)
        return PairCost(self.pair.repo, self.needs.sources, self.needs.output)

    @property
    def _head(self) -> str | None:
        if self.target is not None:
            return self.target.head
        return self.listed.head if self.listed is not None else None

    def with_findings(self, findings: Iterable[Finding]) -> "Planned":
        """Return it with further findings; with an error among them it is refused."""
        known = replace(self, findings=tuple(dict.fromkeys((*self.findings, *findings))))
        errors = [finding.message for finding in known.findings if finding.level == "error"]
        return replace(known, action="refuse", reason=" ".join(errors)) if errors else known
