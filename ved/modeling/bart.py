"""The decoder of BART: each token reads from the tokens before it, and from the image.

BART has an encoder of texts and a decoder. Only the decoder is used here: its cross-attention was
trained on texts, and learns to read images. A norm follows each attention and each feed-forward.
Its relatives have the norms before (`norm_first`), and one more at the end. Positions begin at row
2 of their table.

    tokens    (batch, tokens)
    states    (batch, tokens, width)
    logits    (batch, tokens, vocabulary)

Source: https://arxiv.org/abs/1910.13461, and BartForCausalLM of transformers.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.bart_settings import EPSILON, BartSettings
from ved.modeling.decoder import next_token_logits
from ved.modeling.layers import Dtype, ProjectedAttention
from ved.modeling.linen import Dropout, Embed, LayerNorm, Module, compact
from ved.modeling.stack import DecoderOutput, Stack, StackOutput


class BartLayer(Module):
    """Self-attention, cross-attention and feed-forward, each added to the states before a norm."""

    settings: BartSettings
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
        before = states
        states, weights = self._attend("self_attn", states, None, mask, deterministic, causal=True)
        states, cross_weights = self._attend(
            "encoder_attn", states, source, source_mask, deterministic, causal=False
        )
        norm = LayerNorm(EPSILON, dtype=self.dtype, name="final_layer_norm")
        wide = norm(states) if of.norm_first else states
        wide = of.dense(of.decoder_ffn_dim, "fc1", self.dtype)(wide)
        wide = ACTIVATIONS[of.activation_function](wide)  # (batch, tokens, decoder_ffn_dim)
        wide = Dropout(of.activation_dropout)(wide, deterministic)
        new = of.dense(of.d_model, "fc2", self.dtype)(wide)
        states = states + Dropout(of.dropout)(new, deterministic)
        states = states if of.norm_first else norm(states)
        if of.decoder_layerdrop and not deterministic:  # training sometimes leaves out the layer
            dropped = jax.random.bernoulli(self.make_rng("dropout"), of.decoder_layerdrop)
            states = jnp.where(dropped, before, states)
        return states, (weights, cross_weights)

    def _attend(
        self,
        name: str,
        states: jax.Array,
        source: jax.Array | None,
        mask: jax.Array | None,
        deterministic: bool,
        *,
        causal: bool,
    ) -> tuple[jax.Array, jax.Array]:
        """Return the states with what they read, and the weights; see `Attention`."""
        of = self.settings
        attention = ProjectedAttention(
            of.d_model,
            of.decoder_attention_heads,
            of.init,
            names=("q_proj", "k_proj", "v_proj"),
            dropout_rate=of.attention_dropout,
            causal=causal,
            dtype=self.dtype,
            name=name,
        )
        norm = LayerNorm(EPSILON, dtype=self.dtype, name=f"{name}_layer_norm")
        reader = norm(states) if of.norm_first else states
        read, weights = attention(reader, source, mask, None, deterministic)
        states = states + Dropout(of.dropout)(read, deterministic)
        return (states if of.norm_first else norm(states)), weights


class BartDecoder(Module):
    """Embeddings and layers."""

    settings: BartSettings
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
        tokens = of.embed(of.vocab_size, "embed_tokens", self.dtype)
        states = tokens(input_ids)  # (batch, tokens, width)
        if of.untrained_token is not None:
            is_untrained = input_ids[..., None] == of.untrained_token
            states = jnp.where(is_untrained, jax.lax.stop_gradient(states), states)
        states = states * (of.d_model**0.5 if of.scale_embedding else 1.0)
        states = states + of.position_states(position_ids, self.dtype)  # (batch, tokens, width)
        if of.norms_embeddings:
            states = LayerNorm(EPSILON, dtype=self.dtype, name="layernorm_embedding")(states)
        states = Dropout(of.dropout)(states, deterministic)
        stack = Stack(BartLayer, of.decoder_layers, of, self.dtype, self.remat, name="layers")
        output = stack(states, *inputs, deterministic=deterministic, **outputs)
        if of.norm_first:
            norm = LayerNorm(EPSILON, dtype=self.dtype, name="layer_norm")
            output = output.with_norm(norm)
        return output, tokens


class BartWrapper(Module):
    """The decoder; in a checkpoint, its names begin with `model.decoder`."""

    settings: BartSettings
    dtype: Dtype
    remat: bool

    @compact
    def __call__(self, *inputs: jax.Array | None, **flags: bool) -> tuple[StackOutput, Embed]:
        """See `BartDecoder`."""
        decoder = BartDecoder(self.settings, self.dtype, self.remat, name="decoder")
        return decoder(*inputs, **flags)


class BartModule(Module):
    """The whole decoder."""

    settings: BartSettings
    dtype: Dtype = jnp.float32
    remat: bool = False

    body: ClassVar[type[Module]] = BartWrapper
    """The module of everything except the head."""

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
        decoder = self.body(of, self.dtype, self.remat, name="model")
        output, tokens = decoder(
            *(input_ids, position_ids, mask, source, source_mask),
            deterministic=deterministic,
            **outputs,
        )
        logits = next_token_logits(
            of, output.last_hidden_state, tokens, of.init, self.dtype, of.head
        )
        return DecoderOutput(logits, *output[1:])
