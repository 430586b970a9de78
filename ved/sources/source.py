"""A source that is resolved, or whose files are on this machine.

Everything after resolving refers to the commit. Downloads fetch only the files that are used, and
they are loaded from the local copy. A local directory has no commit; the digests of its files
replace it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from ved.families.family import Family, Role
from ved.families.wholes import WHOLES, Half
from ved.manifest.pair_models import SourceRef
from ved.sources.config import read_config
from ved.sources.digests import file_sha256
from ved.sources.pinning import Pinned, pin
from ved.sources.snapshot import CONFIG, GENERATION_CONFIG, SMALL_FILES, Snapshot, read_json


@dataclass(frozen=True)
class ResolvedSource:
    """A checkpoint whose configs are downloaded, and nothing else.

    Attributes:
        role: whether it becomes the encoder or the decoder.
        pinned: the checkpoint, and where its config comes from.
        config: the settings of its config.json that the checkpoint gets.
        family: the family that the config names.
        model_type: the config's own name of that family; `config` may have that of a twin.
        weights: the names of the weight files, in order.
        whole: the `model_type` of the whole model of which it is a half; empty if it is none.
        generation: the content of a decoder's generation_config.json, and of the config of the
            whole model; empty if it has none.
        of_whole: the names in `generation` that come from the config of the whole model.
        config_warning: which settings of its config.json VED does not know; empty if it knows all.
    """

    role: Role
    pinned: Pinned
    config: Mapping[str, Any]
    family: Family
    model_type: str
    weights: tuple[str, ...]
    whole: str = ""
    generation: Mapping[str, Any] = field(default_factory=dict)
    of_whole: frozenset[str] = frozenset()
    config_warning: str = ""

    def __str__(self) -> str:
        return str(self.snapshot)

    @property
    def half(self) -> Half | None:
        """The half of a whole model that it is; None if it is all of a model."""
        return WHOLES[self.whole][self.role] if self.whole else None

    @property
    def key(self) -> str:
        """A name for its files, which are other ones if the manifest names another format."""
        other = self.pinned.other_format
        return str(self) if other is None else f"{self}+{other}"

    @property
    def snapshot(self) -> Snapshot:
        """The checkpoint."""
        return self.pinned.snapshot

    @property
    def config_snapshot(self) -> Snapshot:
        """The origin of the config."""
        return self.pinned.config_snapshot

    @property
    def processing(self) -> list[str]:
        """The names of the small files that are used beside the config."""
        return [name for name in SMALL_FILES[self.role] if name in self.snapshot.files]

    @property
    def weights_size(self) -> int:
        """The size of the weight files, in bytes."""
        return sum(self.snapshot.files[name] for name in self.weights)

    def fetch(self, api: HfApi, cache: Path | None = None) -> "Source":
        """Download the files that are used, and return the source with their places.

        Args:
            api: the client.
            cache: a cache to use in place of huggingface_hub's own.

        Raises:
            VedError: the download fails.
        """
        directory = self.snapshot.fetch([*self.weights, *self.processing], api, cache)
        return Source(self, directory, self.config_path(api))

    def config_path(self, api: HfApi) -> Path:
        """Return the path of config.json. Downloads it if it is not in the cache."""
        return self.config_snapshot.fetch([CONFIG], api) / CONFIG


@dataclass(frozen=True)
class Source:
    """A checkpoint whose files are on this machine.

    Attributes:
        resolved: the checkpoint.
        directory: the directory of the weights and of the image processor or tokenizer.
        config_path: the config.json to use, which may be in another directory.
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
        """Return the sha256 of every file that is used, in hexadecimal, by name."""
        processing = [self.directory / name for name in self.resolved.processing]
        used = [self.config_path, *self.weight_paths, *processing]
        return {path.name: file_sha256(path) for path in used}


def resolve_source(role: Role, ref: SourceRef, api: HfApi) -> ResolvedSource:
    """Pin a reference, download its config, and find out which checkpoint it is.

    Raises:
        VedError: the checkpoint, its config or usable weights do not exist, or the token cannot
            read them; or the checkpoint cannot play its role in a Flax vision encoder-decoder
            model.
    """
    snapshot = pin(ref, api)
    config_snapshot = snapshot if ref.config is None else pin(ref.config, api)
    return inspect_source(role, Pinned.of(ref, snapshot, config_snapshot), api)


def inspect_source(role: Role, pinned: Pinned, api: HfApi) -> ResolvedSource:
    """Download the configs of a pinned source, and find out which checkpoint it is.

    Raises:
        VedError: the config or usable weights do not exist, or the checkpoint cannot play its role
            in a Flax vision encoder-decoder model.
    """
    config = read_config(role, pinned.config_snapshot, api)
    generation = {}
    if role == "decoder" and GENERATION_CONFIG in pinned.snapshot.files:
        generation = read_json(pinned.snapshot, GENERATION_CONFIG, api)
    return ResolvedSource(
        role,
        pinned,
        config.settings,
        config.family,
        config.model_type,
        pinned.weight_files(api),
        config.whole,
        {**config.generation, **generation},
        frozenset(config.generation.keys() - generation.keys()),
        config.warning,
    )
