"""The planned actions: what a run does for each pair, and why. There is one type for each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeAlias, TypeVar

from ved.examination.report import Examination
from ved.families.family import Role
from ved.manifest.pair_models import Pair
from ved.planning.findings import Finding
from ved.publishing.repos import TargetRepo
from ved.record import BuildRecord
from ved.sources import Pinned, ResolvedSource

ActionName = Literal["build", "card-only", "skip", "refuse"]
"""The names of planned actions in outputs. All changes without new weights are `card-only`: a new
model card, another visibility, and an item in a collection."""


@dataclass(frozen=True)
class IdentifiedPair:
    """A pair, and everything that decides what its repo should contain.

    Attributes:
        pair: the entry of the manifest.
        pinned: the sources at their commits, by role; without a source that cannot be read.
        fingerprint: the digest of everything that decides the checkpoint's bytes; "" if a source
            cannot be read.
        card_digest: the digest of everything else on the model card.
        findings: what is wrong with the pair, or worth knowing.
    """

    pair: Pair
    pinned: Mapping[Role, Pinned]
    fingerprint: str
    card_digest: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class ResourceEstimate:
    """The resources that building a pair takes.

    Attributes:
        sources: bytes to download, by source; 0 for a local directory.
        output: bytes of the checkpoint.
        memory: bytes of memory, roughly.
    """

    sources: Mapping[str, int]
    output: int
    memory: int


@dataclass(frozen=True)
class _Action:
    """The fields of all planned actions.

    Attributes:
        subject: the pair that it is for.
        reason: why it is done, as a sentence.
    """

    subject: IdentifiedPair
    reason: str

    @property
    def pair(self) -> Pair:
        """The entry of the manifest."""
        return self.subject.pair

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the pair, or worth knowing."""
        return self.subject.findings


@dataclass(frozen=True)
class BuildCandidate(_Action):
    """Build the pair if its sources pass the preflight.

    Attributes:
        target: the repo to publish to; None if nothing is published.
    """

    target: TargetRepo | None


@dataclass(frozen=True)
class Build(BuildCandidate):
    """Build the checkpoint, publish it, keep it, or both.

    Attributes:
        sources: the sources with their configs, by role.
        estimate: what building takes.
        examinations: the examinations of the sources, by role.
    """

    name: ClassVar[ActionName] = "build"
    sources: Mapping[Role, ResolvedSource]
    estimate: ResourceEstimate
    examinations: Mapping[Role, Examination] = field(default_factory=dict)


@dataclass(frozen=True)
class RenewCard(_Action):
    """Publish a new model card and record; leave the weights unchanged.

    Attributes:
        target: the repo to publish to.
        published: the build record in it.
    """

    name: ClassVar[ActionName] = "card-only"
    target: TargetRepo
    published: BuildRecord


@dataclass(frozen=True)
class SetVisibility(_Action):
    """Make the repo private or public; leave its content unchanged.

    Attributes:
        target: the repo.
        private: whether to make it private.
    """

    name: ClassVar[ActionName] = "card-only"
    target: TargetRepo
    private: bool


@dataclass(frozen=True)
class Skip(_Action):
    """Do nothing: the repo, or the output directory, is up to date.

    Attributes:
        head: the newest commit of the repo; None if nothing is published.
        target: the repo; None if only the listing of its namespace was read.
    """

    name: ClassVar[ActionName] = "skip"
    head: str | None
    target: TargetRepo | None = None


@dataclass(frozen=True)
class AddToCollection(_Action):
    """Add the repo to its collection, or move it there; the repo itself is up to date.

    Attributes:
        head: the newest commit of the repo.
    """

    name: ClassVar[ActionName] = "card-only"
    head: str


@dataclass(frozen=True)
class Refuse(_Action):
    """Do nothing, because of the errors among the findings."""

    name: ClassVar[ActionName] = "refuse"


PlannedAction: TypeAlias = Build | RenewCard | SetVisibility | AddToCollection | Skip | Refuse
ComparedAction: TypeAlias = (
    BuildCandidate | RenewCard | SetVisibility | AddToCollection | Skip | Refuse
)
"""An action before the preflight."""

_SomeAction = TypeVar("_SomeAction", bound=_Action)


def is_pending(action: PlannedAction) -> bool:
    """Return whether there is anything to do."""
    return not isinstance(action, Skip | Refuse)


def with_findings(action: _SomeAction, findings: Iterable[Finding]) -> _SomeAction | Refuse:
    """Return an action with further findings; a `Refuse` if there is an error among them."""
    known = tuple(dict.fromkeys((*action.findings, *findings)))
    subject = replace(action.subject, findings=known)
    errors = [finding.message for finding in known if finding.level == "error"]
    return Refuse(subject, " ".join(errors)) if errors else replace(action, subject=subject)
