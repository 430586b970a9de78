"""The decoder of BART: each token reads from the tokens before it, and from the image.

BART has an encoder of texts and a decoder. Only the decoder is used here: its cross-attention was
trained on texts, and learns to read images. A norm follows each attention and each feed-forward.
Positions begin at row 2 of their table.

    tokens    (batch, tokens)
    states    (batch, tokens, width)
    logits    (batch, tokens, vocabulary)

Source: https://arxiv.org/abs/1910.13461, and BartForCausalLM of transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.nn.initializers import normal

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.decoder import DecoderSettings, next_token_logits
from ved.modeling.layers import Attention, Dtype, Initializer
from ved.modeling.linen import Dense, Dropout, Embed, LayerNorm, Module, compact
from ved.modeling.settings import Only
from ved.modeling.stack import DecoderOutput, Stack, StackOutput

_FIRST_POSITION = 2
_EPSILON = 1e-5


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
    def init(self) -> Initializer:
        """The initializer of kernels and embeddings."""
        return normal(self.init_std)

    def dense(self, width: int, name: str, dtype: Dtype) -> Dense:
        """Return a projection to a width."""
        return Dense(width, kernel_init=self.init, dtype=dtype, name=name)


class BartAttention(Attention):
    """Attention with a projection after it."""

    def output(self, read: jax.Array, deterministic: bool) -> jax.Array:
        """Return (batch, tokens, width)."""
        assert self.kernel_init is not None
        project = Dense(self.width, kernel_init=self.kernel_init, dtype=self.dtype, name="out_proj")
        return project(read)


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

        def add(new: jax.Array, states: jax.Array, norm: str) -> jax.Array:
            states = states + Dropout(of.dropout)(new, deterministic)
            return LayerNorm(_EPSILON, dtype=self.dtype, name=norm)(states)

        before = states
        attention = self._attention("self_attn", causal=True)
        read, weights = attention(states, None, mask, None, deterministic)
        states = add(read, states, "self_attn_layer_norm")
        attention = self._attention("encoder_attn", causal=False)
        read, cross_weights = attention(states, source, source_mask, None, deterministic)
        states = add(read, states, "encoder_attn_layer_norm")
        wide = of.dense(of.decoder_ffn_dim, "fc1", self.dtype)(states)
        wide = ACTIVATIONS[of.activation_function](wide)  # (batch, tokens, decoder_ffn_dim)
        wide = Dropout(of.activation_dropout)(wide, deterministic)
        new = of.dense(of.d_model, "fc2", self.dtype)(wide)
        states = add(new, states, "final_layer_norm")
        if of.decoder_layerdrop and not deterministic:  # training sometimes leaves out the layer
            dropped = jax.random.bernoulli(self.make_rng("dropout"), of.decoder_layerdrop)
            states = jnp.where(dropped, before, states)
        return states, (weights, cross_weights)

    def _attention(self, name: str, *, causal: bool) -> BartAttention:
        of = self.settings
        return BartAttention(
            of.d_model,
            of.decoder_attention_heads,
            of.init,
            names=("q_proj", "k_proj", "v_proj"),
            dropout_rate=of.attention_dropout,
            causal=causal,
            dtype=self.dtype,
            name=name,
        )


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
        tokens = self._embed(of.vocab_size, "embed_tokens")
        positions = self._embed(of.max_position_embeddings + _FIRST_POSITION, "embed_positions")
        states = tokens(input_ids) * (of.d_model**0.5 if of.scale_embedding else 1.0)
        states = states + positions(position_ids + _FIRST_POSITION)  # (batch, tokens, width)
        states = LayerNorm(_EPSILON, dtype=self.dtype, name="layernorm_embedding")(states)
        states = Dropout(of.dropout)(states, deterministic)
        stack = Stack(BartLayer, of.decoder_layers, of, self.dtype, self.remat, name="layers")
        return stack(states, *inputs, deterministic=deterministic, **outputs), tokens

    def _embed(self, size: int, name: str) -> Embed:
        of = self.settings
        return Embed(size, of.d_model, self.dtype, embedding_init=of.init, name=name)


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
        decoder = BartWrapper(of, self.dtype, self.remat, name="model")
        output, tokens = decoder(
            *(input_ids, position_ids, mask, source, source_mask),
            deterministic=deterministic,
            **outputs,
        )
        logits = next_token_logits(
            of, output.last_hidden_state, tokens, of.init, self.dtype, "lm_head"
        )
        return DecoderOutput(logits, *output[1:])
