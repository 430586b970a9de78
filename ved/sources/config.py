"""Read the config of a source, and refuse one that the Flax model cannot follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.families.family import Family, Role
from ved.families.lookup import find_source_family
from ved.sources.config_settings import (
    convert_settings,
    published_settings,
    unknown_settings,
)
from ved.sources.config_sizes import check_sizes
from ved.sources.halves import select_half
from ved.sources.repo_kinds import check_config_kind, unusable_repo
from ved.sources.snapshot import CONFIG, Snapshot, read_json


@dataclass(frozen=True)
class ReadConfig:
    """The config of a source.

    Attributes:
        settings: the settings of its config.json that the checkpoint gets, with values that Flax
            supports.
        family: the family that it names.
        model_type: its own name of that family; the checkpoint may have that of a twin.
        whole: the `model_type` of the whole model that the source is; empty if it is none.
        generation: the settings of generation in the config of the whole model.
        warning: which of its settings VED does not know; empty if it knows all.
    """

    settings: Mapping[str, Any]
    family: Family
    model_type: str
    whole: str
    generation: Mapping[str, Any]
    warning: str


def read_config(role: Role, snapshot: Snapshot, api: HfApi) -> ReadConfig:
    """Read config.json.

    Raises:
        VedError: there is no usable config, or the source cannot play its role in a Flax vision
            encoder-decoder model.
    """
    if CONFIG not in snapshot.files:
        raise unusable_repo(snapshot, api) or VedError(
            f"{snapshot} has no {CONFIG}.",
            "Name a transformers checkpoint. If only its config is missing, name another repo's "
            "with config:.",
            code=ErrorCode.CONFIG_NOT_USABLE,
        )
    whole_config = read_json(snapshot, CONFIG, api)
    check_config_kind(whole_config, snapshot)
    selected = select_half(role, whole_config, snapshot)
    config = selected.content
    family = find_source_family(role, config, str(snapshot))
    converted = convert_settings(role, config, family, snapshot)
    check_sizes(converted, snapshot)
    settings = published_settings(converted, family)
    return ReadConfig(
        family.twin.config(settings) if family.twin else settings,
        family,
        str(config["model_type"]),
        selected.whole,
        selected.generation,
        unknown_settings(config, family),
    )
