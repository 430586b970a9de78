"""The repos that VED publishes to, as they are now: read from the Hub in few requests."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from huggingface_hub import (
    HfApi,
    hf_hub_url,
)
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from ved.hub.answers import is_commit, repo_files
from ved.hub.errors import translated_errors
from ved.hub.http import read_limited, retry_truncated
from ved.record import build_record
from ved.record.build_record import BuildRecord, RecordedFile
from ved.record.card import STATE_KEY
from ved.sources.snapshot import PROCESSING_FILES


def commit_url(repo: str, commit: str, endpoint: str) -> str:
    """Return where a person can look at a commit.

    It is not the address that a server gives, because it goes into summaries as a link.
    """
    return f"{endpoint}/{repo}/commit/{commit}"


_EMPTY_REPO = frozenset({".gitattributes"})
_CHECKPOINT = (
    *("*.bin", "*.h5", "*.msgpack", "*.safetensors", "*.index.json", "*.pt", "*.ckpt"),
    *chain.from_iterable(PROCESSING_FILES.values()),
)
"""Files of a checkpoint: an old one beside the new ones would be loaded with them."""

_EXPANDED = ("sha", "private", "lastModified", "siblings", "cardData")


@dataclass(frozen=True)
class ListedRepo:
    """What a namespace's listing tells of a repo.

    Attributes:
        head: its newest commit.
        private: whether only its owners see it.
        modified: when it was last changed, in seconds since 1970.
        fingerprint: what its card says that it was built from; empty without such a card.
        card_digest: the digest of what its card says besides.
    """

    head: str
    private: bool
    modified: float
    fingerprint: str
    card_digest: str


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repo; it has a sha256 where the Hub stores it outside git."""

    size: int
    git_oid: str
    sha256: str | None

    def holds(self, recorded: RecordedFile) -> bool:
        """Whether it has the content that a record tells of."""
        if self.sha256 is not None:
            return self.sha256 == recorded.sha256
        return self.git_oid == recorded.git_oid


@dataclass(frozen=True)
class TargetRepo:
    """A repo to publish to, as it is now.

    Attributes:
        repo: its id.
        head: its newest commit; None where there is no repo.
        files: its files, by name.
        private: whether only its owners see it; None where there is no repo.
    """

    repo: str
    head: str | None = None
    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    private: bool | None = None

    def __str__(self) -> str:
        return f"{self.repo}@{(self.head or '')[:12]}"

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing but what the Hub puts into a new repo."""
        return self.files.keys() <= _EMPTY_REPO

    @property
    def is_foreign(self) -> bool:
        """Whether it holds something that VED did not publish."""
        return build_record.FILE_NAME not in self.files and not self.is_empty

    def checkpoint_files(self) -> list[str]:
        """Return the names of the files that are loaded as a checkpoint."""
        return checkpoint_files(self.files)

    def changed(self, published: BuildRecord) -> list[str]:
        """Return the names of the files that are not what VED published there."""
        gone_or_other = (
            name
            for name, recorded in published.files.items()
            if name not in self.files or not self.files[name].holds(recorded)
        )
        added = (name for name in self.checkpoint_files() if name not in published.files)
        return sorted({*gone_or_other, *added})


def checkpoint_files(names: Iterable[str]) -> list[str]:
    """Return those of a folder's files that are loaded as a checkpoint."""
    return sorted(
        name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in _CHECKPOINT)
    )


def list_repos(namespace: str, api: HfApi) -> dict[str, ListedRepo]:
    """Return what a namespace's listing tells of every repo in it, by its id in lower case.

    Raises:
        VedError: the Hub does not tell.
    """
    with translated_errors(f"list the models of {namespace}", namespace):
        found = api.list_models(author=namespace, expand=[*_EXPANDED])
        return {info.id.lower(): _listed_repo(info) for info in found}


def read_repo(repo: str, api: HfApi) -> TargetRepo:
    """Return the state of a repo to publish to.

    Raises:
        VedError: the Hub does not tell.
    """
    with translated_errors(f"read {repo}", repo):
        try:
            info = api.model_info(repo, files_metadata=True)
        except RepositoryNotFoundError:
            return TargetRepo(repo)
        return repo_from_info(repo, info)


def repo_from_info(repo: str, info: ModelInfo) -> TargetRepo:
    """Return a repo at a commit as the Hub describes it with its files.

    Raises:
        TypeError: the description is not in the Hub's form.
    """
    if not is_commit(info.sha):
        raise TypeError(f"{info.sha!r} is not a commit")
    files = {sibling.rfilename: _remote_file(sibling) for sibling in repo_files(info)}
    return TargetRepo(repo, info.sha, files, info.private)


def read_record_file(at: TargetRepo, api: HfApi) -> bytes:
    """Return what is in the ved.json of a repo; of one that is too large, not all.

    Raises:
        VedError: it cannot be had.
    """
    url = hf_hub_url(at.repo, build_record.FILE_NAME, revision=at.head, endpoint=api.endpoint)
    headers = build_hf_headers(token=api.token)

    def ask() -> bytes:
        with get_session().get(url, headers=headers, stream=True) as response:
            hf_raise_for_status(response)
            return read_limited(response, build_record.MAX_BYTES + 1)

    what = f"read {build_record.FILE_NAME} of {at}"
    with translated_errors(what, at.repo):
        return retry_truncated(ask, what)


def read_published_record(at: TargetRepo, api: HfApi) -> BuildRecord:
    """Return the build record in a repo that VED published to.

    Raises:
        VedError: it cannot be had, or is none.
    """
    return build_record.parse_record(read_record_file(at, api), str(at))


def _listed_repo(info: ModelInfo) -> ListedRepo:
    state = info.card_data.get(STATE_KEY) if info.card_data else None
    if not isinstance(state, dict) or build_record.FILE_NAME not in {
        sibling.rfilename for sibling in info.siblings or ()
    }:
        state = {}
    return ListedRepo(
        head=info.sha if is_commit(info.sha) else "",
        private=bool(info.private),
        modified=info.last_modified.timestamp() if info.last_modified else 0.0,
        fingerprint=str(state.get("fingerprint", "")),
        card_digest=str(state.get("card_digest", "")),
    )


def _remote_file(sibling: RepoSibling) -> RemoteFile:
    digest = sibling.lfs.sha256 if sibling.lfs else None
    return RemoteFile(sibling.size or 0, sibling.blob_id or "", digest)
