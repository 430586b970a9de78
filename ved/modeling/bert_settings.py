"""The settings of BERT, which its relatives extend."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from jax.nn.initializers import normal

from ved.modeling.decoder import DecoderSettings
from ved.modeling.layers import Dtype, Initializer
from ved.modeling.linen import Dense, LayerNorm
from ved.modeling.settings import Only


@dataclass(frozen=True, kw_only=True)
class BertSettings(DecoderSettings):
    """The settings of BERT."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12

    norm_first: ClassVar[bool] = False
    """Whether norms come before attention and feed-forward, and one more at the end."""

    has_types: ClassVar[bool] = True
    """Whether the embeddings have types of tokens."""

    # Current PyTorch computes no relative positions.
    ONLY: ClassVar[Only] = MappingProxyType({"position_embedding_type": ("absolute", None)})
    IGNORED: ClassVar[tuple[str, ...]] = (
        *("directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"),
        *("pooler_size_per_head", "pooler_type"),
    )

    def __post_init__(self) -> None:
        self._divide(self.hidden_size, self.num_attention_heads)

    @property
    def width(self) -> int:
        """See `DecoderSettings`."""
        return self.hidden_size

    @property
    def embedding_width(self) -> int:
        """The width of the embeddings; another one than that of the states needs a projection."""
        return self.hidden_size

    @property
    def positions(self) -> int:
        """See `DecoderSettings`."""
        return self.max_position_embeddings

    @property
    def projection_range(self) -> float:
        """See `DecoderSettings`."""
        return self.initializer_range

    @property
    def init(self) -> Initializer:
        """The initializer of kernels and embeddings."""
        return normal(self.initializer_range)

    def dense(self, width: int, name: str, dtype: Dtype) -> Dense:
        """Return a projection to a width."""
        return Dense(width, kernel_init=self.init, dtype=dtype, name=name)

    def norm(self, dtype: Dtype, name: str = "LayerNorm") -> LayerNorm:
        """Return a norm."""
        return LayerNorm(self.layer_norm_eps, dtype=dtype, name=name)
