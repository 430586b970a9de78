"""What is to be done for each pair, and why: build, a new card only, nothing, or a refusal.

The state of the world lives on the Hub. Sources are asked for once each, however many pairs share
them. Of targets, one listing of each namespace tells which are as the manifest has them; only the
others are looked at one by one, and of those the few that were changed last.
"""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from ved.errors import ErrorCode, VedError, as_ved_error
from ved.families.family import Role
from ved.hub import account, card_validation
from ved.hub.access import HubAccess
from ved.interruption import thread_pool
from ved.manifest.models import ConfigRef, Pair, SourceRef
from ved.manifest.settings import CheckpointSettings
from ved.planning.actions import Planned
from ved.planning.comparison import UNCHANGED, compare_with_repo
from ved.planning.findings import Findings
from ved.publishing import collections, repos
from ved.publishing.repos import ListedRepo
from ved.record import build_record, card
from ved.record.fingerprint import compute_fingerprint
from ved.sources.snapshot import Snapshot, pin
from ved.sources.source import Pinned

if TYPE_CHECKING:
    # Importing it imports jax and transformers, which a plan without a build does not need.
    from ved.planning.preflight import Preflight


log = logging.getLogger("ved")

LOOKS = 5
"""How many of the repos that seem to be as they should are looked at closely: those changed last.
A listing does not tell whether somebody has trained there."""

NOT_COLLECTED = "But it is not in its collection."

CHECKED = ("build", "refuse")

REQUESTS = 8
"""How many requests are made at the same time."""

_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")
_Name: TypeAlias = tuple[str, str | None]
_Snapshots: TypeAlias = Mapping[_Name, Snapshot | VedError]
_Listings: TypeAlias = Mapping[str, dict[str, ListedRepo] | VedError]


@dataclass(frozen=True)
class PlanContext:
    """What a plan depends on besides the manifest.

    Attributes:
        access: the ways to the Hub.
        namespaces: those that may be published to, in lower case; None where nobody knows.
        allowed: those that the user allows, in lower case; None for all.
        push: whether checkpoints are to be published.
        output_directory: where to keep what is built, as `<owner>/<name>`.
        max_disk: bytes of disk that a build may take; None for all that is free.
    """

    access: HubAccess
    namespaces: frozenset[str] | None = None
    allowed: frozenset[str] | None = None
    push: bool = True
    output_directory: Path | None = None
    max_disk: int | None = None


def make_plan(pairs: Sequence[Pair], circumstances: PlanContext) -> list[Planned]:
    """Return what is to be done for each pair, in their order.

    Nothing is written to the Hub, and no weight is read.
    """
    planner = _Planner(circumstances)
    plan = planner.compare(pairs)
    if any(planned.action in CHECKED for planned in plan):
        plan = planner.check(plan)
    return plan


