"""Select the config of one half, if a source is a whole model with an encoder and a decoder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.families.settings import GENERATION
from ved.families.wholes import WHOLES, Half
from ved.sources.snapshot import CONFIG, Snapshot


@dataclass(frozen=True)
class SelectedConfig:
    """The config of a source, or of the half of it that a role takes.

    Attributes:
        content: the config.
        whole: the `model_type` of the whole model; empty if the source is not one.
        generation: the settings of generation in the config of the whole model.
    """

    content: Mapping[str, Any]
    whole: str = ""
    generation: Mapping[str, Any] = field(default_factory=dict)


def select_half(role: Role, config: Mapping[str, Any], snapshot: Snapshot) -> SelectedConfig:
    """Return the config of the half that a role takes, or the whole config of other sources.

    Args:
        role: the role of the source in the pair.
        config: the content of config.json.
        snapshot: its origin, for errors.

    Raises:
        VedError: the source is a whole model that has no such half, or no complete config of it.
    """
    whole = config.get("model_type")
    if not isinstance(whole, str) or whole not in WHOLES:
        return SelectedConfig(config)
    half = WHOLES[whole].get(role)
    if half is None:
        (other,) = WHOLES[whole]
        raise VedError(
            f"{snapshot} is a whole {whole} model, and only its {other} can be used: it has no "
            f"half that can be the {role} of a vision encoder-decoder.",
            f"Use another {role}.",
            code=ErrorCode.UNSUPPORTED_FAMILY,
        )
    content = _content(half, config)
    if not isinstance(content.get("model_type"), str):
        raise VedError(
            f"The {CONFIG} of {snapshot}, a whole {whole} model, names no model_type in "
            f"{half.config}.",
            "Name a repo with a complete config of such a model as well: "
            f"{role}: {{model: ..., config: ...}}.",
            code=ErrorCode.CONFIG_NOT_USABLE,
        )
    generation = {
        name: value for name, value in config.items() if name in GENERATION and value is not None
    }
    return SelectedConfig(content, whole, generation if role == "decoder" else {})


def _content(half: Half, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a half; empty if there is none."""
    names = [half.config]
    if half.model_type:
        # Old configs of CLIP have both, and the second one counts. Source: CLIPConfig.
        names.append(f"{half.config}_dict")
    found = [content for name in names if isinstance(content := config.get(name), dict)]
    if not found:
        return {}
    defaults = {"model_type": half.model_type} if half.model_type else {}
    return {**defaults, **{name: value for each in found for name, value in each.items()}}
