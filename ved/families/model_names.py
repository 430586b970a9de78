"""Find out by its name alone whether a model can be encoder or decoder."""

import re
from collections.abc import Mapping

from ved.families.family import Role
from ved.families.refusals import REFUSED_BY_ROLE, UNKNOWN, Refusal
from ved.families.table import DECODERS, ENCODERS
from ved.families.twins import TWIN_DECODERS, TWIN_ENCODERS
from ved.families.wholes import WHOLES

_HALF = re.compile(r"[-_](vision_model|vit|swin)$")
"""The end of a `model_type` that names of models do not have."""

_WHOLE = ("donut", "trocr", *WHOLES)
"""Beginnings of the names of whole models, which may have both roles."""

_ALSO = {"encoder": (), "decoder": ("distilgpt2", "distilroberta", "opus-mt")}
"""Beginnings of the names of well-known models that do not begin with their family."""


def _words(role: Role, *tables: Mapping[str, object]) -> frozenset[str]:
    families = (_HALF.sub("", name).replace("_", "-") for table in tables for name in table)
    return frozenset({*families, *_ALSO[role]} - {*_WHOLE})


_WORDS: Mapping[Role, frozenset[str]] = {
    "encoder": _words("encoder", ENCODERS, TWIN_ENCODERS) | {"clip", "chinese-clip", "siglip"},
    "decoder": _words("decoder", DECODERS, TWIN_DECODERS),
}


def refusal_by_name(role: Role, model: str) -> Refusal | None:
    """Return why a model cannot have a role, as far as its name tells; None if it tells nothing.

    Args:
        role: the role that the model is to have.
        model: its id on the Hub, such as openai-community/gpt2. A local path tells nothing.
    """
    if model.startswith((".", "/")):
        return None
    name = re.sub(r"[_.]", "-", model.partition("@")[0].rpartition("/")[2].lower())
    # A whole model, such as vit-gpt2, may have both roles.
    if any(re.search(rf"(?<![a-z0-9]){word}(?![a-z])", name) for word in _WORDS[role]):
        return None
    other: Role = "decoder" if role == "encoder" else "encoder"
    if any(re.match(rf"{word}(?![a-z])", name) for word in _WORDS[other]):
        content = "text" if role == "encoder" else "images"
        reason = f"it is a model of {content}, which can only be the {other}"
        return Refusal(reason, UNKNOWN[role].use)
    families = {family.replace("_", "-"): family for family in REFUSED_BY_ROLE[role]}
    found = [word for word in families if re.match(rf"{word}(?![a-z])", name)]
    return REFUSED_BY_ROLE[role][families[max(found, key=len)]] if found else None
