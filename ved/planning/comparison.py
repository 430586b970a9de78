"""What is to be done for a pair by its repo: what VED published there, and what became of it."""

from dataclasses import replace
from importlib.metadata import version

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.manifest.settings import CheckpointSettings
from ved.planning.actions import Planned
from ved.publishing import repos
from ved.publishing.repos import TargetRepo
from ved.record import build_record, fingerprint
from ved.record.build_record import BuildRecord, RecordedSnapshot
from ved.sources.snapshot import Snapshot
from ved.text import join_limited as in_words

UNCHANGED = "It is as the manifest has it."


def compare_with_repo(planned: Planned, api: HfApi) -> Planned:
    """Return what is to be done for a pair by the state of its repo now.

    Raises:
        VedError: the Hub does not tell, or publishing would overwrite what VED did not make.
    """
    target = repos.read_repo(planned.pair.repo, api)
    planned = replace(planned, target=target)
    if target.head is None:
        return replace(planned, action="build", reason="The repo is new.")
    if target.is_foreign:
        if planned.pair.adopt:
            return replace(planned, action="build", reason="adopt: this replaces what was there.")
        raise VedError(
            f"{target.repo} exists and was not made by VED (it has no {build_record.FILE_NAME}).",
            "Choose another name, or say adopt: true in its pair to replace what is there.",
            code=ErrorCode.REPO_NOT_MADE_BY_VED,
        )
    if build_record.FILE_NAME not in target.files:
        return replace(planned, action="build", reason="There was nothing in the repo.")
    return _compare_with_record(planned, target, api)


def _compare_with_record(planned: Planned, target: TargetRepo, api: HfApi) -> Planned:
    """Decide by what VED published, and by what became of it."""
    pair = planned.pair
    content = repos.read_record_file(target, api)
    try:
        published = build_record.parse_record(content, str(target))
        changed = target.changed(published)
    except VedError as error:
        if not pair.overwrite:
            raise VedError(
                str(error),
                "Say overwrite: true in its pair to replace what is there.",
                code=ErrorCode.CHANGED_SINCE,
            ) from error
        return replace(planned, action="build", reason="overwrite: this replaces what was there.")
    if changed and not pair.overwrite:
        raise VedError(
            f"{target.repo} is no longer what VED published: somebody changed {in_words(changed)}.",
            "Say overwrite: true in its pair to replace that, or take the pair out.",
            code=ErrorCode.CHANGED_SINCE,
        )
    if changed:
        reason = f"overwrite: somebody changed {in_words(changed)}."
        return replace(planned, action="build", reason=reason)
    if published.fingerprint != planned.fingerprint:
        return replace(planned, action="build", reason=_difference(planned, published))
    to_turn = pair.private is not None and pair.private != target.private
    if published.card_digest != planned.card_digest:
        reason = "Only what the model card says has changed."
    elif to_turn:
        reason = f"It is to be {'private' if pair.private else 'public'}."
    else:
        return replace(planned, action="skip", reason=UNCHANGED)
    return replace(planned, action="card-only", reason=reason, published=published)


def _difference(planned: Planned, published: BuildRecord) -> str:
    """Say what has changed since a checkpoint was published."""
    settings, before = CheckpointSettings.of(planned.pair), published.settings
    changes = [
        f"{name} {old} is now {new}"
        for name in ("token_ids", "seed", "dtype", "weights")
        if (old := _shown(getattr(before, name))) != (new := _shown(getattr(settings, name)))
    ]
    for role, pinned in planned.pinned.items():
        source = published.sources[role]
        if _identity(source) != _identity(pinned.snapshot):
            changes.append(f"{role} {source} is now {pinned.snapshot}")
        elif _identity(source.config) != _identity(pinned.config_snapshot):
            changes.append(f"{role}'s config {source.config} is now {pinned.config_snapshot}")
    for name in fingerprint.REPRODUCIBILITY_LIBRARIES:
        if published.versions.get(name) != version(name):
            changes.append(f"{name} {published.versions.get(name)} is now {version(name)}")
    # What neither has a commit nor is said in the manifest.
    return f"{'; '.join(changes) or 'The files of a local source have changed'}."


def _identity(source: Snapshot | RecordedSnapshot) -> tuple[str, str | None]:
    return source.name, source.commit


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in value.items()) or "not given"
    return ", ".join(sorted(value)) if isinstance(value, tuple) else str(value)
