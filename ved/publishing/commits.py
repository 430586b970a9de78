"""Publish to a repo: create it, commit a checkpoint or a card, and set its visibility."""

import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import httpx2
from huggingface_hub import (
    CommitOperation,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_token,
)
from huggingface_hub.errors import HfHubHTTPError

from ved.errors import ErrorCode, VedError
from ved.hub import pages
from ved.hub.answers import RefusedAnswerError, commit_with, is_commit
from ved.hub.errors import CONFLICT, PRECONDITION_FAILED, UploadError, status_of, translated_errors
from ved.hub.rate_limits import is_long_limit
from ved.hub.repo_info import fetch_repo
from ved.hub.xet import NoXetError, explained_transfers
from ved.publishing.content import is_new
from ved.publishing.deduplication import learn_sources
from ved.publishing.leaks import check_no_secret
from ved.publishing.repos import TargetRepo, read_repo

log = logging.getLogger("ved")

_NO_LOCK = nullcontext()


class _Committer(HfApi):
    """A client that does not ask the Hub to validate a card before a commit validates it."""

    def _validate_yaml(self, *_: object, **__: object) -> None:
        pass


class VisibilityError(VedError):
    """A commit was published, but the Hub refused to make the repo public afterwards.

    Args:
        repo: the repo.
        commit: the published commit.
        reason: why the Hub refused.
    """

    def __init__(self, repo: str, commit: str, reason: VedError) -> None:
        super().__init__(
            f"Published {repo} as {commit}, but the repo is still private. {reason.cause}",
            f"{reason.remedy} The next run makes it public.".strip(),
            code=ErrorCode.VISIBILITY_NOT_CHANGED,
        )
        self.commit = commit


def publish(
    target: TargetRepo,
    directory: Path,
    *,
    private: bool | None,
    api: HfApi,
    pusher: Callable[[str], HfApi] | None = None,
    on_commit: Callable[[str], None] | None = None,
    message: str = "Publish checkpoint assembled by VED",
    whole: bool = True,
    sources: Sequence[Path] = (),
    on_sources_read: Callable[[], None] | None = None,
    transfer: AbstractContextManager[object] = _NO_LOCK,
) -> str:
    """Publish the files of a directory in one commit, and return the commit.

    Creates the repo if it does not exist. Commits on the head of `target`, so that nobody's commit
    is overwritten. Returns the head if the repo has all of it already.

    Args:
        target: the repo, as the plan saw it.
        directory: the files; every one is published.
        private: whether the repo becomes private; None keeps the visibility of an existing repo,
            and gives a new one the owner's default.
        api: the client that creates the repo and sets its visibility.
        pusher: returns the client that commits to an existing repo; `api` if None.
        on_commit: called with the commit as soon as it exists.
        message: the commit's message.
        whole: whether `directory` has the whole checkpoint, so that other files of a checkpoint are
            deleted from the repo.
        sources: the weight files that the checkpoint has tensors of.
        on_sources_read: called as soon as `sources` are not needed any more.
        transfer: is entered while large files are uploaded, before the commit.

    Raises:
        VisibilityError: the commit was published, but the repo is still private.
        VedError: the Hub refuses, or somebody committed meanwhile. Nothing was committed.
    """
    # Only the owner's token may create a repo.
    keyless = pusher if target.head else None

    def client() -> HfApi:
        return keyless(target.repo) if keyless else api

    committer = client()
    check_no_secret(directory, message, {api.token or get_token(), committer.token})
    is_own = False
    if target.head is None:
        if not target.is_inspected:
            read_repo(target.repo, api)  # refuses a repo that has moved
        target, is_own = _create_repo(target.repo, private, api)
    # Private before the commit and public after it: private content is never public.
    if private and not target.private:
        set_visibility(target.repo, private, api)
    names = sorted(path.name for path in directory.iterdir())
    stale = [name for name in target.checkpoint_files() if whole and name not in names]
    learn_sources(target.repo, sources, committer)
    if on_sources_read:
        on_sources_read()
    while True:
        operations: list[CommitOperation] = [
            *(CommitOperationAdd(name, directory / name) for name in names),
            *(CommitOperationDelete(name) for name in stale),
        ]
        try:
            with translated_errors(f"publish {target.repo}", target.repo, writing=True):
                _upload(target.repo, operations, committer, transfer)
                commit = _commit(target.repo, operations, message, target.head, committer)
            break
        except VedError as error:
            # An upload may take longer than the token is valid that it began with. The content
            # that it has sent by then is not sent again.
            expired = committer.token
            if error.code == ErrorCode.TOKEN_NOT_VALID and (committer := client()).token != expired:
                log.info("%s: The token has expired. Continuing with a new one.", target.repo)
                continue
            if is_own and is_long_limit(error):
                _delete_empty_repo(target, api)
            raise
    if on_commit:
        on_commit(commit)
    if private is False and target.private:
        try:
            set_visibility(target.repo, private, api)
        except VedError as error:
            raise VisibilityError(target.repo, commit, error) from error
    return commit


