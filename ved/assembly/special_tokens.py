"""The special tokens of a checkpoint: start, pad and eos. `token_search` finds their ids."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from ved.assembly.config import CheckpointConfig, PartConfig

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
        loaded: its config with the defaults of its class.
        of_whole: the names in `generation` that come from the config of a whole model, of which the
            decoder is a half.
    """

    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    loaded: PartConfig
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


def script_id(role: TokenRole, config: PartConfig) -> int | None:
    """Return the id that transformers' script takes; None if it finds none.

    Source: create_model_from_encoder_decoder_models.py, transformers 4.57.

    Args:
        role: the role of the token.
        config: the decoder's config.
    """
    for name in _IN_SCRIPT[role]:
        number = config.get(name)
        if number is not None:
            return number if type(number) is int and 0 <= number < 2**63 else None
    return None


def apply_special_tokens(
    tokens: SpecialTokens, config: CheckpointConfig, *, counts_from_pad: bool
) -> CheckpointConfig:
    """Return the config of a checkpoint with the ids, which its decoder's config has, too.

    Args:
        tokens: the special tokens.
        config: the config of the checkpoint.
        counts_from_pad: whether the decoder counts positions from the pad id in its own config.
            That id then stays as it was in training, and only the composite config has the pad id.
    """
    pad = {"pad_token_id": tokens.ids.pad.id}
    others = {
        "decoder_start_token_id": tokens.ids.decoder_start.id,
        "eos_token_id": tokens.ids.eos.id,
    }
    of_decoder = {**others, "bos_token_id": tokens.bos, **({} if counts_from_pad else pad)}
    return replace(
        config,
        decoder=config.decoder.changed(**of_decoder),
        settings={**config.settings, **others, **pad},
    )
