"""Compare a pair with the listing of its namespace, its repo, and the output directory."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.manifest.settings import CheckpointSettings
from ved.planning.actions import (
    AddToCollection,
    BuildCandidate,
    ComparedAction,
    IdentifiedPair,
    Refuse,
    RenewCard,
    SetVisibility,
    Skip,
    with_findings,
)
from ved.planning.findings import Findings
from ved.planning.options import RunOptions
from ved.publishing import content, repos
from ved.publishing.repos import ListedRepo, TargetRepo
from ved.record import BuildRecord, RecordedSnapshot, build_record, fingerprint
from ved.record.fingerprint import version
from ved.record.output_directory import check_output_directory, has_all_files, read_output_directory
from ved.sources.snapshot import Snapshot
from ved.text import join_limited

# Reasons are true before and after a run: plans and results have the same ones.
UP_TO_DATE = "Up to date."

NEW = "New repo."

Listings: TypeAlias = Mapping[str, dict[str, ListedRepo] | None]
"""By namespace: its repos, by their ids in lower case; None if they cannot be listed."""


def compare_with_repo(subject: IdentifiedPair, api: HfApi) -> ComparedAction:
    """Return what to do for a pair, given the present state of its repo.

    Raises:
        VedError: the Hub does not give the state, or publishing would overwrite content that VED
            did not publish.
    """
    target = repos.read_repo(subject.pair.repo, api)
    if target.head is None:
        return BuildCandidate(subject, NEW, target)
    if content.is_new(target, api):
        return BuildCandidate(subject, "Empty repo.", target)
    if target.is_foreign:
        if subject.pair.adopt:
            return BuildCandidate(subject, "adopt: true, to replace the repo's content.", target)
        raise VedError(
            f"{target.repo} exists without {build_record.FILE_NAME}: VED did not create it.",
            "Choose another name, or set adopt: true in its pair to replace its content.",
            code=ErrorCode.FOREIGN_REPO,
        )
    return _compare_with_record(subject, target, api)


def _compare_with_record(subject: IdentifiedPair, target: TargetRepo, api: HfApi) -> ComparedAction:
    """Return what to do for a repo that VED published to."""
    pair = subject.pair
    record = repos.read_record_file(target, api)
    try:
        published = build_record.parse_record(record, str(target))
        changed, unknown = content.find_changes(target, published, api)
    except VedError as error:
        if not pair.overwrite:
            raise VedError(
                str(error),
                "Set overwrite: true in its pair to replace the repo's content.",
                code=ErrorCode.CHANGED_SINCE,
            ) from error
        return BuildCandidate(subject, "overwrite: true, to replace the repo's content.", target)
    findings = Findings()
    if unknown:
        findings.warn(
            "repo",
            f"The Hub reports no digest of {join_limited(unknown)} of {target.repo}, so VED cannot "
            "tell whether somebody changed it.",
            ErrorCode.CHANGED_SINCE,
        )
    if changed and not pair.overwrite:
        raise VedError(
            f"{target.repo} was changed since VED published it: {join_limited(changed)}.",
            "Set overwrite: true in its pair to replace the changes, or remove the pair.",
            code=ErrorCode.CHANGED_SINCE,
        )
    return with_findings(_action(subject, target, published, changed), findings)


def _action(
    subject: IdentifiedPair, target: TargetRepo, published: BuildRecord, changed: Sequence[str]
) -> ComparedAction:
    """Return what to do for a repo whose changes, if there are any, may be overwritten."""
    pair = subject.pair
    if changed:
        reason = f"overwrite: true, to replace changes of {join_limited(changed)}."
        return BuildCandidate(subject, reason, target)
    if published.fingerprint != subject.fingerprint:
        return BuildCandidate(subject, _difference(subject, published), target)
    if published.card_digest != subject.card_digest:
        return RenewCard(subject, "Only the model card has changed.", target, published)
    if pair.private is not None and pair.private != target.private:
        old, new = ("public", "private") if pair.private else ("private", "public")
        reason = f"Visibility: from {old} to {new}."
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
    if published.assembly_version != fingerprint.ASSEMBLY_VERSION:
        changes.append("this version of VED assembles other bytes")
    # The rest of the fingerprint: files of a local directory, which have no commit.
    return f"{'; '.join(changes) or 'The files of a local source have changed'}."


def _name_and_commit(source: Snapshot | RecordedSnapshot) -> tuple[str, str | None]:
    return source.name, source.commit


def _format(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in value.items()) or "not given"
    return ", ".join(sorted(value)) if isinstance(value, tuple) else str(value)


def compare_with_listing(
    action: BuildCandidate | Refuse, listings: Listings, options: RunOptions
) -> BuildCandidate | Skip | Refuse:
    """Return a `Skip` if the listing of the namespace says that the repo is up to date."""
    if isinstance(action, Refuse):
        return action
    pair, subject = action.pair, action.subject
    known = listed_repo(action, listings)
    is_up_to_date = (
        (known.fingerprint, known.card_digest) == (subject.fingerprint, subject.card_digest)
        and pair.private in (None, known.private)
        and not pair.overwrite
        and _is_kept(subject, options)
    )
    return Skip(subject, UP_TO_DATE, known.head) if is_up_to_date else action


def compare_with_directory(action: ComparedAction, options: RunOptions) -> ComparedAction:
    """Return a `BuildCandidate` if the output directory lacks what the repo may have already."""
    assert options.output_directory is not None
    if isinstance(action, Refuse):
        return action
    if not _is_kept(action.subject, options):
        if not options.push or not isinstance(action, BuildCandidate):
            reason = "Missing or outdated in the output directory."
            target = None if isinstance(action, AddToCollection) else action.target
            action = BuildCandidate(action.subject, reason, target)
    elif not options.push:
        return Skip(action.subject, "Up to date in the output directory.", None)
    findings = Findings()
    if isinstance(action, BuildCandidate):
        with findings.about("repo"):
            check_output_directory(options.output_directory / action.pair.repo)
    return with_findings(action, findings)


def _is_kept(subject: IdentifiedPair, options: RunOptions) -> bool:
    """Return whether the output directory, if there is one, has the whole checkpoint."""
    if options.output_directory is None:
        return True
    directory = options.output_directory / subject.pair.repo
    kept = read_output_directory(directory)
    digests = subject.fingerprint, subject.card_digest
    return (
        kept is not None
        and (kept.fingerprint, kept.card_digest) == digests
        and has_all_files(directory, kept)
    )


def namespace_of(action: ComparedAction) -> str:
    """Return the user or organization of the repo."""
    return action.pair.repo.partition("/")[0]


def is_absent(action: ComparedAction, listings: Listings) -> bool:
    """Return whether the listing of the namespace lacks the repo of a pair to build."""
    if not isinstance(action, BuildCandidate):
        return False
    listing = listings[namespace_of(action)]
    return listing is not None and action.pair.repo.lower() not in listing


def listed_repo(action: ComparedAction, listings: Listings) -> ListedRepo:
    """Return what the listing of its namespace says of a repo, if there is one."""
    listing = listings[namespace_of(action)] or {}
    return listing.get(action.pair.repo.lower()) or ListedRepo("", False, 0.0, "", "")
