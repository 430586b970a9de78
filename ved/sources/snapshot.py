"""One repo at one commit, or one local directory: list its files and download them."""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.hub.answers import is_commit, repo_files
from ved.hub.errors import translated_errors
from ved.hub.retries import retry_truncated
from ved.interruption import thread_pool
from ved.manifest.models import ConfigRef
from ved.sources.digests import file_sha256
from ved.sources.metadata import SourceMetadata

log = logging.getLogger("ved")

CONFIG = "config.json"

PROCESSING_FILES: Mapping[Role, tuple[str, ...]] = {
    "encoder": ("preprocessor_config.json",),
    "decoder": (
        "added_tokens.json",
        "bpe.codes",
        "merges.txt",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "spiece.model",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    ),
}
"""The files of an image processor (encoder) or a tokenizer (decoder); few sources have them all."""

DOWNLOADS = 4
"""How many files are downloaded at the same time."""


@dataclass(frozen=True)
class Snapshot:
    """A repo at one commit, or a local directory.

    Attributes:
        name: the repo's id, or what may be published of the directory's path.
        commit: 40 hexadecimal digits; None for a local directory.
        files: the size of each of its files, in bytes, by name.
        directory: the local directory; None for a repo.
        metadata: what its authors state of it; nothing for a local directory.
        sha256: by the Hub's account, of each file that it stores by that, by name.
    """

    name: str
    commit: str | None
    files: Mapping[str, int]
    directory: Path | None
    metadata: SourceMetadata = field(default_factory=SourceMetadata)
    sha256: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.directory is not None:
            return str(self.directory) if self.directory.is_absolute() else f"./{self.directory}"
        return f"{self.name}@{(self.commit or '')[:12]}"

    def fetch(self, names: Iterable[str], api: HfApi, cache: Path | None = None) -> Path:
        """Return a local directory that holds the named files, downloading what is not there.

        Args:
            cache: a cache for downloads in place of huggingface_hub's own.

        Raises:
            VedError: the download fails, or brings another file than the Hub says it stores.
        """
        if self.directory is not None:
            return self.directory

        # One by one: the client's own download of many files takes a folder in its cache for
        # whole when the Hub fails between two of them.
        def download(name: str) -> Path:
            path = self._download(name, api, cache)
            if not self._is_stored(name, path):
                log.info("%s of %s is damaged here, and is downloaded again.", name, self)
                path = self._download(name, api, cache, force=True)
            if not self._is_stored(name, path):
                raise VedError(
                    f"{name} of {self} is stored with sha256 {self.sha256[name]}, and what was "
                    f"downloaded, twice, has {file_sha256(path)}.",
                    "Run again; if that does not help, the Hub has damaged it.",
                    code=ErrorCode.DAMAGED_SOURCE,
                )
            return path.parents[name.count("/")]

        with thread_pool(DOWNLOADS) as pool:
            (directory,) = set(pool.map(download, sorted(names)))
        return directory

    def _download(self, name: str, api: HfApi, cache: Path | None, *, force: bool = False) -> Path:
        def ask() -> str:
            return api.hf_hub_download(
                self.name, name, revision=self.commit, cache_dir=cache, force_download=force
            )

        what = f"download {name} of {self}"
        with translated_errors(what, self.name):
            return Path(retry_truncated(ask, what))

    def _is_stored(self, name: str, path: Path) -> bool:
        """Whether a file is what the Hub stores, where that says so; its client sees to sizes."""
        return file_sha256(path) == self.sha256[name] if name in self.sha256 else True


def pin(ref: ConfigRef, api: HfApi) -> Snapshot:
    """Find out what a reference to a repo or a directory means now, in one request.

    Raises:
        VedError: it is not there, or may not be read.
    """
    if ref.directory is not None:
        return _local_snapshot(ref.model, ref.directory)
    at = f" at {ref.revision}" if ref.revision else ""
    with translated_errors(f"read {ref.model}{at}", ref.model):
        info = api.model_info(ref.model, revision=ref.revision, files_metadata=True)
        found = repo_files(info)
        metadata = SourceMetadata.of(info)
    if not is_commit(info.sha):
        raise VedError(
            f"The Hub says that {ref.model} is at {info.sha!r}, which is not a commit.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )
    files = {each.rfilename: each.size or 0 for each in found}
    digests = {each.rfilename: each.lfs.sha256 for each in found if each.lfs}
    return Snapshot(ref.model, info.sha, files, None, metadata, digests)


def _local_snapshot(name: str, directory: Path) -> Snapshot:
    if not directory.is_dir():
        raise VedError(
            f"There is no directory {directory}.",
            "Check the path.",
            code=ErrorCode.NO_SUCH_DIRECTORY,
        )
    files = {path.name: path.stat().st_size for path in directory.iterdir() if path.is_file()}
    # Where on this machine it lies is nobody else's business.
    shown = directory.name if Path(name).is_absolute() else name
    return Snapshot(shown, None, files, directory)


def read_json(snapshot: Snapshot, name: str, api: HfApi) -> dict[str, Any]:
    """Return the JSON object in a file of a snapshot.

    Raises:
        VedError: the file is missing or damaged.
    """
    if name not in snapshot.files:
        raise VedError(
            f"{snapshot} has no {name}.",
            "Name a transformers checkpoint; another one's config can be used with config:.",
            code=ErrorCode.CONFIG_NOT_USABLE,
        )
    path = snapshot.fetch([name], api) / name
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        cause = f"{name} of {snapshot} cannot be read: {error}."
        raise VedError(cause, code=ErrorCode.DAMAGED_SOURCE) from error
    if not isinstance(content, dict):
        cause = f"{name} of {snapshot} does not hold a JSON object."
        raise VedError(cause, code=ErrorCode.DAMAGED_SOURCE)
    return content
