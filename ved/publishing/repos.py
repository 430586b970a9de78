"""Read the repos that VED publishes to, in few requests: listings, states and build records."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status
from huggingface_hub.utils.sha import git_hash

from ved.errors import ErrorCode, VedError
from ved.hub import repo_info
from ved.hub.answers import MalformedAnswerError
from ved.hub.errors import translated_errors
from ved.hub.repo_info import RepoFile, RepoInfo
from ved.hub.responses import read_limited
from ved.hub.retries import retry_truncated
from ved.record import BuildRecord, RecordedFile, build_record
from ved.record.card import STATE_KEY
from ved.sources.snapshot import PROCESSING_FILES

_FILES_OF_AN_EMPTY_REPO = frozenset({".gitattributes"})
_CHECKPOINT_PATTERNS = (
    *("*.bin", "*.h5", "*.msgpack", "*.safetensors", "*.index.json", "*.pt", "*.ckpt"),
    *chain.from_iterable(PROCESSING_FILES.values()),
)
"""Files of a checkpoint. Libraries would load an old one together with the new ones."""

_LISTED_FIELDS = ("sha", "private", "lastModified", "siblings", "cardData")


@dataclass(frozen=True)
class ListedRepo:
    """A repo in the listing of a namespace.

    Attributes:
        head: the newest commit; "" if unknown.
        private: whether the repo is private.
        modified: the time of the last change, in seconds since 1970.
        fingerprint: the fingerprint in the metadata of the card; "" if the repo has no card of VED.
        card_digest: the card digest in the metadata of the card; "" if there is none.
    """

    head: str
    private: bool
    modified: float
    fingerprint: str
    card_digest: str


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repo.

    Attributes:
        size: bytes.
        git_oid: the id of its git object: 40 hexadecimal digits.
        sha256: the digest of its content, in hexadecimal; None for a file that is in git.
    """

    size: int
    git_oid: str
    sha256: str | None

    def holds(self, recorded: RecordedFile) -> bool | None:
        """Return whether the file has the content of a recorded file; None if that is unknown."""
        if self.sha256 is not None:
            return self.sha256 == recorded.sha256
        if self.git_oid:
            return self.git_oid in (recorded.git_oid, _pointer_oid(recorded))
        # A Hub that reports no digest may report no size.
        return False if self.size not in (0, recorded.size) else None


@dataclass(frozen=True)
class TargetRepo:
    """The state of a repo to publish to.

    Attributes:
        repo: the repo's id.
        head: the newest commit; None if the repo does not exist.
        files: the files, by name.
        private: whether the repo is private; None if the repo does not exist.
        is_inspected: whether the Hub was asked for this repo. A listing that lacks it does not tell
            whether it has moved.
    """

    repo: str
    head: str | None = None
    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    private: bool | None = None
    is_inspected: bool = True

    def __str__(self) -> str:
        return f"{self.repo}@{(self.head or '')[:12]}"

    @property
    def is_empty(self) -> bool:
        """Whether the repo has only the files that the Hub puts into a new repo."""
        return self.files.keys() <= _FILES_OF_AN_EMPTY_REPO

    @property
    def is_foreign(self) -> bool:
        """Whether the repo has files, but no build record of VED."""
        return build_record.FILE_NAME not in self.files and not self.is_empty

    def checkpoint_files(self) -> list[str]:
        """Return the names of the files that libraries load as a checkpoint."""
        return checkpoint_files(self.files)

    def changed(self, published: BuildRecord) -> list[str]:
        """Return the names of files that were changed, deleted or added since VED published.

        Added files count only if libraries load them as a checkpoint. A file whose content is
        unknown does not count; see `ved.publishing.content`.
        """
        changed_or_deleted = (
            name
            for name, recorded in published.files.items()
            if name not in self.files or self.files[name].holds(recorded) is False
        )
        added = (name for name in self.checkpoint_files() if name not in published.files)
        return sorted({*changed_or_deleted, *added})


def _pointer_oid(recorded: RecordedFile) -> str:
    """Return the id of the git object by which git-lfs refers to a file.

    Source: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    """
    version = "https://git-lfs.github.com/spec/v1"
    pointer = f"version {version}\noid sha256:{recorded.sha256}\nsize {recorded.size}\n"
    return git_hash(pointer.encode())


