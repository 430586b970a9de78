"""Special tokens: the settings that name them, and their forms."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from tokenizers import AddedToken

NAMED = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
"""The settings that name a special token, in the order in which missing tokens are added."""

_FLAGS = ("lstrip", "normalized", "rstrip", "single_word", "special")

Token: TypeAlias = str | AddedToken


def text(token: str | Mapping[str, Any] | AddedToken) -> str:
    """Return the text of a token in any form."""
    return str(token["content"]) if isinstance(token, Mapping) else str(token)


def as_token(token: Token | Mapping[str, Any]) -> Token:
    """Return a token of the settings; with flags, if they state some."""
    if not isinstance(token, Mapping):
        return token
    flags = {name: token[name] for name in _FLAGS if name in token}
    return AddedToken(token["content"], **flags)