class _Planner:
    def __init__(self, circumstances: PlanContext) -> None:
        self.circumstances = circumstances
        self.api = circumstances.access.api

    def compare(self, pairs: Sequence[Pair]) -> list[Planned]:
        """Decide by what the manifest, sources and targets are, but for what the sources hold."""
        snapshots = self._pin(pairs)
        plan = [self._identify(pair, snapshots) for pair in pairs]
        if self.circumstances.push:
            plan = self._compare_with_collections(self._compare_with_hub(plan))
        if self.circumstances.output_directory is not None:
            plan = [self._compare_with_disk(planned) for planned in plan]
        return plan

    def check(self, plan: Sequence[Planned]) -> list[Planned]:
        """Find what is wrong with the sources, as far as can be known without the weights.

        Also where a pair is refused already: all that is wrong with it is said at once.
        """
        from ved.planning.preflight import Preflight

        with tempfile.TemporaryDirectory(prefix=".ved-headers-") as name:
            limit = self.circumstances.max_disk
            preflight = Preflight(self.api, Path(name), limit)
            return [
                self._checked(planned, preflight) if planned.action in CHECKED else planned
                for planned in plan
            ]

    def _checked(self, planned: Planned, preflight: "Preflight") -> Planned:
        found = preflight.check(planned.pair, planned.pinned)
        findings = Findings(found.findings)
        if self.circumstances.access.has_token or self.circumstances.access.publisher:
            sources = [pinned.snapshot for pinned in planned.pinned.values()]
            with findings.about("license"):
                metadata = card.card_metadata(
                    planned.pair, sources, planned.fingerprint, planned.card_digest
                )
                card_validation.validate_card(metadata, planned.pair.repo, self.api)
        planned = replace(planned, needs=found.needs, sources=found.sources)
        return planned.with_findings(findings)

    def _pin(self, pairs: Sequence[Pair]) -> _Snapshots:
        """Find out what every reference of the manifest means now, each once."""
        refs: dict[_Name, ConfigRef] = {}
        for pair in pairs:
            for ref in (pair.encoder, pair.decoder, pair.encoder.config, pair.decoder.config):
                if ref is not None:
                    refs[_name(ref)] = ref
        found = map_concurrently(
            lambda ref: _or_error(lambda: pin(ref, self.api)), [*refs.values()]
        )
        return dict(zip(refs, found, strict=True))

    def _identify(self, pair: Pair, snapshots: _Snapshots) -> Planned:
        """Work out what a pair would be built from; refuse what nobody could build or publish."""
        findings = Findings()
        pinned: dict[Role, Pinned] = {}
        refs: dict[Role, SourceRef] = {"encoder": pair.encoder, "decoder": pair.decoder}
        for role, ref in refs.items():
            with findings.about(role):
                snapshot = _raised(snapshots[_name(ref)])
                config = _raised(snapshots[_name(ref.config)]) if ref.config else snapshot
                pinned[role] = Pinned(snapshot, config, ref.allow_pickle)
                pinned[role].identity(role, self.api)  # a local directory may have none
        if self.circumstances.push:
            with findings.about("repo"):
                self._check_target(pair)
            if pair.collection:
                with findings.about(collections.KEY):
                    self._check_collection(pair.collection)
        fingerprint = ""
        if not findings:
            with findings.about("encoder"):
                fingerprint = compute_fingerprint(
                    pinned["encoder"], pinned["decoder"], CheckpointSettings.of(pair), self.api
                )
        sources = [each.snapshot for each in pinned.values()]
        digest = card.card_digest(pair, sources, self.api.endpoint)
        planned = Planned(pair, "build", "", (), pinned, fingerprint, digest)
        return planned.with_findings(findings)

    def _check_target(self, pair: Pair) -> None:
        if pair.repo.lower() in (pair.encoder.model.lower(), pair.decoder.model.lower()):
            raise VedError(
                f"{pair.repo} is one of its own sources, which publishing would replace.",
                "Choose another name.",
                code=ErrorCode.REPO_IS_ITS_OWN_SOURCE,
            )
        if self.circumstances.allowed is not None:
            account.check_allowed(pair.repo, self.circumstances.allowed)
        if self.circumstances.namespaces is not None:
            account.check_namespace(pair.repo, self.circumstances.namespaces)

    def _check_collection(self, name: str) -> None:
        if self.circumstances.allowed is not None:
            account.check_allowed(name, self.circumstances.allowed)
        collections.check_collection(name, self.circumstances.access, self.circumstances.namespaces)

    def _compare_with_hub(self, plan: Sequence[Planned]) -> list[Planned]:
        names = [*dict.fromkeys(_namespace(planned) for planned in plan if planned.pending)]
        found = map_concurrently(
            lambda name: _or_error(lambda: repos.list_repos(name, self.api)), names
        )
        listings = dict(zip(names, found, strict=True))
        told = [self._compare_with_listing(planned, listings) for planned in plan]
        # Of those that seem to be right, most are taken at the listing's word.
        alike = [planned for planned in told if planned.action == "skip" and planned.listed]
        alike.sort(key=lambda planned: planned.listed.modified if planned.listed else 0)
        taken = {planned.pair.repo for planned in alike[: -LOOKS or None]}

        def looked(planned: Planned) -> Planned:
            if planned.action == "refuse" or planned.pair.repo in taken:
                return planned
            findings, found = Findings(), planned
            with findings.about("repo"):
                # Where there is something to push, who may push can see what is there.
                to_push = planned.action == "build"
                api = self.circumstances.access.to(planned.pair.repo) if to_push else self.api
                found = compare_with_repo(planned, api)
            return found.with_findings(findings)

        return map_concurrently(looked, told)

    def _compare_with_collections(self, plan: Sequence[Planned]) -> list[Planned]:
        """Find out which of those that are as they should be are not in their collections."""
        alike = [planned.pair for planned in plan if planned.action == "skip"]
        missing = collections.find_uncollected(alike, self.api)
        return [
            replace(planned, to_collect=True, reason=f"{planned.reason} {NOT_COLLECTED}")
            if planned.pair.repo in missing
            else planned
            for planned in plan
        ]

    def _compare_with_listing(self, planned: Planned, listings: _Listings) -> Planned:
        if planned.action == "refuse":
            return planned
        findings = Findings()
        listing: dict[str, ListedRepo] = {}
        with findings.about("repo"):
            listing = _raised(listings[_namespace(planned)])
        known = listing.get(planned.pair.repo.lower())
        private = planned.pair.private
        as_it_should_be = (
            known is not None
            and (known.fingerprint, known.card_digest) == (planned.fingerprint, planned.card_digest)
            and private in (None, known.private)
            and not planned.pair.overwrite
        )
        if as_it_should_be:
            planned = replace(planned, action="skip", reason=UNCHANGED, listed=known)
        return planned.with_findings(findings)

    def _compare_with_disk(self, planned: Planned) -> Planned:
        """Build what is not kept on disk as it should be, whatever the Hub has."""
        if planned.action == "refuse":
            return planned
        assert self.circumstances.output_directory is not None
        path = self.circumstances.output_directory / planned.pair.repo / build_record.FILE_NAME
        try:
            kept = build_record.parse_record(path.read_bytes(), str(path))
        except (OSError, VedError):
            kept = None
        alike = kept and (kept.fingerprint, kept.card_digest) == (
            planned.fingerprint,
            planned.card_digest,
        )
        if not alike and (planned.action != "build" or not self.circumstances.push):
            return replace(planned, action="build", reason="It is not in the output directory.")
        if alike and not self.circumstances.push:
            return replace(planned, action="skip", reason="It is in the output directory already.")
        return planned


def _namespace(planned: Planned) -> str:
    return planned.pair.repo.partition("/")[0]


def _name(ref: ConfigRef) -> _Name:
    return ref.model, ref.revision


def map_concurrently(
    function: Callable[[_Asked], _Answer], asked: Sequence[_Asked]
) -> list[_Answer]:
    """Return what a function returns for each item, calling it for several at a time."""
    with thread_pool(REQUESTS) as pool:
        return list(pool.map(function, asked))


def _or_error(function: Callable[[], _Answer]) -> _Answer | VedError:
    """Return a failure, for each pair that it concerns to raise; what nobody foresaw is logged."""
    try:
        return function()
    except Exception as error:
        if not isinstance(error, VedError | OSError):
            log.error("Unexpected error", exc_info=error)
        return as_ved_error(error)


def _raised(answer: _Answer | VedError) -> _Answer:
    if isinstance(answer, VedError):
        # Raised for many pairs, one and the same would have a longer traceback for each.
        raise VedError(answer.cause, answer.remedy, code=answer.code)
    return answer
