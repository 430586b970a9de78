"""The settings of BART, which its relatives extend."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import jax
from jax.nn.initializers import normal

from ved.modeling.decoder import DecoderSettings
from ved.modeling.layers import Dtype, Initializer
from ved.modeling.linen import Dense, Embed
from ved.modeling.settings import Only

EPSILON = 1e-5
_FIRST_POSITION = 2
"""The first row of the table of positions that is used."""


@dataclass(frozen=True, kw_only=True)
class BartSettings(DecoderSettings):
    """The settings of the decoder of BART."""

    vocab_size: int = 50265
    max_position_embeddings: int = 1024
    d_model: int = 1024
    decoder_layers: int = 12
    decoder_attention_heads: int = 16
    decoder_ffn_dim: int = 4096
    decoder_layerdrop: float = 0.0
    activation_function: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    initializer_range: float | None = None
    scale_embedding: bool = False

    norm_first: ClassVar[bool] = False
    """Whether norms come before attention and feed-forward, and one more at the end."""

    head: ClassVar[str] = "lm_head"
    """The name of the head, if it has a kernel of its own."""

    ALIASES: ClassVar[Mapping[str, str]] = MappingProxyType({"hidden_size": "d_model"})
    ONLY: ClassVar[Only] = MappingProxyType(
        {
            "add_bias_logits": (False,),
            "add_final_layer_norm": (False,),
            "do_blenderbot_90_layernorm": (False,),
            "normalize_before": (False,),
            "static_position_embeddings": (False,),
            "normalize_embedding": (True,),
            "extra_pos_embeddings": (2,),
        }
    )
    IGNORED: ClassVar[tuple[str, ...]] = (
        *("encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "encoder_layerdrop"),
        *("num_hidden_layers", "num_attention_heads", "classif_dropout", "save_step"),
        "force_bos_token_to_be_generated",
    )

    def __post_init__(self) -> None:
        self._divide(self.d_model, self.decoder_attention_heads)

    @property
    def width(self) -> int:
        """See `DecoderSettings`."""
        return self.d_model

    @property
    def positions(self) -> int:
        """See `DecoderSettings`."""
        return self.max_position_embeddings

    @property
    def projection_range(self) -> float:
        """See `DecoderSettings`."""
        return self.init_std if self.initializer_range is None else self.initializer_range

    @property
    def untrained_token(self) -> int | None:
        """The id of a token whose state gives its embedding no gradient."""
        return None

    @property
    def norms_embeddings(self) -> bool:
        """Whether a norm follows the embeddings."""
        return True

    @property
    def init(self) -> Initializer:
        """The initializer of kernels and embeddings."""
        return normal(self.init_std)

    def dense(self, width: int, name: str, dtype: Dtype) -> Dense:
        """Return a projection to a width."""
        return Dense(width, kernel_init=self.init, dtype=dtype, name=name)

    def embed(self, rows: int, name: str, dtype: Dtype) -> Embed:
        """Return a table of embeddings."""
        return Embed(rows, self.d_model, dtype, embedding_init=self.init, name=name)

    def position_states(self, position_ids: jax.Array, dtype: Dtype) -> jax.Array:
        """Return the embeddings of positions: (batch, tokens, width).

        Args:
            position_ids: int32 (batch, tokens).
            dtype: the dtype of the computation.
        """
        rows = self.max_position_embeddings + _FIRST_POSITION
        return self.embed(rows, "embed_positions", dtype)(position_ids + _FIRST_POSITION)
