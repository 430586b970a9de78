"""The heads of BERT and its relatives: from states to the scores of all tokens.

A head transforms each state, and multiplies it with the embeddings of all tokens. The
token whose embedding is most like the state has the highest score.

    states    (batch, tokens, width)
    logits    (batch, tokens, vocabulary)
"""

import jax
from jax.nn.initializers import lecun_normal, zeros

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.bert_settings import BertSettings
from ved.modeling.decoder import next_token_logits
from ved.modeling.layers import Dtype, Initializer
from ved.modeling.linen import Dense, Embed, Module, compact


class BertTransform(Module):
    """The part of the head that transforms each state on its own."""

    settings: BertSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, tokens, width)."""
        of = self.settings
        states = Dense(of.hidden_size, dtype=self.dtype, name="dense")(states)
        return of.norm(self.dtype)(ACTIVATIONS[of.hidden_act](states))


class BertPredictions(Module):
    """The scores of all tokens from states."""

    settings: BertSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array, tokens: Embed) -> jax.Array:
        """Return (batch, tokens, vocabulary)."""
        states = BertTransform(self.settings, self.dtype, name="transform")(states)
        return scores(self, states, tokens, lecun_normal())


class BertHead(Module):
    """The head; in a checkpoint, its names begin with `cls.predictions`."""

    settings: BertSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array, tokens: Embed) -> jax.Array:
        """Return (batch, tokens, vocabulary)."""
        return BertPredictions(self.settings, self.dtype, name="predictions")(states, tokens)


def scores(head: Module, states: jax.Array, tokens: Embed, init: Initializer) -> jax.Array:
    """Return the scores of all tokens, with the parameters of a head.

    Args:
        head: the module of the head.
        states: (batch, tokens, width).
        tokens: the embeddings of tokens, which are the kernel too if both are tied.
        init: the initializer of a kernel that is not tied.

    Returns:
        (batch, tokens, vocabulary).
    """
    of, dtype = head.settings, head.dtype
    logits = next_token_logits(of, states, tokens, init, dtype, "decoder")
    bias = head.param("bias", zeros, (of.vocab_size,))
    return logits + bias.astype(dtype)
