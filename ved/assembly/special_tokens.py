"""Decoder start, pad and eos: from manifest, config, tokenizer, in that order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ved.errors import ErrorCode, VedError

TokenRole = Literal["decoder_start", "pad", "eos"]


@dataclass(frozen=True)
class TokenId:
    """A special token.

    Attributes:
        id: its position in the vocabulary.
        token: its text in the tokenizer.
        origin: where the id was found, in words that follow "from".
    """

    id: int
    token: str
    origin: str


@dataclass(frozen=True)
class TokenIds:
    """The special tokens of one checkpoint."""

    decoder_start: TokenId
    pad: TokenId
    eos: TokenId

    @property
    def pad_is_eos(self) -> bool:
        """Whether a training loop that masks padding also masks the end of the text."""
        return self.pad.id == self.eos.id


# After the manifest: what the config may call it, in the order of transformers'
# create_model_from_encoder_decoder_models, then what the tokenizer may call it.
_IN_CONFIG: dict[TokenRole, tuple[str, ...]] = {
    "decoder_start": ("decoder_start_token_id", "bos_token_id"),
    "pad": ("pad_token_id", "eos_token_id"),
    "eos": ("eos_token_id",),
}
_IN_TOKENIZER: dict[TokenRole, str] = {"decoder_start": "cls", "pad": "pad", "eos": "sep"}


def resolve_token_ids(
    wanted: Mapping[str, int], config: Any, tokenizer: Any, origin: str
) -> TokenIds:
    """Return the special tokens of a decoder.

    Args:
        wanted: ids that the manifest gives, by role.
        config: the decoder's transformers config.
        tokenizer: the decoder's transformers tokenizer.
        origin: the decoder, for errors.

    Raises:
        VedError: an id cannot be found, is outside the vocabulary, or is unknown to the tokenizer;
            one error for all three.
    """
    problems: list[str] = []
    found: dict[TokenRole, TokenId] = {}
    for role in _IN_CONFIG:
        try:
            found[role] = _resolve_one(role, wanted, config, tokenizer)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise VedError(
            f"The token ids of {origin} do not work: {'; '.join(problems)}.",
            "Set them with token_ids: {decoder_start: ..., pad: ..., eos: ...}.",
            code=ErrorCode.TOKEN_IDS,
        )
    return TokenIds(**found)


def _resolve_one(
    role: TokenRole, wanted: Mapping[str, int], config: Any, tokenizer: Any
) -> TokenId:
    number, origin = _find(role, wanted, config, tokenizer)
    if not 0 <= number < config.vocab_size:
        raise ValueError(
            f"{role} {number} (from {origin}) is outside the vocabulary of {config.vocab_size}"
        )
    token = tokenizer.convert_ids_to_tokens(number)
    if token is None:
        raise ValueError(f"{role} {number} (from {origin}) is unknown to the tokenizer")
    return TokenId(number, token, origin)


def _find(
    role: TokenRole, wanted: Mapping[str, int], config: Any, tokenizer: Any
) -> tuple[int, str]:
    if role in wanted:
        return wanted[role], "the manifest"
    for name in _IN_CONFIG[role]:
        number: Any = getattr(config, name, None)
        # Some configs list several end tokens; the first is the one that text is trained to end in.
        if isinstance(number, list):
            number = number[0] if number else None
        if number is not None and not isinstance(number, int):
            raise ValueError(f"{name} of the decoder's config is {number!r}, not a number")
        if number is not None:
            return number, f"{name} of the decoder's config"
    name = _IN_TOKENIZER[role]
    number = getattr(tokenizer, f"{name}_token_id", None)
    if number is not None:
        return int(number), f"{name}_token of the tokenizer"
    raise ValueError(f"neither the decoder's config nor its tokenizer names a {role} token")


def apply_token_ids(
    token_ids: TokenIds, config: Any, tokenizer: Any, *, counts_from_pad: bool
) -> None:
    """Write the ids into the composite config, its decoder's config, and the tokenizer.

    Args:
        config: a transformers VisionEncoderDecoderConfig.
        tokenizer: the decoder's transformers tokenizer.
        counts_from_pad: whether the decoder's positions begin after the pad id in its own config,
            which then stays as it was in training. What is padding, the composite config tells.
    """
    for part in (config, config.decoder):
        part.decoder_start_token_id = token_ids.decoder_start.id
        part.eos_token_id = token_ids.eos.id
    config.pad_token_id = token_ids.pad.id
    if not counts_from_pad:
        config.decoder.pad_token_id = token_ids.pad.id
    if tokenizer.pad_token_id != token_ids.pad.id:
        tokenizer.pad_token = token_ids.pad.token
    if tokenizer.eos_token_id != token_ids.eos.id:
        tokenizer.eos_token = token_ids.eos.token
