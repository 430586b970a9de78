"""The settings that all decoders share."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

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

    def position_ids(self, input_ids: jax.Array, past: jax.Array | int = 0) -> jax.Array:
        """Return the position of each token.

        Args:
            input_ids: int32 (batch, tokens).
            past: how many tokens come before: those in the cache.

        Returns:
            int32 (batch, tokens), rows of the position embeddings.
        """
        return jnp.broadcast_to(past + jnp.arange(input_ids.shape[1]), input_ids.shape)
