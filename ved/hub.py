"""All that talks to the Hub about the repos that VED publishes to."""

import re
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
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from ved.errors import RequestError, VedError
from ved.hub_errors import CONFLICT, PRECONDITION_FAILED, UploadError, explained, status_of
from ved.record import SMALL
from ved.source import is_commit
from ved.targets import Target
from ved.targets import target as target_now


def known_namespaces(api: HfApi) -> frozenset[str] | None:
    """Return what `writable_namespaces` does, or None where there is no token.

    Raises:
        RequestError: the token is not valid.
    """
    token = api.token or get_token()
    if token is None:
        return None
    return writable_namespaces(api, must_write=False)


def writable_namespaces(api: HfApi, *, must_write: bool = True) -> frozenset[str]:
    """Return the user and the organisations that the token can publish to, in lower case.

    Args:
        must_write: whether a token that can only read is refused; otherwise its account counts.

    Raises:
        RequestError: there is no token, or it is not valid, or can only read.
    """
    token = api.token or get_token()
    if not isinstance(token, str):
        raise RequestError(
            "There is no token, so nothing can be published.",
            "Give one that can write: the action's input token, or the variable HF_TOKEN.",
            see="no-token",
        )
    if not re.fullmatch("[!-~]+", token):
        raise RequestError(
            "The token has characters that no token has, such as a space or a line break.",
            "Paste it anew where it is kept.",
            see="token-not-valid",
        )
    try:
        with explained("log in to the Hub"):
            account = api.whoami()
    except VedError as error:
        raise RequestError(error.cause, error.remedy, error.see) from error
    try:
        role = account["auth"]["accessToken"].get("role")
        writable = [each for each in account["orgs"] if each.get("roleInOrg") != "read"]
        names = frozenset(each["name"].lower() for each in (account, *writable))
    except (AttributeError, KeyError, TypeError) as error:
        raise RequestError(
            "The Hub does not say in its own form whose token this is.", "Check the endpoint."
        ) from error
    if role == "read" and must_write:
        raise RequestError(
            "The token can only read, so nothing can be published.",
            "Make one with the role 'write' in the Hub's settings.",
            see="token-may-not-write",
        )
    return names


def check_namespace(repo: str, namespaces: frozenset[str]) -> None:
    """Make sure that a repo is in a namespace that the token can publish to.

    Raises:
        VedError: it is not.
    """
    namespace = repo.partition("/")[0]
    if namespace.lower() not in namespaces:
        raise VedError(
            f"The token may not publish to {namespace}.",
            f"It may publish to {', '.join(sorted(namespaces))}: check the name in the manifest, "
            "or use a token of a member.",
            see="token-may-not-write",
        )


def check_allowed(repo: str, allowed: frozenset[str]) -> None:
    """Make sure that a repo is in a namespace that the user allows.

    Raises:
        VedError: it is not.
    """
    namespace = repo.partition("/")[0]
    if namespace.lower() not in allowed:
        raise VedError(
            f"Publishing to {namespace} is not allowed here.",
            f"The input allowed-namespaces has {', '.join(sorted(allowed))}.",
        )


def check_card(metadata: str, repo: str, api: HfApi) -> None:
    """Have the Hub check a model card's metadata, before anything is built or created for it.

    Args:
        metadata: the card's YAML.

    Raises:
        VedError: the Hub would refuse the card.
    """
    card = {"content": f"---\n{metadata}\n---\n", "repoType": "model"}
    with explained(f"describe {repo}", repo, writing=True):
        response = get_session().post(
            f"{api.endpoint}/api/validate-yaml",
            json=card,
            headers=build_hf_headers(token=api.token),
        )
        hf_raise_for_status(response)


def publish(
    target: Target,
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
    with explained(f"publish {target.repo}", target.repo, writing=True):
        commit = _commit(target.repo, operations, message, target.head, pushing)
    if private is False and target.private:
        set_visibility(target.repo, private, api)
    if not is_commit(commit):
        raise VedError(f"The Hub says that {target.repo} is at {commit!r}, not a commit.")
    return commit


def publish_card(
    target: Target,
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


def commit_url(repo: str, commit: str, api: HfApi) -> str:
    """Return where a person can look at a commit.

    It is not the address that a server gives, because it goes into summaries as a link.
    """
    return f"{api.endpoint}/{repo}/commit/{commit}"


def set_visibility(repo: str, private: bool, api: HfApi) -> None:
    """Make a repo private or public.

    Raises:
        VedError: the Hub refuses.
    """
    with explained(f"make {repo} {'private' if private else 'public'}", repo, writing=True):
        api.update_repo_settings(repo, private=private)


def _check_no_secret(directory: Path, tokens: Iterable[str | bool | None]) -> None:
    """Make sure that no token is published, such as one that a Hub repeats in a source's file.

    Raises:
        VedError: a file holds one.
    """
    known = [token.encode() for token in tokens if isinstance(token, str)]
    for path in sorted(directory.iterdir()):
        content = path.read_bytes() if path.stat().st_size <= SMALL else b""
        if any(secret in content for secret in known):
            raise VedError(
                f"{path.name} holds the token that it would be published with.",
                "Do not trust this endpoint, and revoke the token.",
            )


def _create(repo: str, private: bool | None, api: HfApi) -> Target:
    """Create a repo, and return what is there then: nothing.

    Raises:
        VedError: the Hub refuses, or somebody was faster.
    """
    with explained(f"create {repo}", repo, writing=True):
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
            see="changed-meanwhile",
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
