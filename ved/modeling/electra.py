"""ELECTRA as a decoder: BERT with narrow embeddings and another head.

The embeddings of tokens can be narrower than the states. A projection makes them wider before the
first layer, and the head makes the states narrow again. `ved.modeling.bert` explains the rest.

Source: https://arxiv.org/abs/2003.10555, and ElectraForCausalLM of transformers.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.nn.initializers import zeros

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.bert import BertModule
from ved.modeling.bert_settings import BertSettings
from ved.modeling.layers import Dtype
from ved.modeling.linen import Embed, Module, compact


@dataclass(frozen=True, kw_only=True)
class ElectraSettings(BertSettings):
    """The settings of ELECTRA."""

    embedding_size: int = 128
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024

    IGNORED: ClassVar[tuple[str, ...]] = (
        *("summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout"),
    )

    @property
    def embedding_width(self) -> int:
        """See `BertSettings`."""
        return self.embedding_size


class ElectraPredictions(Module):
    """States that are as narrow as embeddings."""

    settings: ElectraSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, tokens, embedding_size)."""
        of = self.settings
        states = of.dense(of.embedding_size, "dense", self.dtype)(states)
        return of.norm(self.dtype)(ACTIVATIONS["gelu"](states))


class ElectraHead(Module):
    """The scores of all tokens from narrow states."""

    settings: ElectraSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array, tokens: Embed) -> jax.Array:
        """Return (batch, tokens, vocabulary).

        Args:
            states: (batch, tokens, embedding_size).
            tokens: the embeddings of tokens, which are the kernel too if both are tied.
        """
        of = self.settings
        if of.tie_word_embeddings:
            logits = tokens.attend(states)
        else:
            kernel = self.param("kernel", of.init, (of.embedding_size, of.vocab_size))
            logits = jnp.dot(states, kernel.astype(self.dtype))
        return logits + self.param("bias", zeros, (of.vocab_size,)).astype(self.dtype)


class ElectraModule(BertModule):
    """The whole decoder."""

    parts: ClassVar[tuple[str, str]] = ("electra", "generator_lm_head")
    head: ClassVar[type[Module]] = ElectraHead

    def scores(self, states: jax.Array, tokens: Embed) -> jax.Array:
        """Return the scores of all tokens; see `BertModule`."""
        narrow = ElectraPredictions(self.settings, self.dtype, name="generator_predictions")
        return super().scores(narrow(states), tokens)
