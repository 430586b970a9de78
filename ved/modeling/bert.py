"""BERT as a decoder: each token reads from itself, the tokens before it, and the image.

BERT is an encoder of texts. As a decoder, its self-attention becomes causal, and each layer gets a
cross-attention. A token becomes a state: the sum of the embeddings of the token, of its position
and of type 0, after a norm. Each layer changes the states in three steps, whose results it adds:

1. Self-attention: queries, keys and values come from the states. A token reads from itself and the
   tokens before it.
2. Cross-attention: queries come from the states, keys and values from the encoder's states. Every
   token may read from every patch that `source_mask` does not forbid.
3. The feed-forward transforms each state on its own.

A norm follows each sum. RoBERTa-PreLayerNorm has a norm before each step instead (`norm_first`), as
GPT-2 has, and one after the last layer. The head transforms each state, and multiplies it with the
embeddings of all tokens. `ved.modeling.layers` has the attention, and says where generation keeps
keys and values.

    tokens    (batch, tokens)
    states    (batch, tokens, width)
    source    (batch, sources, any width), the encoder's states
    queries   (batch, tokens, heads, width / heads)
    keys      (batch, tokens or sources, heads, width / heads), and values
    weights   (batch, heads, tokens, tokens or sources)
    logits    (batch, tokens, vocabulary)

Source: https://arxiv.org/abs/1810.04805, and BertLMHeadModel of transformers.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.bert_head import BertHead
from ved.modeling.bert_settings import BertSettings
from ved.modeling.layers import Attention, Dtype
from ved.modeling.linen import Dropout, Embed, Module, compact
from ved.modeling.stack import DecoderOutput, Encoder, StackOutput


class BertEmbeddings(Module):
    """The states of tokens: the sums of three embeddings."""

    settings: BertSettings
    dtype: Dtype

    @compact
    def __call__(
        self, input_ids: jax.Array, position_ids: jax.Array, deterministic: bool
    ) -> tuple[jax.Array, Embed]:
        """Return states (batch, tokens, embedding_width), and the embeddings of tokens.

        Args:
            input_ids: int32 (batch, tokens).
            position_ids: int32 (batch, tokens).
            deterministic: whether there is no dropout.
        """
        of = self.settings
        tokens = self._embed(of.vocab_size, "word_embeddings")
        positions = self._embed(of.max_position_embeddings, "position_embeddings")
        states = tokens(input_ids)  # (batch, tokens, embedding_width)
        if of.has_types:
            types = self._embed(of.type_vocab_size, "token_type_embeddings")
            states = states + types(jnp.zeros_like(input_ids))
        states = of.norm(self.dtype)(states + positions(position_ids))
        return Dropout(of.hidden_dropout_prob)(states, deterministic), tokens

    def _embed(self, size: int, name: str) -> Embed:
        of = self.settings
        return Embed(size, of.embedding_width, self.dtype, embedding_init=of.init, name=name)


class BertOutput(Module):
    """Project what was computed, and add it to the states."""

    settings: BertSettings
    dtype: Dtype

    @compact
    def __call__(self, new: jax.Array, states: jax.Array, deterministic: bool) -> jax.Array:
        """Return (batch, tokens, width).

        Args:
            new: (batch, tokens, any width).
            states: (batch, tokens, width).
            deterministic: whether there is no dropout.
        """
        of = self.settings
        new = of.dense(of.hidden_size, "dense", self.dtype)(new)
        states = Dropout(of.hidden_dropout_prob)(new, deterministic) + states
        return states if of.norm_first else of.norm(self.dtype)(states)


class BertAttention(Module):
    """Self-attention or cross-attention, added to the states."""

    settings: BertSettings
    dtype: Dtype
    causal: bool

    @compact
    def __call__(
        self,
        states: jax.Array,
        source: jax.Array | None,
        mask: jax.Array | None,
        deterministic: bool,
    ) -> tuple[jax.Array, jax.Array]:
        """Return the states and the weights. Self-attention has no `source`. See `Attention`."""
        of = self.settings
        attention = Attention(
            of.hidden_size,
            of.num_attention_heads,
            of.init,
            dropout_rate=of.attention_probs_dropout_prob,
            causal=self.causal,
            dtype=self.dtype,
            name="self",
        )
        reader = of.norm(self.dtype)(states) if of.norm_first else states
        read, weights = attention(reader, source, mask, None, deterministic)
        output = BertOutput(of, self.dtype, name="output")
        return output(read, states, deterministic), weights


class BertIntermediate(Module):
    """The first half of the feed-forward: wider states, and an activation."""

    settings: BertSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, tokens, intermediate_size)."""
        of = self.settings
        if of.norm_first:
            states = of.norm(self.dtype)(states)
        states = of.dense(of.intermediate_size, "dense", self.dtype)(states)
        return ACTIVATIONS[of.hidden_act](states)


