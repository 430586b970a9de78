"""GPT-2 as a decoder: each token reads from itself, the tokens before it, and the image.

A token becomes a state: its embedding plus that of its position. Each layer changes the states in
three steps. Each step reads the states after a norm of its own, and its result is added to the
states as they were before that norm:

1. Self-attention: queries, keys and values come from the states. A token reads from itself and the
   tokens before it.
2. Cross-attention: queries come from the states, keys and values from the encoder's states. Every
   token may read from every patch that `source_mask` does not forbid.
3. The feed-forward transforms each state on its own.

A last norm follows the layers. Then the scores of the next token are the products of a state with
the embeddings of all tokens (if `tie_word_embeddings`). `ved.modeling.layers` has the attention,
and says where generation keeps keys and values.

    tokens    (batch, tokens)
    states    (batch, tokens, width)
    source    (batch, sources, width), the encoder's states
    queries   (batch, tokens, heads, width / heads)
    keys      (batch, tokens or sources, heads, width / heads), and values
    weights   (batch, heads, tokens, tokens or sources)
    logits    (batch, tokens, vocabulary)

In self-attention one kernel computes queries, keys and values. In cross-attention one computes the
queries, and another one keys and values. Kernels have the axes (out, in), unlike everywhere else in
Flax. Source: GPT2LMHeadModel of transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.nn.initializers import normal, zeros

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.decoder import DecoderSettings, next_token_logits
from ved.modeling.layers import Attention, Dtype
from ved.modeling.linen import Dropout, Embed, LayerNorm, Module, compact
from ved.modeling.settings import Only
from ved.modeling.stack import DecoderOutput, Stack, StackOutput


@dataclass(frozen=True, kw_only=True)
class GPT2Settings(DecoderSettings):
    """The settings of GPT-2."""

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False

    ALIASES: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "max_position_embeddings": "n_positions",
            "hidden_size": "n_embd",
            "num_hidden_layers": "n_layer",
            "num_attention_heads": "n_head",
        }
    )
    ONLY: ClassVar[Only] = MappingProxyType({"normalize_attention_scores": (True,)})
    # Attention is always computed as `reorder_and_upcast_attn` asks for: the order is for float16.
    IGNORED: ClassVar[tuple[str, ...]] = (
        *("reorder_and_upcast_attn", "n_ctx", "n_special", "predict_special_tokens"),
        *("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels"),
        *("summary_first_dropout", "apply_query_key_layer_scaling"),
    )

    def __post_init__(self) -> None:
        self._divide(self.n_embd, self.n_head)

    @property
    def width(self) -> int:
        """See `DecoderSettings`."""
        return self.n_embd

    @property
    def positions(self) -> int:
        """See `DecoderSettings`."""
        return self.n_positions

    @property
    def projection_range(self) -> float:
        """See `DecoderSettings`."""
        return self.initializer_range

    def scale(self, number: int) -> float | None:
        """Return `Attention.scale` of the layer with a number, from 0."""
        if self.scale_attn_weights and not self.scale_attn_by_inverse_layer_idx:
            return None
        head = self.n_embd // self.n_head
        scale = head**-0.5 if self.scale_attn_weights else 1.0
        return scale / (number + 1) if self.scale_attn_by_inverse_layer_idx else scale


class Conv1D(Module):
    """A projection whose kernel has the axes (out, in). transformers calls it a convolution."""

    width: int
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, states, `self.width`)."""
        kernel = self.param("kernel", normal(0.02), (self.width, states.shape[-1]))
        bias = self.param("bias", zeros, (self.width,))
        return jnp.dot(states.astype(self.dtype), kernel.T.astype(self.dtype)) + bias.astype(
            self.dtype
        )


