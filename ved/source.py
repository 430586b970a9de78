"""One pretrained checkpoint at one commit: what it is, and its files on this machine.

A reference is resolved first, to the commit it means now. Everything after that speaks of the
commit: downloads fetch only the files that are used, and loading happens from the local copy alone.
A local directory has no commit; the digests of its files stand for it.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard

from huggingface_hub import HfApi
from huggingface_hub.hf_api import ModelInfo, RepoSibling

from ved.connection import patiently
from ved.errors import VedError
from ved.families import Family, Role, family
from ved.hub_errors import explained
from ved.manifest import ConfigRef, SourceRef
from ved.process import hands
from ved.stated import Stated

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

WEIGHTS = ("model.safetensors", "flax_model.msgpack")
"""Weight files that VED reads, best first. `<name>.index.json` lists the shards of one."""

PICKLED_WEIGHTS = ("pytorch_model.bin",)
"""Weight files that VED reads only where the manifest allows it, because they are programs."""

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
        stated: what its authors state of it; nothing for a local directory.
        sha256: by the Hub's account, of each file that it stores by that, by name.
    """

    name: str
    commit: str | None
    files: Mapping[str, int]
    directory: Path | None
    stated: Stated = field(default_factory=Stated)
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
                    f"downloaded, twice, has {sha256(path)}.",
                    "Run again; if that does not help, the Hub has damaged it.",
                    see="damaged-source",
                )
            return path.parents[name.count("/")]

        with hands(DOWNLOADS) as pool:
            (directory,) = set(pool.map(download, sorted(names)))
        return directory

    def _download(self, name: str, api: HfApi, cache: Path | None, *, force: bool = False) -> Path:
        def ask() -> str:
            return api.hf_hub_download(
                self.name, name, revision=self.commit, cache_dir=cache, force_download=force
            )

        what = f"download {name} of {self}"
        with explained(what, self.name):
            return Path(patiently(ask, what))

    def _is_stored(self, name: str, path: Path) -> bool:
        """Whether a file is what the Hub stores, where that says so; its client sees to sizes."""
        return sha256(path) == self.sha256[name] if name in self.sha256 else True


@dataclass(frozen=True)
class Pinned:
    """What a reference means now.

    Attributes:
        snapshot: the checkpoint.
        config_snapshot: where its config comes from: the checkpoint, unless the manifest names
            another repo or directory.
        allow_pickle: whether its weights may be a pickle.
    """

    snapshot: Snapshot
    config_snapshot: Snapshot
    allow_pickle: bool = False

    def identity(self, role: Role, api: HfApi) -> dict[str, Any]:
        """Return all that decides what is made of it, as JSON.

        A local directory has no commit: the digests of the files that are used stand for it.

        Raises:
            VedError: it is a local directory without usable weights.
            OSError: a file of a local directory cannot be read.
        """
        names = {CONFIG, *PROCESSING_FILES[role]}
        if self.snapshot.directory is not None:
            names |= {*_select_weights(self.snapshot, self.allow_pickle, api)}
        return {
            **_identity(self.snapshot, names),
            "config": _identity(self.config_snapshot, {CONFIG}),
        }


@dataclass(frozen=True)
class ResolvedSource:
    """A checkpoint that is known to exist, with nothing but its config downloaded.

    Attributes:
        role: what it becomes.
        pinned: the checkpoint, and where its config comes from.
        config: the content of config.json.
        family: what is known of its family.
        weights: the names of the weight files, in order.
    """

    role: Role
    pinned: Pinned
    config: Mapping[str, Any]
    family: Family
    weights: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.snapshot)

    @property
    def snapshot(self) -> Snapshot:
        """The checkpoint."""
        return self.pinned.snapshot

    @property
    def config_snapshot(self) -> Snapshot:
        """Where its config comes from."""
        return self.pinned.config_snapshot

    @property
    def processing(self) -> list[str]:
        """The names of the files of its image processor or tokenizer."""
        return [name for name in PROCESSING_FILES[self.role] if name in self.snapshot.files]

    @property
    def weights_size(self) -> int:
        """How many bytes its weights are."""
        return sum(self.snapshot.files[name] for name in self.weights)

    def fetch(self, api: HfApi, cache: Path | None = None) -> "Source":
        """Download the files that are used, and return where they are.

        Args:
            cache: a cache for downloads in place of huggingface_hub's own.

        Raises:
            VedError: the download fails.
        """
        directory = self.snapshot.fetch([*self.weights, *self.processing], api, cache)
        return Source(self, directory, self.config_path(api))

    def config_path(self, api: HfApi) -> Path:
        """Return where its config.json is, downloading it if it is not here."""
        return self.config_snapshot.fetch([CONFIG], api) / CONFIG


