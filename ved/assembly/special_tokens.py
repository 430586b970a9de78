"""The special tokens of a checkpoint: start, pad and eos. `token_search` finds their ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

TokenRole = Literal["decoder_start", "pad", "eos"]


class NamedTokens(Protocol):
    """The tokens of a tokenizer, and the ids of those that it names."""

    @property
    def token_ids(self) -> Mapping[str, int]:
        """The ids of the tokens that the tokenizer names, such as `pad` or `cls`."""

    def token(self, number: int) -> str | None:
        """Return the text of a token; None if no token has the id."""

    def is_special(self, number: int) -> bool:
        """Return whether a token is a special one, which ordinary text does not contain."""


@dataclass(frozen=True)
class TokenNames:
    """The names of a role's id.

    Attributes:
        settings: in the files, best first; the last one is compared with the tokenizer.
        named: the name of the tokenizer for the same token.
        substitute: the name of the tokenizer's token that does the same work in other families.
    """

    settings: tuple[str, ...]
    named: str
    substitute: str | None = None


# A decoder may start with any special token: BART starts with its eos token.
TOKEN_NAMES: Mapping[TokenRole, TokenNames] = {
    "decoder_start": TokenNames(("decoder_start_token_id", "bos_token_id"), "bos", "cls"),
    "eos": TokenNames(("eos_token_id",), "eos", "sep"),
    "pad": TokenNames(("pad_token_id",), "pad"),
}


@dataclass(frozen=True)
class DecoderSettings:
    """The settings of a decoder.

    Attributes:
        config: the content of its config.json.
        generation: the content of its generation_config.json; empty if it has none.
        loaded: its transformers config, which has the defaults of its class, too.
        of_whole: the names in `generation` that come from the config of a whole model, of which the
            decoder is a half.
    """

    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    loaded: Any
    of_whole: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TokenId:
    """A special token.

    Attributes:
        id: its number in the vocabulary.
        token: its text in the tokenizer.
        origin: where the id was found, such as "the manifest".
        script: the id that transformers' script takes; None if it finds none.
    """

    id: int
    token: str
    origin: str
    script: int | None = None


@dataclass(frozen=True)
class TokenIds:
    """The special tokens of one checkpoint."""

    decoder_start: TokenId
    pad: TokenId
    eos: TokenId

    @property
    def pad_is_eos(self) -> bool:
        """Whether a training loop that masks pad tokens also masks the end of each text."""
        return self.pad.id == self.eos.id


@dataclass(frozen=True)
class SpecialTokens:
    """The special tokens of one checkpoint, and what was decided about them.

    Attributes:
        ids: the special tokens.
        bos: the id of the decoder's bos token, if it has one.
        warnings: contradictions that the rule settles, a sentence each.
    """

    ids: TokenIds
    bos: int | None
    warnings: tuple[str, ...] = ()


_IN_SCRIPT: Mapping[TokenRole, tuple[str, ...]] = {
    "decoder_start": ("decoder_start_token_id", "bos_token_id"),
    "pad": ("pad_token_id", "eos_token_id"),
    "eos": ("eos_token_id",),
}


def script_id(role: TokenRole, config: Any) -> int | None:
    """Return the id that transformers' script takes; None if it finds none.

    Source: create_model_from_encoder_decoder_models.py, transformers 4.57.

    Args:
        role: the role of the token.
        config: the decoder's transformers config.
    """
    for name in _IN_SCRIPT[role]:
        number = getattr(config, name, None)
        if number is not None:
            return number if type(number) is int and 0 <= number < 2**63 else None
    return None


def apply_special_tokens(tokens: SpecialTokens, config: Any, *, counts_from_pad: bool) -> None:
    """Write the ids into the composite config and its decoder's config.

    Args:
        tokens: the special tokens.
        config: a transformers VisionEncoderDecoderConfig; it is changed.
        counts_from_pad: whether the decoder counts positions from the pad id in its own config.
            That id then stays as it was in training, and only the composite config has the pad id.
    """
    ids = tokens.ids
    for part in (config, config.decoder):
        part.decoder_start_token_id = ids.decoder_start.id
        part.eos_token_id = ids.eos.id
    config.decoder.bos_token_id = tokens.bos
    config.pad_token_id = ids.pad.id
    if not counts_from_pad:
        config.decoder.pad_token_id = ids.pad.id
