"""RoBERTa as a decoder, and its relatives: BERT with other positions and another head.

The first token has the position after the id of the pad token, and pad tokens have that id as their
position. So a position does not say how many tokens come before. XLM-RoBERTa has the same
computation. RoBERTa-PreLayerNorm has the norms in other places. `ved.modeling.bert` explains the
rest.

Source: https://arxiv.org/abs/1907.11692, and RobertaForCausalLM of transformers.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.bert import BertModule
from ved.modeling.bert_head import scores
from ved.modeling.bert_settings import BertSettings
from ved.modeling.decoder import positions_from_pad
from ved.modeling.layers import Dtype
from ved.modeling.linen import Embed, Module, compact


@dataclass(frozen=True, kw_only=True)
class RobertaSettings(BertSettings):
    """The settings of RoBERTa."""

    vocab_size: int = 50265
    pad_token_id: int = 1

    @property
    def positions(self) -> int:
        """See `DecoderSettings`."""
        return self.max_position_embeddings - self.pad_token_id - 1

    def position_ids(self, input_ids: jax.Array, past: jax.Array | int = 0) -> jax.Array:
        """Return the position of each token: int32 (batch, tokens); see `DecoderSettings`."""
        return positions_from_pad(input_ids, past, self.pad_token_id)


@dataclass(frozen=True, kw_only=True)
class XLMRobertaSettings(RobertaSettings):
    """The settings of XLM-RoBERTa."""

    vocab_size: int = 30522


@dataclass(frozen=True, kw_only=True)
class RobertaPreLayerNormSettings(RobertaSettings):
    """The settings of RoBERTa-PreLayerNorm."""

    norm_first: ClassVar[bool] = True


class RobertaHead(Module):
    """The scores of all tokens from states."""

    settings: RobertaSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array, tokens: Embed) -> jax.Array:
        """Return (batch, tokens, vocabulary)."""
        of = self.settings
        states = of.dense(of.hidden_size, "dense", self.dtype)(states)  # (batch, tokens, width)
        states = of.norm(self.dtype, "layer_norm")(ACTIVATIONS["gelu"](states))
        return scores(self, states, tokens, of.init)


class RobertaModule(BertModule):
    """The whole decoder."""

    parts: ClassVar[tuple[str, str]] = ("roberta", "lm_head")
    head: ClassVar[type[Module]] = RobertaHead


class RobertaPreLayerNormModule(RobertaModule):
    """The whole decoder, with the norms before attention and feed-forward."""

    parts: ClassVar[tuple[str, str]] = ("roberta_prelayernorm", "lm_head")