@dataclass(frozen=True)
class Source:
    """A checkpoint whose files are on this machine.

    Attributes:
        resolved: what it is.
        directory: where its weights, and its processor or tokenizer, lie.
        config_path: the config.json to use; not always in `directory`.
    """

    resolved: ResolvedSource
    directory: Path
    config_path: Path

    def __str__(self) -> str:
        return str(self.resolved)

    @property
    def weight_paths(self) -> list[Path]:
        """The weight files, in order."""
        return [self.directory / name for name in self.resolved.weights]

    def digests(self) -> dict[str, str]:
        """Return the sha256 of every file that is used, by name."""
        processing = [self.directory / name for name in self.resolved.processing]
        used = [self.config_path, *self.weight_paths, *processing]
        return {path.name: sha256(path) for path in used}


def pin(ref: ConfigRef, api: HfApi) -> Snapshot:
    """Find out what a reference to a repo or a directory means now, in one request.

    Raises:
        VedError: it is not there, or may not be read.
    """
    if ref.directory is not None:
        return _local(ref.model, ref.directory)
    at = f" at {ref.revision}" if ref.revision else ""
    with explained(f"read {ref.model}{at}", ref.model):
        info = api.model_info(ref.model, revision=ref.revision, files_metadata=True)
        found = siblings(info)
        stated = Stated.of(info)
    if not is_commit(info.sha):
        raise VedError(f"The Hub says that {ref.model} is at {info.sha!r}, which is not a commit.")
    files = {each.rfilename: each.size or 0 for each in found}
    digests = {each.rfilename: each.lfs.sha256 for each in found if each.lfs}
    return Snapshot(ref.model, info.sha, files, None, stated, digests)


def resolve(role: Role, ref: SourceRef, api: HfApi) -> ResolvedSource:
    """Find out what a reference means now, and download its config.

    Raises:
        VedError: the checkpoint, its config or usable weights are not there, or may not be read;
            or it cannot play its role in a Flax vision encoder-decoder model.
    """
    snapshot = pin(ref, api)
    config_snapshot = snapshot if ref.config is None else pin(ref.config, api)
    return inspect(role, Pinned(snapshot, config_snapshot, ref.allow_pickle), api)


def inspect(role: Role, pinned: Pinned, api: HfApi) -> ResolvedSource:
    """Download the config of a checkpoint, and find out what it is.

    Raises:
        VedError: its config or usable weights are not there, or it cannot play its role in a Flax
            vision encoder-decoder model.
    """
    config = _read_json(pinned.config_snapshot, CONFIG, api)
    known = family(role, config.get("model_type"), str(pinned.config_snapshot))
    _check_settings(role, config, known, pinned.config_snapshot)
    weights = _select_weights(pinned.snapshot, pinned.allow_pickle, api)
    return ResolvedSource(role, pinned, config, known, weights)


def is_commit(text: object) -> TypeGuard[str]:
    """Whether a server's word for a commit is one: 40 hexadecimal digits."""
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{40}", text) is not None


def siblings(info: ModelInfo) -> list[RepoSibling]:
    """Return the files of a repo, as a server describes them.

    Raises:
        TypeError: that is not in the Hub's form, which huggingface_hub does not check.
    """
    found = info.siblings or []
    for each in found:
        if not isinstance(each.rfilename, str) or not isinstance(each.size or 0, int):
            raise TypeError(f"{each!r} is not a file")
    return found


def sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal; a file that pairs share is hashed once."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _local(name: str, directory: Path) -> Snapshot:
    if not directory.is_dir():
        raise VedError(f"There is no directory {directory}.", "Check the path.")
    files = {path.name: path.stat().st_size for path in directory.iterdir() if path.is_file()}
    # Where on this machine it lies is nobody else's business.
    shown = directory.name if Path(name).is_absolute() else name
    return Snapshot(shown, None, files, directory)


def _identity(snapshot: Snapshot, names: Iterable[str]) -> dict[str, Any]:
    """Return what stands for a snapshot: its commit, or the digests of a directory's files."""
    if snapshot.directory is None:
        return {"name": snapshot.name, "commit": snapshot.commit}
    used = sorted(snapshot.files.keys() & {*names})
    digests = {name: sha256(snapshot.directory / name) for name in used}
    return {"name": snapshot.name, "files": digests}


def _check_settings(
    role: Role, config: Mapping[str, Any], known: Family, snapshot: Snapshot
) -> None:
    """Refuse settings with which Flax would compute something else than the source does."""
    wrong = [
        f"{name} is {config[name]!r}, and Flax computes with {value!r}"
        for name, value in known.requires.items()
        if config.get(name, value) != value
    ]
    if config.get("quantization_config"):
        wrong.append("its weights are quantized")
    if wrong:
        raise VedError(
            f"The config of {snapshot} asks for what Flax does not do: {'; '.join(wrong)}.",
            f"Use another {role}.",
            see="settings-that-flax-ignores",
        )


def _read_json(snapshot: Snapshot, name: str, api: HfApi) -> dict[str, Any]:
    if name not in snapshot.files:
        raise VedError(
            f"{snapshot} has no {name}.",
            "Name a transformers checkpoint; another one's config can be used with config:.",
            see="config-not-usable",
        )
    path = snapshot.fetch([name], api) / name
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        cause = f"{name} of {snapshot} cannot be read: {error}."
        raise VedError(cause, see="damaged-source") from error
    if not isinstance(content, dict):
        cause = f"{name} of {snapshot} does not hold a JSON object."
        raise VedError(cause, see="damaged-source")
    return content


def _select_weights(snapshot: Snapshot, allow_pickle: bool, api: HfApi) -> tuple[str, ...]:
    for name in WEIGHTS + (PICKLED_WEIGHTS if allow_pickle else ()):
        if name in snapshot.files:
            return (name,)
        if f"{name}.index.json" in snapshot.files:
            return _shards(snapshot, f"{name}.index.json", api)
    pickled = sorted(
        name for name in snapshot.files if name.removesuffix(".index.json") in PICKLED_WEIGHTS
    )
    if pickled:
        raise VedError(
            f"{snapshot} has pickled weights only ({pickled[0]}), and a pickle is a program.",
            "Use a revision that has model.safetensors, or allow it for this source with "
            "{model: ..., allow_pickle: true}: VED reads the tensors and refuses everything else.",
            see="no-usable-weights",
        )
    raise VedError(
        f"{snapshot} has no weights that VED can read.",
        f"It looks for {', '.join(WEIGHTS)} and their sharded forms.",
        see="no-usable-weights",
    )


def _shards(snapshot: Snapshot, index: str, api: HfApi) -> tuple[str, ...]:
    weight_map = _read_json(snapshot, index, api).get("weight_map")
    shards = set(map(str, weight_map.values())) if isinstance(weight_map, dict) else set()
    # A shard of another format would get past the choice that was just made.
    suffix = Path(index.removesuffix(".index.json")).suffix
    missing = {name for name in shards if name not in snapshot.files or Path(name).suffix != suffix}
    if not shards or missing:
        absent = f"shards that are not there: {', '.join(map(repr, missing))}"
        listed = absent if missing else "no shards"
        cause = f"{index} of {snapshot} lists {listed}."
        raise VedError(cause, "The source is incomplete.", see="damaged-source")
    return tuple(sorted(shards))