def publish_card(
    target: TargetRepo,
    directory: Path,
    *,
    private: bool | None,
    api: HfApi,
    pusher: Callable[[str], HfApi] | None = None,
    on_commit: Callable[[str], None] | None = None,
) -> str:
    """Publish a model card and its record, leave the weights unchanged, and return the commit.

    See `publish` for arguments and errors.
    """
    return publish(
        target,
        directory,
        private=private,
        api=api,
        pusher=pusher,
        on_commit=on_commit,
        message="Publish model card written by VED",
        whole=False,
    )


def set_visibility(repo: str, private: bool, api: HfApi) -> None:
    """Make a repo private or public.

    Raises:
        VedError: the Hub refuses.
    """
    action = f"make {repo} {'private' if private else 'public'}"
    try:
        with translated_errors(action, repo, writing=True):
            api.update_repo_settings(repo, private=private)
            is_private = fetch_repo(repo, api).private
    except VedError as error:
        code = ErrorCode.VISIBILITY_NOT_CHANGED
        raise VedError(error.cause, error.remedy, code=code) from error
    # A Hub may answer with success and ignore the setting.
    if is_private is not private:
        raise VedError(
            f"Cannot {action}: the Hub does not do it.",
            "Check the repo's settings on the Hub, and the rules of its owner.",
            code=ErrorCode.VISIBILITY_NOT_CHANGED,
        )


def _create_repo(repo: str, private: bool | None, api: HfApi) -> tuple[TargetRepo, bool]:
    """Create a repo; return its state, which is empty, and whether this call surely created it.

    Raises:
        VedError: the Hub refuses, or somebody else created the repo meanwhile.
    """
    with translated_errors(f"create {repo}", repo, writing=True):
        try:
            api.create_repo(repo, private=private)
        except HfHubHTTPError as error:
            # The first answer may be lost, so that the retried request meets its own repo. It may
            # also be an empty one that somebody else has created since the plan.
            if status_of(error) != CONFLICT or not is_new(created := read_repo(repo, api), api):
                raise
            return created, False
    # Read at once: a later change by somebody else is a conflict with this state.
    created = read_repo(repo, api)
    if not is_new(created, api):
        raise VedError(
            f"Cannot publish {repo}: somebody else committed to it meanwhile.",
            "Nothing was changed; run again.",
            code=ErrorCode.CHANGED_MEANWHILE,
        )
    return created, True


def _delete_empty_repo(created: TargetRepo, api: HfApi) -> None:
    """Delete a repo that this call has created, unless somebody has committed to it since.

    A repo that cannot be deleted stays empty, and the next run publishes to it.
    """
    action = f"delete {created.repo}, which is empty"
    try:
        with translated_errors(action, created.repo, writing=True):
            if read_repo(created.repo, api).head == created.head:
                api.delete_repo(created.repo)
    except VedError as error:
        log.warning("%s", error)


def _upload(
    repo: str,
    operations: Sequence[CommitOperation],
    api: HfApi,
    transfer: AbstractContextManager[object],
) -> None:
    """Upload the large files of a commit that follows."""
    additions = [each for each in operations if isinstance(each, CommitOperationAdd)]
    try:
        with transfer, explained_transfers():
            api.preupload_lfs_files(repo, additions)
    except NoXetError:
        log.debug("The Hub has no Xet. Large files are sent by LFS from now on.")
        constants.HF_HUB_DISABLE_XET = True
        _upload(repo, operations, api, transfer)
    except RuntimeError as error:
        # huggingface_hub raises it for a failed upload, from the error of the request.
        if not isinstance(error.__cause__, httpx2.HTTPError | RefusedAnswerError):
            raise
        raise UploadError from error.__cause__


def _commit(
    repo: str, operations: Sequence[CommitOperation], message: str, parent: str | None, api: HfApi
) -> str:
    """Commit on a parent that must be the head, and return the new commit.

    Raises:
        VedError: the Hub names no commit.
    """
    run = f"Run {secrets.token_hex(16)}"
    try:
        commit = _Committer(api.endpoint, token=api.token).create_commit(
            repo,
            operations,
            commit_message=message,
            commit_description=run,
            parent_commit=parent,
        )
    except HfHubHTTPError as error:
        if status_of(error) != PRECONDITION_FAILED:
            raise
        # The answer may be lost, so that the retried request meets its own commit.
        newest = pages.fetch_json(f"{api.endpoint}/api/models/{repo}/commits/main", {}, api)
        own = commit_with(run, newest if isinstance(newest, list) else ())
        if own is None:
            raise
        return own
    if not is_commit(commit.oid):
        raise VedError(
            f"The Hub reports {commit.oid!r} as the new commit of {repo}, which is not a commit "
            "id.",
            "Check that the endpoint is the address of a Hub.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )
    return commit.oid
