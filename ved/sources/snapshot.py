"""One repo at one commit, or one local directory: its files, and their download."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from ved import limits, strict_json
from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.hub.errors import translated_errors
from ved.hub.responses import file_limit
from ved.hub.retries import retry
from ved.hub.xet import explained_transfers, is_truncated
from ved.interruption import thread_pool
from ved.sizes import format_size
from ved.sources.digests import file_sha256
from ved.sources.local_files import check_local_file
from ved.sources.metadata import SourceMetadata

log = logging.getLogger("ved")

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"

WEIGHTS = ("model.safetensors", "flax_model.msgpack")
"""Weight files that VED reads, best first. `<name>.index.json` lists the shards of one."""

PICKLED_WEIGHTS = ("pytorch_model.bin",)
"""Weight files that VED reads only if the manifest allows it, because a pickle is a program."""

PROCESSING_FILES: Mapping[Role, tuple[str, ...]] = {
    "encoder": ("preprocessor_config.json", "processor_config.json"),
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
"""The files of an image processor (encoder) or a tokenizer (decoder). Few sources have all."""

SMALL_FILES: Mapping[Role, tuple[str, ...]] = {
    "encoder": PROCESSING_FILES["encoder"],
    "decoder": (GENERATION_CONFIG, *PROCESSING_FILES["decoder"]),
}
"""The files beside weights and config that decide what is built from a source."""

DOWNLOADS = 4
"""How many files are downloaded at the same time."""


@dataclass(frozen=True)
class Snapshot:
    """A repo at one commit, or a local directory.

    `name` may be published. `str(snapshot)` is for messages on this machine only: for a local
    directory it may be an absolute path.

    Attributes:
        name: the repo's id; for a local directory, its path as in the manifest, or if that path is
            absolute, the directory's own name.
        commit: 40 hexadecimal digits; None for a local directory.
        files: the size of each file, in bytes, by name.
        directory: the local directory; None for a repo.
        metadata: what the authors state about the repo; empty for a local directory.
        sha256: the digests of files in hexadecimal, by name, as far as the Hub reports them.
        private: whether the repo is private.
        workspace: the directory in which the files of a local directory have to be; None for the
            whole machine.
    """

    name: str
    commit: str | None
    files: Mapping[str, int]
    directory: Path | None
    metadata: SourceMetadata = field(default_factory=SourceMetadata)
    sha256: Mapping[str, str] = field(default_factory=dict)
    private: bool = False
    workspace: Path | None = None

    def __str__(self) -> str:
        if self.directory is not None:
            return str(self.directory) if self.directory.is_absolute() else f"./{self.directory}"
        return f"{self.name}@{(self.commit or '')[:12]}"

    def fetch(self, names: Iterable[str], api: HfApi, cache: Path | None = None) -> Path:
        """Download files that are not in the cache, and return the directory that has all of them.

        The files of a local directory are checked instead; see `ved.sources.local_files`.

        Args:
            names: the files.
            api: the client.
            cache: a cache to use in place of huggingface_hub's own.

        Raises:
            VedError: a small file is too large; the download fails, or brings another content than
                the Hub reports; or a file of a local directory may not be read.
        """
        names = list(names)
        _check_file_sizes(self, names)
        if self.directory is not None:
            for name in names:
                check_local_file(self.directory, name, self.workspace)
            return self.directory
        # File by file: huggingface_hub's download of a whole snapshot takes a folder in its cache
        # for complete if the Hub fails between two files.
        with thread_pool(DOWNLOADS) as pool:
            downloads = pool.map(lambda name: self._fetch_file(name, api, cache), sorted(names))
            (directory,) = set(downloads)
        return directory

    def _fetch_file(self, name: str, api: HfApi, cache: Path | None) -> Path:
        """Download a file, check its content, and return the directory of the snapshot."""
        path = self._download(name, api, cache)
        if not self._is_intact(name, path):
            log.info("%s of %s is damaged on this machine. Downloading it again.", name, self)
            path = self._download(name, api, cache, force=True)
        if not self._is_intact(name, path):
            raise VedError(
                f"{name} of {self} was damaged in two downloads: the Hub reports the sha256 "
                f"{self.sha256[name]}, and the file has {file_sha256(path)}.",
                "Run again. If the error persists, the file is damaged on the Hub.",
                code=ErrorCode.DAMAGED_SOURCE,
            )
        return path.parents[name.count("/")]

    def _download(self, name: str, api: HfApi, cache: Path | None, *, force: bool = False) -> Path:
        def download() -> str:
            return api.hf_hub_download(
                self.name, name, revision=self.commit, cache_dir=cache, force_download=force
            )

        action = f"download {name} of {self}"
        # A Hub that reports no size may send as much as for a small file.
        limit = file_limit(self.files[name]) if self.files.get(name) else nullcontext()
        with translated_errors(action, self.name), limit, explained_transfers([name]):
            # huggingface_hub itself continues a download that does not go by Xet.
            return Path(retry(download, is_truncated, "The storage truncated an answer"))

    def _is_intact(self, name: str, path: Path) -> bool:
        """Return whether a file has the sha256 that the Hub reports, if it reports one.

        huggingface_hub checks the sizes of downloads itself.
        """
        return file_sha256(path) == self.sha256[name] if name in self.sha256 else True


def _check_file_sizes(snapshot: Snapshot, names: Iterable[str]) -> None:
    """Refuse small files that are not small, before they are downloaded.

    Raises:
        VedError: a file is larger than its limit.
    """
    for name in names:
        limit = _limit(name)
        size = snapshot.files.get(name, 0)
        if limit is not None and size > limit:
            raise VedError(
                f"{name} of {snapshot} has {format_size(size)}, and VED reads at most "
                f"{format_size(limit)}.",
                "Use another source, or remove from the file what the model does not need.",
                code=ErrorCode.SOURCE_TOO_LARGE,
            )


def _limit(name: str) -> int | None:
    """Return the largest size of a file, in bytes; None for files of weights."""
    if name.endswith(".index.json"):
        return limits.INDEX_BYTES
    is_small = any(name in names for names in (limits.FILE_BYTES, *SMALL_FILES.values()))
    return limits.small_file_bytes(name) if is_small else None


def read_json(snapshot: Snapshot, name: str, api: HfApi) -> dict[str, Any]:
    """Return the JSON object in a file of a snapshot.

    Raises:
        VedError: the download fails, or the file does not contain a JSON object.
    """
    path = snapshot.fetch([name], api) / name
    try:
        with path.open("rb") as file:
            # A local file may have grown since its size was checked.
            content = strict_json.loads(file.read(limits.INDEX_BYTES))
    except (OSError, ValueError) as error:
        cause = f"{name} of {snapshot} cannot be read: {error}."
        raise VedError(cause, code=ErrorCode.DAMAGED_SOURCE) from error
    if not isinstance(content, dict):
        cause = f"{name} of {snapshot} does not contain a JSON object."
        raise VedError(cause, code=ErrorCode.DAMAGED_SOURCE)
    return content
