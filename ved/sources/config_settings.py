"""Check the settings of a config, and convert them to those of the checkpoint's config.

`ved.families.settings` has the known settings of each family. The checkpoint computes what the
source computes, or the source is refused.
"""

from collections.abc import Mapping
from typing import Any

from ved.errors import ErrorCode, VedError
from ved.families.family import Family, Role
from ved.sources.snapshot import Snapshot
from ved.text import join_limited, quoted, quoted_value


def convert_settings(
    role: Role, config: Mapping[str, Any], family: Family, snapshot: Snapshot
) -> dict[str, Any]:
    """Return a config whose values Flax supports, with the unknown settings.

    Args:
        role: the role of the source in the pair.
        config: the content of config.json.
        family: its family.
        snapshot: its origin, for the error.

    Raises:
        VedError: Flax would compute other values with a setting than the source, or fail.
    """
    problems = [
        f"{name} is {quoted_value(config[name])} {problem}"
        for name, setting in family.settings.items()
        if name in config and (problem := setting.problem(config[name]))
    ]
    if problems:
        raise VedError(
            f"The config of {snapshot} has settings that VED does not support: "
            f"{join_limited(problems, '; ')}.",
            f"Use another {role}. If the config is wrong, name a repo with the right one as well: "
            f"{role}: {{model: ..., config: ...}}.",
            code=ErrorCode.UNSUPPORTED_SETTINGS,
        )
    return {
        name: family.settings[name].convert(value) if name in family.settings else value
        for name, value in config.items()
    }


def published_settings(config: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Return the settings that a checkpoint has: an attribute of a class can have any other name.

    Args:
        config: what `convert_settings` returns.
        family: its family.
    """
    return {
        name: value
        for name, value in config.items()
        if name in family.settings and family.settings[name].published
    }


def unknown_settings(config: Mapping[str, Any], family: Family) -> str:
    """Return a warning of the settings that VED does not know; empty if it knows all.

    Names that begin with an underscore are notes of transformers to itself.

    Args:
        config: the content of config.json.
        family: its family.
    """
    unknown = [
        name
        for name, value in config.items()
        if name not in family.settings and not name.startswith("_") and value is not None
    ]
    if not unknown:
        return ""
    return (
        "The checkpoint will not have these settings of the config, because no class of the family "
        f"in transformers reads them: {join_limited([quoted(name) for name in unknown])}. If code "
        "of the source computes with them, the checkpoint computes other values."
    )
