"""One pretrained checkpoint at one commit: what it is, and its files on this machine.

A reference is resolved first, to the commit it means now. Everything after that speaks of the
commit: downloads fetch only the files that are used, and loading happens from the local copy alone.
A local directory has no commit; the digests of its files stand for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.families.family import Family, Role
from ved.families.lookup import find_family
from ved.manifest.models import SourceRef
from ved.sources.digests import file_sha256
from ved.sources.snapshot import CONFIG, PROCESSING_FILES, Snapshot, pin, read_json
from ved.sources.weight_files import select_weight_files


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
            names |= {*select_weight_files(self.snapshot, self.allow_pickle, api)}
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
        return {path.name: file_sha256(path) for path in used}


def resolve_source(role: Role, ref: SourceRef, api: HfApi) -> ResolvedSource:
    """Find out what a reference means now, and download its config.

    Raises:
        VedError: the checkpoint, its config or usable weights are not there, or may not be read;
            or it cannot play its role in a Flax vision encoder-decoder model.
    """
    snapshot = pin(ref, api)
    config_snapshot = snapshot if ref.config is None else pin(ref.config, api)
    return inspect_source(role, Pinned(snapshot, config_snapshot, ref.allow_pickle), api)


def inspect_source(role: Role, pinned: Pinned, api: HfApi) -> ResolvedSource:
    """Download the config of a checkpoint, and find out what it is.

    Raises:
        VedError: its config or usable weights are not there, or it cannot play its role in a Flax
            vision encoder-decoder model.
    """
    config = read_json(pinned.config_snapshot, CONFIG, api)
    known = find_family(role, config.get("model_type"), str(pinned.config_snapshot))
    _check_settings(role, config, known, pinned.config_snapshot)
    weights = select_weight_files(pinned.snapshot, pinned.allow_pickle, api)
    return ResolvedSource(role, pinned, config, known, weights)


def _identity(snapshot: Snapshot, names: Iterable[str]) -> dict[str, Any]:
    """Return what stands for a snapshot: its commit, or the digests of a directory's files."""
    if snapshot.directory is None:
        return {"name": snapshot.name, "commit": snapshot.commit}
    used = sorted(snapshot.files.keys() & {*names})
    digests = {name: file_sha256(snapshot.directory / name) for name in used}
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
            code=ErrorCode.UNSUPPORTED_SETTINGS,
        )
