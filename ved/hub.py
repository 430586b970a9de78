"""All that talks to the Hub about the repos that VED publishes to."""

import fnmatch
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from ved.errors import RequestError, VedError
from ved.hub_errors import explained
from ved.record import FILE_NAME as RECORD
from ved.source import PROCESSING_FILES, is_commit

_EMPTY_REPO = frozenset({".gitattributes"})
_REPLACED = (
    *("*.bin", "*.h5", "*.msgpack", "*.safetensors", "*.index.json", "*.pt", "*.ckpt"),
    *chain.from_iterable(PROCESSING_FILES.values()),
)
"""Files of a checkpoint: an old one beside the new ones would be loaded with them."""


@dataclass(frozen=True)
class Target:
    """A repo to publish to, as it is now.

    Attributes:
        repo: its id.
        head: its newest commit; None where there is no repo.
        files: the names of its files.
        private: whether only its owners see it; None where there is no repo.
    """

    repo: str
    head: str | None = None
    files: frozenset[str] = frozenset()
    private: bool | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether it holds something that VED did not publish."""
        return RECORD not in self.files and not self.files <= _EMPTY_REPO


@dataclass(frozen=True)
class Published:
    """A commit that was made.

    Attributes:
        commit: 40 hexadecimal digits.
        url: where a person can look at it.
    """

    commit: str
    url: str


def writable_namespaces(api: HfApi) -> frozenset[str]:
    """Return the user and the organisations that the token can publish to, in lower case.

    Raises:
        RequestError: there is no token, or it is not valid, or can only read.
    """
    token = api.token or get_token()
    if not isinstance(token, str):
        raise RequestError(
            "There is no token, so nothing can be published.",
            "Give one that can write: the action's input token, or the variable HF_TOKEN.",
        )
    if not re.fullmatch("[!-~]+", token):
        raise RequestError(
            "The token has characters that no token has, such as a space or a line break.",
            "Paste it anew where it is kept.",
        )
    try:
        with explained("log in to the Hub"):
            account = api.whoami()
    except VedError as error:
        raise RequestError(error.cause, error.remedy) from error
    try:
        role = account["auth"]["accessToken"].get("role")
        writable = [each for each in account["orgs"] if each.get("roleInOrg") != "read"]
        names = frozenset(each["name"].lower() for each in (account, *writable))
    except (AttributeError, KeyError, TypeError) as error:
        raise RequestError(
            "The Hub does not say in its own form whose token this is.", "Check the endpoint."
        ) from error
    if role == "read":
        raise RequestError(
            "The token can only read, so nothing can be published.",
            "Make one with the role 'write' in the Hub's settings.",
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
            f"It may publish to {', '.join(sorted(namespaces))}: check the repo's name in the "
            "manifest, or use a token of a member.",
        )


def target(repo: str, api: HfApi) -> Target:
    """Return the state of a repo to publish to.

    Raises:
        VedError: the Hub does not tell.
    """
    with explained(f"read {repo}", repo):
        try:
            info = api.model_info(repo)
        except RepositoryNotFoundError:
            return Target(repo)
    files = frozenset(file.rfilename for file in info.siblings or ())
    return Target(repo, info.sha, files, info.private)


def check_ownership(target: Target, adopt: bool) -> None:
    """Make sure that publishing overwrites nothing that VED did not make.

    Raises:
        VedError: the repo is somebody's work, and the manifest does not say to adopt it.
    """
    if target.is_foreign and not adopt:
        raise VedError(
            f"{target.repo} exists and was not made by VED (it has no {RECORD}).",
            "Choose another name, or say adopt: true in its pair to replace what is there.",
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


def publish(target: Target, directory: Path, *, private: bool | None, api: HfApi) -> Published:
    """Publish a directory as the repo's content, in one commit.

    Args:
        target: the repo, as it was when the decision to publish was made.
        directory: the files; every one is published.
        private: whether the repo is to be private; None leaves it as it is, or to its owner's
            setting if new.

    Raises:
        VedError: the Hub refuses, or somebody committed meanwhile; then nothing has changed.
    """
    parent = target.head or _create(target.repo, private, api)
    # Content that is to be private is never shown, and what is private stays so if this fails.
    if private and target.private is False:
        _set_visibility(target.repo, private, api)
    names = sorted(path.name for path in directory.iterdir())
    stale = [
        name
        for name in sorted(target.files.difference(names))
        if any(fnmatch.fnmatch(name, pattern) for pattern in _REPLACED)
    ]
    with explained(f"publish {target.repo}", target.repo, writing=True):
        commit = api.create_commit(
            target.repo,
            [
                *(CommitOperationAdd(name, directory / name) for name in names),
                *(CommitOperationDelete(name) for name in stale),
            ],
            commit_message="Publish checkpoint assembled by VED",
            parent_commit=parent,
        )
    if private is False and target.private:
        _set_visibility(target.repo, private, api)
    if not is_commit(commit.oid):
        raise VedError(f"The Hub says that {target.repo} is at {commit.oid!r}, not a commit.")
    # Not the address that the server gives: it goes into summaries as a link.
    return Published(commit.oid, f"{api.endpoint}/{target.repo}/commit/{commit.oid}")


def _create(repo: str, private: bool | None, api: HfApi) -> str | None:
    """Create a repo, and return the commit that it begins with."""
    with explained(f"create {repo}", repo, writing=True):
        api.create_repo(repo, private=private)
        return api.model_info(repo).sha


def _set_visibility(repo: str, private: bool, api: HfApi) -> None:
    with explained(f"make {repo} {'private' if private else 'public'}", repo, writing=True):
        api.update_repo_settings(repo, private=private)
