"""XGLM: a language model of many languages, with the layers of mBART.

It has no encoder of its own, and its positions are sinusoids, without parameters.
`ved.modeling.bart` explains the rest.

Source: https://arxiv.org/abs/2112.10668, and XGLMForCausalLM of transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import jax
import jax.numpy as jnp

from ved.modeling.bart import BartDecoder, BartModule
from ved.modeling.bart_settings import BartSettings
from ved.modeling.layers import Dtype
from ved.modeling.linen import Module
from ved.modeling.settings import Only
from ved.modeling.sinusoids import sinusoids

_FIRST_POSITION = 2


@dataclass(frozen=True, kw_only=True)
class XGLMSettings(BartSettings):
    """The settings of XGLM."""

    vocab_size: int = 256008
    max_position_embeddings: int = 2048
    decoder_layers: int = 24
    attention_dropout: float = 0.1
    scale_embedding: bool = True
    pad_token_id: int = 1

    norm_first: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            **BartSettings.ALIASES,
            **dict.fromkeys(("num_layers", "num_hidden_layers"), "decoder_layers"),
            **dict.fromkeys(("attention_heads", "num_attention_heads"), "decoder_attention_heads"),
            "ffn_dim": "decoder_ffn_dim",
            "layerdrop": "decoder_layerdrop",
        }
    )
    ONLY: ClassVar[Only] = MappingProxyType({})
    IGNORED: ClassVar[tuple[str, ...]] = ()

    @property
    def norms_embeddings(self) -> bool:
        """See `BartSettings`."""
        return False

    def position_states(self, position_ids: jax.Array, dtype: Dtype) -> jax.Array:
        """Return the embeddings of positions: (batch, tokens, width)."""
        rows = position_ids + _FIRST_POSITION
        # PyTorch has zeros in the row of the pad token's id.
        return jnp.where(
            rows[..., None] != self.pad_token_id, sinusoids(rows, self.d_model, dtype), 0
        )


class XGLMModule(BartModule):
    """The whole decoder."""

    body: ClassVar[type[Module]] = BartDecoder