class BertLayer(Module):
    """Self-attention, cross-attention and feed-forward."""

    settings: BertSettings
    number: int
    dtype: Dtype

    @compact
    def __call__(
        self,
        states: jax.Array,
        mask: jax.Array | None,
        source: jax.Array | None,
        source_mask: jax.Array | None,
        deterministic: bool,
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Return the states and the weights of both attentions; see `GPT2Layer`."""
        of = self.settings
        attention = BertAttention(of, self.dtype, causal=True, name="attention")
        states, weights = attention(states, None, mask, deterministic)
        attention = BertAttention(of, self.dtype, causal=False, name="crossattention")
        states, cross_weights = attention(states, source, source_mask, deterministic)
        wide = BertIntermediate(of, self.dtype, name="intermediate")(states)
        states = BertOutput(of, self.dtype, name="output")(wide, states, deterministic)
        return states, (weights, cross_weights)


class BertTransformer(Module):
    """Embeddings and layers."""

    settings: BertSettings
    dtype: Dtype
    remat: bool

    @compact
    def __call__(
        self,
        input_ids: jax.Array,
        position_ids: jax.Array,
        *inputs: jax.Array | None,
        deterministic: bool,
        **outputs: bool,
    ) -> tuple[StackOutput, Embed]:
        """Return the states (batch, tokens, width), and the embeddings of tokens."""
        of = self.settings
        embeddings = BertEmbeddings(of, self.dtype, name="embeddings")
        states, tokens = embeddings(input_ids, position_ids, deterministic)
        if of.embedding_width != of.hidden_size:
            states = of.dense(of.hidden_size, "embeddings_project", self.dtype)(states)
        # In a checkpoint, the layers of BERT are an "encoder", in a decoder, too.
        layers = Encoder(
            BertLayer, of.num_hidden_layers, of, self.dtype, self.remat, name="encoder"
        )
        output = layers(states, *inputs, deterministic=deterministic, **outputs)
        if of.norm_first:
            output = output.with_last(of.norm(self.dtype)(output.last_hidden_state))
        return output, tokens


class BertModule(Module):
    """The whole decoder.

    Attributes:
        parts: the names of the transformer and of the head in a checkpoint.
        head: the module of the head.
    """

    settings: BertSettings
    dtype: Dtype = jnp.float32
    remat: bool = False

    parts: ClassVar[tuple[str, str]] = ("bert", "cls")
    head: ClassVar[type[Module]] = BertHead

    @compact
    def __call__(
        self,
        input_ids: jax.Array,
        position_ids: jax.Array,
        mask: jax.Array | None = None,
        source: jax.Array | None = None,
        source_mask: jax.Array | None = None,
        deterministic: bool = True,
        **outputs: bool,
    ) -> DecoderOutput:
        """Return the scores of the next token after each token; see `GPT2Module`."""
        of = self.settings
        transformer = BertTransformer(of, self.dtype, self.remat, name=self.parts[0])
        output, tokens = transformer(
            *(input_ids, position_ids, mask, source, source_mask),
            deterministic=deterministic,
            **outputs,
        )
        return DecoderOutput(self.scores(output.last_hidden_state, tokens), *output[1:])

    def scores(self, states: jax.Array, tokens: Embed) -> jax.Array:
        """Return the scores of all tokens: (batch, tokens, vocabulary).

        Args:
            states: (batch, tokens, width).
            tokens: the embeddings of tokens.
        """
        head = self.head(self.settings, self.dtype, name=self.parts[1])
        logits: jax.Array = head(states, tokens)
        return logits
