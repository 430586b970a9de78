"""Read what a Hub reports about repos. Strange metadata of one repo never affect another one.

huggingface_hub has classes for these answers. They fail for a whole listing if the card of one repo
has a key such as `self`, which anybody can write into a README.md. So VED reads the JSON itself.

Source of the format: https://huggingface.co/docs/hub/api, and huggingface_hub's class ModelInfo.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import parse_datetime, validate_repo_id

from ved.hub import pages
from ved.hub.answers import MalformedAnswerError, is_commit
from ved.text import first_line, quoted

log = logging.getLogger("ved")

_REPO_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)

_MAX_GIT_BYTES = 10 * 2**20
"""The size of the largest file, in bytes, that the Hub stores in git. Larger ones have a sha256."""


@dataclass(frozen=True)
class RepoFile:
    """A file of a repo, as the Hub reports it.

    Attributes:
        name: the path in the repo.
        size: bytes; None if the Hub does not report it.
        git_oid: the id of its git object: 40 hexadecimal digits; "" if unknown.
        sha256: the digest of an LFS file, in hexadecimal; None for other files.
    """

    name: str
    size: int | None = None
    git_oid: str = ""
    sha256: str | None = None


@dataclass(frozen=True)
class RepoInfo:
    """A repo at a commit, as the Hub reports it.

    Attributes:
        id: owner/name.
        commit: 40 hexadecimal digits; None if the Hub reports none.
        private: whether the repo is private; None if the Hub does not report it.
        gated: "auto", "manual" or False. A Hub may report another value, unchecked.
        modified: the time of the last change, in seconds since 1970; 0 if unknown.
        files: the files.
        card: the metadata of the card, with unchecked values; empty without a card.
    """

    id: str
    commit: str | None = None
    private: bool | None = None
    gated: object = False
    modified: float = 0.0
    files: tuple[RepoFile, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)


def fetch_repo(repo: str, api: HfApi, revision: str | None = None) -> RepoInfo:
    """Return what the Hub reports about a repo, in one request.

    Args:
        repo: the repo's id.
        api: the client.
        revision: a branch, a tag or a commit; None for the newest commit.

    Raises:
        HfHubHTTPError: the Hub refuses.
        MalformedAnswerError: the answer does not describe a repo.
    """
    validate_repo_id(repo)
    at = f"/revision/{quote(revision, safe='')}" if revision else ""
    answer = pages.fetch_json(f"{api.endpoint}/api/models/{repo}{at}", {"blobs": True}, api)
    info = parse_repo(answer)
    return _with_digests(info, repo, api) if any(map(_lacks_digest, info.files)) else info


def new_id(repo: str, info: RepoInfo) -> str | None:
    """Return the present id of a repo that was renamed or transferred; None if it was not.

    Args:
        repo: the id that was asked for, perhaps without an owner.
        info: the answer, to which the Hub has redirected the request.
    """
    has_moved = info.id.lower() != repo.lower() and _REPO_ID.fullmatch(info.id)
    return info.id if has_moved else None


def _lacks_digest(file: RepoFile) -> bool:
    is_large = (file.size or 0) > _MAX_GIT_BYTES
    return file.sha256 is None and (is_large or not file.git_oid)


def _with_digests(info: RepoInfo, repo: str, api: HfApi) -> RepoInfo:
    """Return a repo with the digests of its tree: some Hubs list them only there.

    A digest that the tree lacks, too, stays unknown.
    """
    url = f"{api.endpoint}/api/models/{repo}/tree/{info.commit}"
    try:
        entries = [*pages.fetch_pages(url, {"recursive": True}, api)] if info.commit else []
    except (HfHubHTTPError, MalformedAnswerError) as error:
        log.info("The Hub does not list the files of %s: %s", repo, first_line(error))
        return info
    listed = dict(filter(None, map(_parse_tree_entry, entries)))
    files = tuple(
        replace(file, git_oid=found[0], sha256=found[1])
        if _lacks_digest(file) and (found := listed.get(file.name))
        else file
        for file in info.files
    )
    return replace(info, files=files)


def _parse_tree_entry(entry: object) -> tuple[str, tuple[str, str | None]] | None:
    """Return the name of a file with its git id and sha256; None for any other entry."""
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        return None
    lfs, oid = entry.get("lfs"), entry.get("oid")
    sha256 = lfs.get("oid") if isinstance(lfs, dict) else None
    is_digest = isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256)
    return entry["path"], (oid if is_commit(oid) else "", sha256 if is_digest else None)


def list_repos(namespace: str, fields: Sequence[str], api: HfApi) -> Iterator[RepoInfo]:
    """Yield what the Hub reports about each repo of a namespace.

    Leaves out a repo whose entry is malformed, and logs that.

    Args:
        namespace: a user or an organization.
        fields: the fields of the Hub's API to request for each repo.
        api: the client.

    Raises:
        HfHubHTTPError: the Hub refuses.
        MalformedAnswerError: the answer is not a listing, or has no end.
    """
    options = {"author": namespace, "expand": [*fields]}
    for entry in pages.fetch_pages(f"{api.endpoint}/api/models", options, api):
        try:
            yield parse_repo(entry)
        except MalformedAnswerError as error:
            log.warning("The listing of %s has a malformed entry: %s", namespace, error)


def parse_repo(answer: object) -> RepoInfo:
    """Return a repo from the Hub's JSON about it.

    A malformed card or time is ignored: only the owner of the repo can write one, and VED compares
    files and commits, not these.

    Raises:
        MalformedAnswerError: the answer is not an object, or the id or a file is malformed.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
        raise MalformedAnswerError(f"{quoted(repr(answer))} does not describe a repo")
    files, card, private = answer.get("siblings"), answer.get("cardData"), answer.get("private")
    if not isinstance(files, list | None):
        raise MalformedAnswerError(f"{quoted(repr(files))} are not the files of a repo")
    return RepoInfo(
        id=answer["id"],
        commit=answer["sha"] if is_commit(answer.get("sha")) else None,
        private=private if isinstance(private, bool) else None,
        gated=answer.get("gated") or False,
        modified=_parse_time(answer.get("lastModified")),
        files=tuple(_parse_file(each) for each in files or ()),
        card=card if isinstance(card, dict) else {},
    )


def _parse_file(entry: object) -> RepoFile:
    """Return a file from its entry.

    Raises:
        MalformedAnswerError: the name is not text, the size is not a number, or a digest not text.
    """
    if not isinstance(entry, dict):
        raise MalformedAnswerError(f"{quoted(repr(entry))} is not a file")
    name, size, git_oid = entry.get("rfilename"), entry.get("size"), entry.get("blobId")
    lfs = entry.get("lfs") or {}
    sha256 = lfs.get("sha256") if isinstance(lfs, dict) else lfs
    has_size = size is None or (type(size) is int and size >= 0)
    if not (
        isinstance(name, str)
        and has_size
        and isinstance(git_oid, str | None)
        and isinstance(sha256, str | None)
    ):
        raise MalformedAnswerError(f"{quoted(repr(entry))} is not a file")
    return RepoFile(name, size, git_oid or "", sha256)


def _parse_time(value: object) -> float:
    """Return the seconds since 1970 of a time in the Hub's format; 0 for anything else."""
    try:
        return parse_datetime(value).timestamp() if isinstance(value, str) else 0.0
    except (ValueError, OverflowError):
        return 0.0
