"""Find the family of a config, or explain why it is not supported."""

from collections.abc import Mapping
from typing import Any

from ved.errors import ErrorCode, VedError
from ved.families.family import Family, Role
from ved.families.refusals import REFUSED_BY_ROLE, UNKNOWN
from ved.families.table import DECODERS, ENCODERS
from ved.families.twins import TWIN_DECODERS, TWIN_ENCODERS
from ved.text import quoted

_FAMILIES: Mapping[Role, Mapping[str, Family]] = {"encoder": ENCODERS, "decoder": DECODERS}


_TWINS: Mapping[Role, Mapping[str, Family]] = {
    "encoder": TWIN_ENCODERS,
    "decoder": TWIN_DECODERS,
}


def find_source_family(role: Role, config: Mapping[str, Any], origin: str) -> Family:
    """Return the family of a source, which may have a twin; see `find_family`.

    Args:
        role: the role of the source in the pair.
        config: the content of its config.json.
        origin: its name, for the error.

    Raises:
        VedError: the family cannot have that role in a vision encoder-decoder.
    """
    model_type = config.get("model_type")
    twin = find_twin(role, model_type) if isinstance(model_type, str) else None
    if twin is not None and twin.twin is not None and twin.twin.accepts(config):
        return twin
    return find_family(role, model_type, origin)


def find_twin(role: Role, model_type: str) -> Family | None:
    """Return the family that is published as another one; None if the name is that of none."""
    return _TWINS[role].get(model_type)


def find_family(role: Role, model_type: object, origin: str) -> Family:
    """Return the family of one half of a checkpoint, which has classes of its own.

    Args:
        role: the role of the half.
        model_type: `model_type` of its config.
        origin: its name, for the error message.

    Raises:
        VedError: the family cannot have that role in a vision encoder-decoder.
    """
    families = _FAMILIES[role]
    if isinstance(model_type, str) and model_type in families:
        return families[model_type]
    remedy = f"These families can be the {role}: {', '.join(sorted({*families, *_TWINS[role]}))}."
    if not isinstance(model_type, str):
        cause = f"The config.json of {origin} names no model_type."
        advice = f"Name a repo with a complete config as well: {role}: {{model: ..., config: ...}}."
        raise VedError(cause, f"{advice} {remedy}", code=ErrorCode.CONFIG_NOT_USABLE)
    other: Role = "decoder" if role == "encoder" else "encoder"
    if model_type in {*_FAMILIES[other], *_TWINS[other]}:
        raise VedError(
            f"Encoder and decoder look swapped: {origin} is a {quoted(model_type)} checkpoint, "
            f"which can only be the {other}.",
            f"Swap them, or name another {role}.",
            code=ErrorCode.UNSUPPORTED_FAMILY,
        )
    reason, use = REFUSED_BY_ROLE[role].get(model_type, UNKNOWN[role])
    raise VedError(
        f"{origin} is a {quoted(model_type)} checkpoint, which cannot be the {role} of a vision "
        f"encoder-decoder: {reason}.",
        f"Use {use}, for instance. {remedy}",
        code=ErrorCode.UNSUPPORTED_FAMILY,
    )
