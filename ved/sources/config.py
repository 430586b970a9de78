"""Read the config of a source, and refuse one that the Flax model cannot follow."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.families.family import Family, Role
from ved.families.lookup import find_family
from ved.sources.config_sizes import check_sizes
from ved.sources.repo_kinds import check_config_kind, unusable_repo
from ved.sources.snapshot import CONFIG, Snapshot, read_json
from ved.text import quoted_value


def read_config(role: Role, snapshot: Snapshot, api: HfApi) -> tuple[dict[str, Any], Family]:
    """Return the content of config.json, and the family that it names.

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
    config = read_json(snapshot, CONFIG, api)
    check_config_kind(role, config, snapshot)
    family = find_family(role, config.get("model_type"), str(snapshot))
    check_sizes(config, snapshot)
    _check_settings(role, config, family, snapshot)
    return config, family


def _check_settings(
    role: Role, config: Mapping[str, Any], family: Family, snapshot: Snapshot
) -> None:
    """Refuse settings with which the Flax model would compute other values than the source.

    Raises:
        VedError: a setting differs from what the Flax model computes with.
    """
    problems = [
        f"{name} is {quoted_value(config[name])}, and Flax computes with {value!r}"
        for name, value in family.requires.items()
        if config.get(name, value) != value
    ]
    if problems:
        raise VedError(
            f"The config of {snapshot} has settings that Flax does not support: "
            f"{'; '.join(problems)}.",
            f"Use another {role}.",
            code=ErrorCode.UNSUPPORTED_SETTINGS,
        )
