"""All that talks to the Hub about the repos that VED publishes to."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import requests
from huggingface_hub import (
    CommitOperation,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    get_token,
)
from huggingface_hub.errors import HfHubHTTPError

from ved.errors import ErrorCode, VedError
from ved.hub.answers import is_commit
from ved.hub.errors import CONFLICT, PRECONDITION_FAILED, UploadError, status_of, translated_errors
from ved.publishing.repos import TargetRepo
from ved.publishing.repos import read_repo as target_now
from ved.record.build_record import MAX_GIT_BLOB_BYTES


def publish(
    target: TargetRepo,
    directory: Path,
    *,
    private: bool | None,
    api: HfApi,
    pusher: Callable[[str], HfApi] | None = None,
    message: str = "Publish checkpoint assembled by VED",
    whole: bool = True,
) -> str:
    """Publish a directory as the repo's content, in one commit, and return that.

    Args:
        target: the repo, as it was when the decision to publish was made.
        directory: the files; every one is published.
        private: whether the repo is to be private; None leaves it as it is, or to its owner's
            setting if new.
        api: the Hub, to create the repo and to show or hide it.
        pusher: gives the Hub to push to a repo that is there, where that takes another token.
        message: the commit's.
        whole: whether these are all of the checkpoint's files, so that others of it have to go.

    Raises:
        VedError: the Hub refuses, or somebody committed meanwhile; then nothing has changed.
    """
    # Nobody but the owner's token has rights to a repo that is not there yet.
    pushing = pusher(target.repo) if pusher and target.head else api
    _check_no_secret(directory, {api.token or get_token(), pushing.token})
    if target.head is None:
        target = _create(target.repo, private, api)
    # Content that is to be private is never shown, and what is private stays so if this fails.
    if private and target.private is False:
        set_visibility(target.repo, private, api)
    names = sorted(path.name for path in directory.iterdir())
    stale = [name for name in target.checkpoint_files() if whole and name not in names]
    operations: list[CommitOperation] = [
        *(CommitOperationAdd(name, directory / name) for name in names),
        *(CommitOperationDelete(name) for name in stale),
    ]
    with translated_errors(f"publish {target.repo}", target.repo, writing=True):
        commit = _commit(target.repo, operations, message, target.head, pushing)
    if private is False and target.private:
        set_visibility(target.repo, private, api)
    if not is_commit(commit):
        raise VedError(
            f"The Hub says that {target.repo} is at {commit!r}, not a commit.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )
    return commit


def publish_card(
    target: TargetRepo,
    directory: Path,
    *,
    private: bool | None,
    api: HfApi,
    pusher: Callable[[str], HfApi] | None = None,
) -> str:
    """Publish a new model card and its record beside the weights that are there; see `publish`."""
    message = "Publish model card written by VED"
    return publish(
        target, directory, private=private, api=api, pusher=pusher, message=message, whole=False
    )


def set_visibility(repo: str, private: bool, api: HfApi) -> None:
    """Make a repo private or public.

    Raises:
        VedError: the Hub refuses.
    """
    with translated_errors(f"make {repo} {'private' if private else 'public'}", repo, writing=True):
        api.update_repo_settings(repo, private=private)


def _check_no_secret(directory: Path, tokens: Iterable[str | bool | None]) -> None:
    """Make sure that no token is published, such as one that a Hub repeats in a source's file.

    Raises:
        VedError: a file holds one.
    """
    known = [token.encode() for token in tokens if isinstance(token, str)]
    for path in sorted(directory.iterdir()):
        content = path.read_bytes() if path.stat().st_size <= MAX_GIT_BLOB_BYTES else b""
        if any(secret in content for secret in known):
            raise VedError(
                f"{path.name} holds the token that it would be published with.",
                "Do not trust this endpoint, and revoke the token.",
                code=ErrorCode.SECRET_IN_CHECKPOINT,
            )


def _create(repo: str, private: bool | None, api: HfApi) -> TargetRepo:
    """Create a repo, and return what is there then: nothing.

    Raises:
        VedError: the Hub refuses, or somebody was faster.
    """
    with translated_errors(f"create {repo}", repo, writing=True):
        try:
            api.create_repo(repo, private=private)
        except HfHubHTTPError as error:
            # It may be this very request that made it, if the first answer to it was lost.
            if status_of(error) != CONFLICT or not (made := target_now(repo, api)).is_empty:
                raise
            return made
    # Looked at once: whatever comes after is a conflict with what was seen.
    made = target_now(repo, api)
    if not made.is_empty:
        raise VedError(
            f"Cannot publish {repo}: somebody else committed to it meanwhile.",
            "Nothing was changed; run again.",
            code=ErrorCode.CHANGED_MEANWHILE,
        )
    return made


def _commit(
    repo: str, operations: Sequence[CommitOperation], message: str, parent: str | None, api: HfApi
) -> str:
    """Make a commit on a parent that has to be the newest, and return it."""
    run = f"Run {secrets.token_hex(16)}"
    try:
        commit = api.create_commit(
            repo,
            operations,
            commit_message=message,
            commit_description=run,
            parent_commit=parent,
        )
    except RuntimeError as error:
        # Of an upload, and what it is raised from is what failed.
        if not isinstance(error.__cause__, requests.RequestException):
            raise
        raise UploadError from error.__cause__
    except HfHubHTTPError as error:
        if status_of(error) != PRECONDITION_FAILED:
            raise
        # A commit that was made since is this one, if the answer to it was lost.
        for made in api.list_repo_commits(repo):
            if run in made.message:
                return made.commit_id
        raise
    return commit.oid
