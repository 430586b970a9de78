"""Find the ids of the decoder's start, pad and eos tokens, and write them into a checkpoint.

An id comes from the manifest, else from the decoder's config, else from its tokenizer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ved.errors import ErrorCode, VedError

TokenRole = Literal["decoder_start", "pad", "eos"]


class NamedTokens(Protocol):
    """The tokens of a tokenizer, and the ids of those that it names."""

    @property
    def token_ids(self) -> Mapping[str, int]:
        """The ids of the tokens that the tokenizer names, such as `pad` or `cls`."""

    def token(self, number: int) -> str | None:
        """Return the text of a token; None if no token has the id."""


@dataclass(frozen=True)
class TokenId:
    """A special token.

    Attributes:
        id: its number in the vocabulary.
        token: its text in the tokenizer.
        origin: where the id was found, such as "the manifest".
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
        """Whether a training loop that masks pad tokens also masks the end of each text."""
        return self.pad.id == self.eos.id


# The settings of the config, in the order of the script (create_model_from_encoder_decoder_models),
# and the special token of the tokenizer.
_IN_CONFIG: dict[TokenRole, tuple[str, ...]] = {
    "decoder_start": ("decoder_start_token_id", "bos_token_id"),
    "pad": ("pad_token_id", "eos_token_id"),
    "eos": ("eos_token_id",),
}
_IN_TOKENIZER: dict[TokenRole, str] = {"decoder_start": "cls", "pad": "pad", "eos": "sep"}


def resolve_token_ids(
    wanted: Mapping[str, int], config: Any, tokenizer: NamedTokens, origin: str
) -> TokenIds:
    """Return the special tokens of a decoder.

    Args:
        wanted: the ids in the manifest, by role.
        config: the decoder's transformers config.
        tokenizer: the decoder's tokenizer.
        origin: the decoder, for errors.

    Raises:
        VedError: an id is missing, outside the vocabulary, or unknown to the tokenizer. One error
            names the problems of all three.
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
            f"The token ids of {origin} are not usable: {'; '.join(problems)}.",
            "Set them with token_ids: {decoder_start: ..., pad: ..., eos: ...}.",
            code=ErrorCode.TOKEN_IDS,
        )
    return TokenIds(**found)


def _resolve_one(
    role: TokenRole, wanted: Mapping[str, int], config: Any, tokenizer: NamedTokens
) -> TokenId:
    number, origin = _find(role, wanted, config, tokenizer)
    if not 0 <= number < config.vocab_size:
        raise ValueError(
            f"{role} {number} (from {origin}) is outside the vocabulary of {config.vocab_size}"
        )
    token = tokenizer.token(number)
    if token is None:
        raise ValueError(f"{role} {number} (from {origin}) is unknown to the tokenizer")
    return TokenId(number, token, origin)


def _find(
    role: TokenRole, wanted: Mapping[str, int], config: Any, tokenizer: NamedTokens
) -> tuple[int, str]:
    if role in wanted:
        return wanted[role], "the manifest"
    for name in _IN_CONFIG[role]:
        number: Any = getattr(config, name, None)
        # A config may list several end tokens. The first one ends the texts of the training.
        if isinstance(number, list):
            number = number[0] if number else None
        if number is not None and not isinstance(number, int):
            raise ValueError(f"{name} of the decoder's config is {number!r}, not a number")
        if number is not None:
            return number, f"{name} of the decoder's config"
    name = _IN_TOKENIZER[role]
    if name in tokenizer.token_ids:
        return tokenizer.token_ids[name], f"{name}_token of the tokenizer"
    raise ValueError(
        f"neither the decoder's config nor its tokenizer has the id of the {role} token"
    )


def apply_token_ids(token_ids: TokenIds, config: Any, *, counts_from_pad: bool) -> None:
    """Write the ids into the composite config and its decoder's config.

    Args:
        token_ids: the special tokens.
        config: a transformers VisionEncoderDecoderConfig; it is changed.
        counts_from_pad: whether the decoder counts positions from the pad id in its own config.
            That id then stays as it was in training, and only the composite config has the pad id.
    """
    for part in (config, config.decoder):
        part.decoder_start_token_id = token_ids.decoder_start.id
        part.eos_token_id = token_ids.eos.id
    config.pad_token_id = token_ids.pad.id
    if not counts_from_pad:
        config.decoder.pad_token_id = token_ids.pad.id