def commit_url(repo: str, commit: str, endpoint: str) -> str:
    """Return the address of the page of a commit.

    Ignores the address that a server reports, because this one becomes a link in summaries.
    """
    return f"{endpoint}/{repo}/commit/{commit}"


def checkpoint_files(names: Iterable[str]) -> list[str]:
    """Return the names of the files that libraries load as a checkpoint, sorted."""
    return sorted(
        name
        for name in names
        if any(fnmatch.fnmatch(name, pattern) for pattern in _CHECKPOINT_PATTERNS)
    )


def list_repos(namespace: str, api: HfApi) -> dict[str, ListedRepo]:
    """Return all repos of a namespace that the token can read, by id in lower case.

    Leaves out repos whose entries are malformed.

    Raises:
        VedError: the Hub does not answer, or refuses.
    """
    with translated_errors(f"list the models of {namespace}", namespace):
        found = repo_info.list_repos(namespace, _LISTED_FIELDS, api)
        return {info.id.lower(): _listed_repo(info) for info in found}


def read_repo(repo: str, api: HfApi) -> TargetRepo:
    """Return the state of a repo, which may not exist.

    Raises:
        VedError: the Hub does not answer, or refuses; or the repo has another name now.
    """
    with translated_errors(f"read {repo}", repo):
        try:
            info = repo_info.fetch_repo(repo, api)
        except RepositoryNotFoundError:
            return TargetRepo(repo)
        if moved_to := repo_info.new_id(repo, info):
            raise VedError(
                f"{repo} has moved: its name is now {moved_to}.",
                f"Write {moved_to} in the manifest, or choose a name that no repo had before.",
                code=ErrorCode.REPO_MOVED,
            )
        return repo_from_info(repo, info)


def repo_from_info(repo: str, info: RepoInfo) -> TargetRepo:
    """Return the state of a repo from the Hub's answer about it.

    Raises:
        MalformedAnswerError: the answer names no commit.
    """
    if info.commit is None:
        raise MalformedAnswerError("the answer names no commit")
    files = {file.name: _remote_file(file) for file in info.files}
    return TargetRepo(repo, info.commit, files, info.private)


def read_record_file(at: TargetRepo, api: HfApi) -> bytes:
    """Return the content of ved.json, or if it is too large for a record, its beginning.

    Args:
        at: a repo at the commit to read.
        api: the client.

    Raises:
        VedError: the file does not exist, or the Hub does not answer, or refuses.
    """
    return read_small_file(at, build_record.FILE_NAME, build_record.MAX_BYTES + 1, api)


def read_small_file(at: TargetRepo, name: str, limit: int, api: HfApi) -> bytes:
    """Return the content of a file, or if it has more than `limit` bytes, its beginning.

    Args:
        at: a repo at the commit to read.
        name: the file.
        limit: the most bytes to read.
        api: the client.

    Raises:
        VedError: the file does not exist, or the Hub does not answer, or refuses.
    """
    url = hf_hub_url(at.repo, name, revision=at.head, endpoint=api.endpoint)
    headers = build_hf_headers(token=api.token)

    def read() -> bytes:
        with get_session().stream("GET", url, headers=headers) as response:
            hf_raise_for_status(response)
            return read_limited(response, limit)

    action = f"read {name} of {at}"
    with translated_errors(action, at.repo):
        return retry_truncated(read, action)


def read_published_record(at: TargetRepo, api: HfApi) -> BuildRecord:
    """Return the build record of a repo that VED published to.

    Raises:
        VedError: the record cannot be read, or is not a build record.
    """
    return build_record.parse_record(read_record_file(at, api), str(at))


def _listed_repo(info: RepoInfo) -> ListedRepo:
    state = info.card.get(STATE_KEY)
    names = {file.name for file in info.files}
    # A card may be copied from a repo of VED. Only a build record makes it count.
    if not isinstance(state, dict) or build_record.FILE_NAME not in names:
        state = {}
    return ListedRepo(
        head=info.commit or "",
        private=bool(info.private),
        modified=info.modified,
        fingerprint=str(state.get("fingerprint", "")),
        card_digest=str(state.get("card_digest", "")),
    )


def _remote_file(file: RepoFile) -> RemoteFile:
    return RemoteFile(file.size or 0, file.git_oid, file.sha256)
