"""The decoder of TrOCR: that of BART, which was trained to read lines of text in images.

Some checkpoints have sinusoids as positions. They are then counted as in RoBERTa: the first token
has the position after the id of the pad token. `ved.modeling.bart` explains the rest.

Source: https://arxiv.org/abs/2109.10282, and TrOCRForCausalLM of transformers.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import jax
import jax.numpy as jnp

from ved.modeling.bart_settings import BartSettings
from ved.modeling.decoder import positions_from_pad
from ved.modeling.layers import Dtype
from ved.modeling.settings import Only
from ved.modeling.sinusoids import sinusoids


@dataclass(frozen=True, kw_only=True)
class TrOCRSettings(BartSettings):
    """The settings of the decoder of TrOCR."""

    max_position_embeddings: int = 512
    use_learned_position_embeddings: bool = True
    layernorm_embedding: bool = True
    pad_token_id: int = 1

    head: ClassVar[str] = "output_projection"
    ONLY: ClassVar[Only] = MappingProxyType({})

    @property
    def norms_embeddings(self) -> bool:
        """See `BartSettings`."""
        return self.layernorm_embedding

    def position_ids(self, input_ids: jax.Array, past: jax.Array | int = 0) -> jax.Array:
        """Return the position of each token: int32 (batch, tokens); see `DecoderSettings`."""
        if self.use_learned_position_embeddings:
            return super().position_ids(input_ids, past)
        return positions_from_pad(input_ids, past, self.pad_token_id)

    def position_states(self, position_ids: jax.Array, dtype: Dtype) -> jax.Array:
        """Return the embeddings of positions: (batch, tokens, width)."""
        if self.use_learned_position_embeddings:
            return super().position_states(position_ids, dtype)
        is_text = position_ids[..., None] != self.pad_token_id
        return jnp.where(is_text, sinusoids(position_ids, self.d_model, dtype), 0)
