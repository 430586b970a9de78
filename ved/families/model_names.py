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

_NAMED_OTHERWISE: Mapping[str, str] = {
    **dict.fromkeys(
        ("codellama", "meta-llama", "smollm", "smollm2", "tinyllama", "vicuna"), "llama"
    ),
    **dict.fromkeys(("m2m100", "nllb"), "m2m_100"),
    **{"bloomz": "bloom", "flan-t5": "t5", "gpt-j": "gptj", "pythia": "gpt_neox"},
    **{"qwen1": "qwen2", "zephyr": "mistral"},
}
"""Families by the beginnings of the names of their models that do not begin with the family."""

_WITH_BACKBONE = re.compile("(?:dpt|mask2former|maskformer|oneformer|sam|upernet)(?![a-z0-9])")
"""Names of models that name the encoder inside of them, too, such as sam-vit-base."""

_SHORTEST = 6
"""Characters of a family that is refused in a role because of what is known of the other role. A
shorter one may be any word, such as bit or align."""


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
    other: Role = "decoder" if role == "encoder" else "encoder"
    is_encoder_inside = _WITH_BACKBONE.match(name) and not _has_word(name, "decoder")
    # A whole model, such as vit-gpt2, may have both roles.
    if _has_word(name, role) and not is_encoder_inside:
        return None
    if any(re.match(rf"{word}(?![a-z])", name) for word in _WORDS[other]):
        content = "text" if role == "encoder" else "images"
        reason = f"it is a model of {content}, which can only be the {other}"
        return Refusal(reason, UNKNOWN[role].use)
    if family := _refused_family(name, REFUSED_BY_ROLE[role]):
        return REFUSED_BY_ROLE[role][family]
    family = _refused_family(name, REFUSED_BY_ROLE[other])
    return UNKNOWN[role] if family and (len(family) >= _SHORTEST or is_encoder_inside) else None


def _has_word(name: str, role: Role) -> bool:
    """Return whether a name has the name of a family of a role, at any place."""
    return any(re.search(rf"(?<![a-z0-9]){word}(?![a-z])", name) for word in _WORDS[role])


def _refused_family(name: str, refused: Mapping[str, Refusal]) -> str | None:
    """Return the refused family whose name is the longest at the beginning of a name."""
    families = {family.replace("_", "-"): family for family in refused}
    families |= {word: family for word, family in _NAMED_OTHERWISE.items() if family in refused}
    found = [word for word in families if re.match(rf"{word}(?![a-z])", name)]
    return families[max(found, key=len)] if found else None
