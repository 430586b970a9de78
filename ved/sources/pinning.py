"""Pin references of the manifest: find out which commit each means now."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.hub.errors import translated_errors
from ved.hub.repo_info import fetch_repo, new_id
from ved.manifest.fields import WeightFormat
from ved.manifest.pair_models import ConfigRef, SourceRef
from ved.sources.digests import file_sha256
from ved.sources.local_files import check_local_file, list_local_files
from ved.sources.metadata import SourceMetadata
from ved.sources.repo_kinds import other_repo_type
from ved.sources.snapshot import CONFIG, SMALL_FILES, Snapshot
from ved.sources.weight_files import present_weights, select_weight_files, weight_format


@dataclass(frozen=True)
class Pinned:
    """A source at its commits.

    Attributes:
        snapshot: the checkpoint.
        config_snapshot: where the config comes from: the checkpoint, unless the manifest names
            another repo or directory.
        allow_pickle: whether the weights may be a pickle.
        weights_from: the format of the weights to read; None for the best one.
    """

    snapshot: Snapshot
    config_snapshot: Snapshot
    allow_pickle: bool = False
    weights_from: WeightFormat | None = None

    def weight_files(self, api: HfApi) -> tuple[str, ...]:
        """Return the names of the weight files to read; see `select_weight_files`."""
        return select_weight_files(self.snapshot, self.allow_pickle, api, self.weights_from)

    @property
    def other_format(self) -> WeightFormat | None:
        """The format of the weights if it is not the best one that the source has."""
        best = weight_format(present_weights(self.snapshot))
        return None if self.weights_from == best else self.weights_from

    @classmethod
    def of(cls, ref: SourceRef, snapshot: Snapshot, config_snapshot: Snapshot) -> "Pinned":
        """Return the source of a reference at its commits."""
        return cls(snapshot, config_snapshot, ref.allow_pickle, ref.weights_from)

    def identity(self, role: Role, api: HfApi) -> dict[str, Any]:
        """Return everything of the source that decides what is built from it, as JSON.

        A local directory has no commit, so the digests of its files are part of the identity.

        Raises:
            VedError: a local directory has no usable weights, or a file that may not be read.
            OSError: a file of a local directory cannot be read.
        """
        names = {CONFIG, *SMALL_FILES[role]}
        if self.snapshot.directory is not None:
            names |= {*self.weight_files(api)}
        other = {} if self.other_format is None else {"weights_from": self.other_format}
        return {
            **other,
            **_identity(self.snapshot, names),
            "config": _identity(self.config_snapshot, {CONFIG}),
        }


def pin(ref: ConfigRef, api: HfApi, workspace: Path | None = None) -> Snapshot:
    """Return what a reference to a repo or a directory means now, in one request if it exists.

    Args:
        ref: the reference.
        api: the client.
        workspace: the directory in which local directories have to be; None for the whole machine.

    Raises:
        VedError: the repo or directory does not exist, or the token cannot read it; or the
            directory is outside the workspace.
        OSError: the directory cannot be read.
    """
    if ref.directory is not None:
        return _local_snapshot(ref.model, ref.directory, workspace)
    at = f" at {ref.revision}" if ref.revision else ""
    try:
        with translated_errors(f"read {ref.model}{at}", ref.model):
            info = fetch_repo(ref.model, api, ref.revision)
    except VedError as error:
        # Not after an error that the id itself is not valid.
        is_missing = isinstance(error.__cause__, RepositoryNotFoundError)
        kind = other_repo_type(ref.model, api) if is_missing else None
        if kind is None:
            raise
        raise VedError(
            f"{ref.model} is a {kind}, not a model.", "Name a model.", code=ErrorCode.NO_SUCH_REPO
        ) from error
    if info.commit is None:
        raise VedError(
            f"The Hub reports no commit of {ref.model}.",
            "Check that the endpoint is the address of a Hub.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )
    files = {file.name: file.size or 0 for file in info.files}
    digests = {file.name: file.sha256 for file in info.files if file.sha256}
    metadata, is_private = SourceMetadata.of(info, new_id(ref.model, info)), bool(info.private)
    return Snapshot(ref.model, info.commit, files, None, metadata, digests, is_private)


def _local_snapshot(name: str, directory: Path, workspace: Path | None) -> Snapshot:
    files = list_local_files(directory, workspace)
    publishable = last_name(name) if Path(name).is_absolute() else name
    return Snapshot(publishable, None, files, directory, workspace=workspace)


def last_name(path: str) -> str:
    """Return the name that is published of an absolute path, which is nobody else's business."""
    return Path(os.path.normpath(path)).name


def _identity(snapshot: Snapshot, names: Iterable[str]) -> dict[str, Any]:
    """Return a snapshot's name and commit, or for a local directory, the digests of its files."""
    if snapshot.directory is None:
        return {"name": snapshot.name, "commit": snapshot.commit}
    used = sorted(snapshot.files.keys() & {*names})
    for name in used:
        check_local_file(snapshot.directory, name, snapshot.workspace)
    digests = {name: file_sha256(snapshot.directory / name) for name in used}
    return {"name": snapshot.name, "files": digests}
