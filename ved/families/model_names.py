"""Find out the role of a model by its name alone, as far as that is certain."""

import re
from collections.abc import Mapping

from ved.families.family import Role
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


def has_other_role(role: Role, model: str) -> bool:
    """Tell whether a model, by its name, can only have the other role.

    Args:
        role: the role that the model is to have.
        model: its id on the Hub, such as openai-community/gpt2. A local path tells nothing.
    """
    if model.startswith((".", "/")):
        return False
    name = re.sub(r"[_.]", "-", model.partition("@")[0].rpartition("/")[2].lower())
    other: Role = "decoder" if role == "encoder" else "encoder"
    # A whole model, such as vit-gpt2, may have both roles.
    if any(re.search(rf"(?<![a-z0-9]){word}(?![a-z])", name) for word in _WORDS[role]):
        return False
    return any(re.match(rf"{word}(?![a-z])", name) for word in _WORDS[other])
