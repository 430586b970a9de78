"""Compare a pair with its repo: build, renew the card, change the visibility, skip or refuse."""

from importlib.metadata import version

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.manifest.settings import CheckpointSettings
from ved.planning.actions import (
    BuildCandidate,
    ComparedAction,
    IdentifiedPair,
    RenewCard,
    SetVisibility,
    Skip,
)
from ved.publishing import repos
from ved.publishing.repos import TargetRepo
from ved.record import BuildRecord, RecordedSnapshot, build_record, fingerprint
from ved.sources.snapshot import Snapshot
from ved.text import join_limited

UP_TO_DATE = "Up to date."


def compare_with_repo(subject: IdentifiedPair, api: HfApi) -> ComparedAction:
    """Return what to do for a pair, given the present state of its repo.

    Raises:
        VedError: the Hub does not give the state, or publishing would overwrite content that VED
            did not publish.
    """
    target = repos.read_repo(subject.pair.repo, api)
    if target.head is None:
        return BuildCandidate(subject, "The repo is new.", target)
    if target.is_foreign:
        if subject.pair.adopt:
            return BuildCandidate(subject, "adopt: replaces the repo's content.", target)
        raise VedError(
            f"{target.repo} exists without {build_record.FILE_NAME}: VED did not create it.",
            "Choose another name, or say adopt: true in its pair to replace its content.",
            code=ErrorCode.FOREIGN_REPO,
        )
    if build_record.FILE_NAME not in target.files:
        return BuildCandidate(subject, "The repo is empty.", target)
    return _compare_with_record(subject, target, api)


def _compare_with_record(subject: IdentifiedPair, target: TargetRepo, api: HfApi) -> ComparedAction:
    """Return what to do for a repo that VED published to."""
    pair = subject.pair
    content = repos.read_record_file(target, api)
    try:
        published = build_record.parse_record(content, str(target))
        changed = target.changed(published)
    except VedError as error:
        if not pair.overwrite:
            raise VedError(
                str(error),
                "Say overwrite: true in its pair to replace the repo's content.",
                code=ErrorCode.CHANGED_SINCE,
            ) from error
        return BuildCandidate(subject, "overwrite: replaces the repo's content.", target)
    if changed and not pair.overwrite:
        raise VedError(
            f"{target.repo} was changed since VED published it: {join_limited(changed)}.",
            "Say overwrite: true in its pair to replace the changes, or remove the pair.",
            code=ErrorCode.CHANGED_SINCE,
        )
    if changed:
        reason = f"overwrite: replaces changes of {join_limited(changed)}."
        return BuildCandidate(subject, reason, target)
    if published.fingerprint != subject.fingerprint:
        return BuildCandidate(subject, _difference(subject, published), target)
    if published.card_digest != subject.card_digest:
        return RenewCard(subject, "Only the model card has changed.", target, published)
    if pair.private is not None and pair.private != target.private:
        reason = f"The repo becomes {'private' if pair.private else 'public'}."
        return SetVisibility(subject, reason, target, pair.private)
    return Skip(subject, UP_TO_DATE, target.head, target)


def _difference(subject: IdentifiedPair, published: BuildRecord) -> str:
    """Return as a sentence what has changed since a checkpoint was published."""
    settings, before = CheckpointSettings.of(subject.pair), published.settings
    changes = [
        f"{name} was {old}, is {new}"
        for name in ("token_ids", "seed", "dtype", "weights")
        if (old := _format(getattr(before, name))) != (new := _format(getattr(settings, name)))
    ]
    for role, pinned in subject.pinned.items():
        source = published.sources[role]
        if _name_and_commit(source) != _name_and_commit(pinned.snapshot):
            changes.append(f"{role} was {source}, is {pinned.snapshot}")
        elif _name_and_commit(source.config) != _name_and_commit(pinned.config_snapshot):
            changes.append(f"{role}'s config was {source.config}, is {pinned.config_snapshot}")
    for name in fingerprint.REPRODUCIBILITY_LIBRARIES:
        if published.versions.get(name) != version(name):
            changes.append(f"{name} was {published.versions.get(name)}, is {version(name)}")
    # Only local files can have changed: they have no commit and no key in the manifest.
    return f"{'; '.join(changes) or 'The files of a local source have changed'}."


def _name_and_commit(source: Snapshot | RecordedSnapshot) -> tuple[str, str | None]:
    return source.name, source.commit


def _format(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in value.items()) or "not given"
    return ", ".join(sorted(value)) if isinstance(value, tuple) else str(value)