class GPT2Attention(Attention):
    """Attention with one kernel for queries, keys and values, or for keys and values."""

    output_dropout: float = 0.0

    def project(self, states: jax.Array, which: int) -> jax.Array:
        """Return queries; `project_all` computes the others."""
        assert which == 0
        return Conv1D(self.width, self.dtype, name="q_attn")(states)

    def project_all(
        self, states: jax.Array, source: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return queries, keys and values."""
        if source is None:
            wide = Conv1D(3 * self.width, self.dtype, name="c_attn")(states)
            query, key, value = jnp.split(wide, 3, axis=-1)
            return query, key, value
        wide = Conv1D(2 * self.width, self.dtype, name="c_attn")(source)
        key, value = jnp.split(wide, 2, axis=-1)
        return self.project(states, 0), key, value

    def output(self, read: jax.Array, deterministic: bool) -> jax.Array:
        """Return (batch, states, width)."""
        states = Conv1D(self.width, self.dtype, name="c_proj")(read)
        return Dropout(self.output_dropout)(states, deterministic)


class GPT2FeedForward(Module):
    """Each state becomes wider, goes through an activation, and becomes narrow again."""

    settings: GPT2Settings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array, deterministic: bool) -> jax.Array:
        """Return (batch, tokens, width)."""
        of = self.settings
        inner = 4 * of.width if of.n_inner is None else of.n_inner
        states = Conv1D(inner, self.dtype, name="c_fc")(states)  # (batch, tokens, inner)
        states = ACTIVATIONS[of.activation_function](states)
        states = Conv1D(of.width, self.dtype, name="c_proj")(states)  # (batch, tokens, width)
        return Dropout(of.resid_pdrop)(states, deterministic)


class GPT2Layer(Module):
    """Self-attention, cross-attention and feed-forward, each after a norm."""

    settings: GPT2Settings
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
        """Return the states (batch, tokens, width), and the weights of both attentions.

        Args:
            states: (batch, tokens, width).
            mask: see `Attention`.
            source: (batch, sources, width), the encoder's states; see `Attention`.
            source_mask: int (batch, sources), 0 for those that no token may read.
            deterministic: whether there is no dropout.
        """

        def norm(name: str) -> LayerNorm:
            return LayerNorm(self.settings.layer_norm_epsilon, dtype=self.dtype, name=name)

        read, weights = self._attention("attn", causal=True)(
            norm("ln_1")(states), None, mask, None, deterministic
        )
        states = read + states
        read, cross_weights = self._attention("crossattention", causal=False)(
            norm("ln_cross_attn")(states), source, source_mask, None, deterministic
        )
        states = states + read
        feed_forward = GPT2FeedForward(self.settings, self.dtype, name="mlp")
        states = states + feed_forward(norm("ln_2")(states), deterministic)
        return states, (weights, cross_weights)

    def _attention(self, name: str, *, causal: bool) -> GPT2Attention:
        of = self.settings
        return GPT2Attention(
            of.width,
            of.n_head,
            dropout_rate=of.attn_pdrop,
            output_dropout=of.resid_pdrop,
            causal=causal,
            scale=of.scale(self.number),
            dtype=self.dtype,
            name=name,
        )


class GPT2Transformer(Module):
    """Embeddings, layers, and a last norm."""

    settings: GPT2Settings
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
        init = normal(of.initializer_range)
        tokens = Embed(of.vocab_size, of.width, self.dtype, embedding_init=init, name="wte")
        positions = Embed(of.n_positions, of.width, self.dtype, embedding_init=init, name="wpe")
        states = tokens(input_ids) + positions(position_ids)  # (batch, tokens, width)
        states = Dropout(of.embd_pdrop)(states, deterministic)
        stack = Stack(GPT2Layer, of.n_layer, of, self.dtype, self.remat, name="h")
        output = stack(states, *inputs, deterministic=deterministic, **outputs)
        norm = LayerNorm(of.layer_norm_epsilon, dtype=self.dtype, name="ln_f")
        return output.with_norm(norm), tokens


class GPT2Module(Module):
    """The whole decoder."""

    settings: GPT2Settings
    dtype: Dtype = jnp.float32
    remat: bool = False

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
        """Return the scores of the next token after each token.

        The arguments are those of `VisionEncoderDecoderModule.decode`; `source` is the projected
        states of the encoder.
        """
        of = self.settings
        transformer = GPT2Transformer(of, self.dtype, self.remat, name="transformer")
        output, tokens = transformer(
            input_ids,
            position_ids,
            *(mask, source, source_mask),
            deterministic=deterministic,
            **outputs,
        )
        init = normal(of.initializer_range)
        logits = next_token_logits(
            of, output.last_hidden_state, tokens, init, self.dtype, "lm_head"
        )
        return DecoderOutput(logits, *output[1:])
