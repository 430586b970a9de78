"""The settings that all decoders share, and the scores of the next token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from numpy.typing import NDArray

from ved.modeling.layers import Dtype, Initializer
from ved.modeling.linen import Dense, Embed
from ved.modeling.settings import Settings


@dataclass(frozen=True, kw_only=True)
class DecoderSettings(Settings):
    """The settings that decoders share."""

    vocab_size: int
    tie_word_embeddings: bool = True
    cross_attention_hidden_size: int | None = None

    @property
    def width(self) -> int:
        """The width of the states."""
        raise NotImplementedError

    @property
    def positions(self) -> int:
        """The largest number of tokens in a text, or more."""
        raise NotImplementedError

    @property
    def projection_range(self) -> float:
        """The standard deviation of a new projection from the encoder's width to this one."""
        raise NotImplementedError

    @property
    def buffers(self) -> Mapping[str, NDArray[Any]]:
        """Arrays that follow from the settings, and that PyTorch stores beside parameters."""
        return {}

    def position_ids(self, input_ids: jax.Array, past: jax.Array | int = 0) -> jax.Array:
        """Return the position of each token.

        Args:
            input_ids: int32 (batch, tokens).
            past: how many tokens come before: those in the cache.

        Returns:
            int32 (batch, tokens), rows of the position embeddings.
        """
        return jnp.broadcast_to(past + jnp.arange(input_ids.shape[1]), input_ids.shape)


def positions_from_pad(input_ids: jax.Array, past: jax.Array | int, pad: int) -> jax.Array:
    """Return positions that begin after the id of the pad token; pad tokens have that id.

    Like PyTorch, this counts pad tokens among those that come before, but not among new ones.

    Args:
        input_ids: int32 (batch, tokens).
        past: how many tokens come before: those in the cache.
        pad: the id of the pad token.

    Returns:
        int32 (batch, tokens).
    """
    is_text = input_ids != pad
    return jnp.where(is_text, past + jnp.cumsum(is_text, axis=1), 0) + pad


def next_token_logits(
    settings: DecoderSettings,
    states: jax.Array,
    tokens: Embed,
    init: Initializer,
    dtype: Dtype,
    name: str,
) -> jax.Array:
    """Return the scores of the next token after each state.

    Call it in a module, which gets the kernel if it is not tied.

    Args:
        settings: the settings of the decoder.
        states: (batch, tokens, width).
        tokens: the embeddings of tokens, which are the kernel too if both are tied.
        init: the initializer of a kernel that is not tied.
        dtype: the dtype of the computation.
        name: the name of a kernel that is not tied.

    Returns:
        (batch, tokens, vocabulary).
    """
    if settings.tie_word_embeddings:
        return tokens.attend(states)
    return Dense(settings.vocab_size, False, dtype, kernel_init=init, name=name)(states)
