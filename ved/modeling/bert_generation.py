"""BertGeneration as a decoder: BERT without types of tokens, and with the simplest head.

The head multiplies the states with the embeddings of all tokens, without a transformation before.
`ved.modeling.bert` explains the rest.

Source: https://arxiv.org/abs/1907.12461, and BertGenerationDecoder of transformers.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax

from ved.modeling.bert import BertModule
from ved.modeling.bert_head import scores
from ved.modeling.bert_settings import BertSettings
from ved.modeling.layers import Dtype
from ved.modeling.linen import Embed, Module, compact


@dataclass(frozen=True, kw_only=True)
class BertGenerationSettings(BertSettings):
    """The settings of BertGeneration."""

    vocab_size: int = 50358
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096

    has_types: ClassVar[bool] = False
    IGNORED: ClassVar[tuple[str, ...]] = (*BertSettings.IGNORED, "type_vocab_size")


class BertGenerationHead(Module):
    """The scores of all tokens from states."""

    settings: BertGenerationSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array, tokens: Embed) -> jax.Array:
        """Return (batch, tokens, vocabulary)."""
        return scores(self, states, tokens, self.settings.init)


class BertGenerationModule(BertModule):
    """The whole decoder."""

    parts: ClassVar[tuple[str, str]] = ("bert", "lm_head")
    head: ClassVar[type[Module]] = BertGenerationHead
