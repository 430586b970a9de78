"""ViT: an image becomes one state for each patch, and one for the whole image.

The image is cut into patches of 16 x 16 pixels, and a convolution projects each patch to a state.
A learned state, the class token, comes first: it will stand for the whole image. Each state gets
the embedding of its position added. Then, in each layer, every state reads from all others
(attention), and is transformed on its own (feed-forward). Both results are added to the states.

    pixels    (batch, channels, 224, 224)
    patches   (batch, 196, width)
    states    (batch, 1 + 196, width)

Source: https://arxiv.org/abs/2010.11929, and ViTModel of transformers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.nn.initializers import variance_scaling

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.image_settings import ImageSettings
from ved.modeling.layers import Attention, Dtype, Initializer, PatchEmbeddings
from ved.modeling.linen import Dense, Dropout, LayerNorm, Module, compact
from ved.modeling.positions import Method, bicubic, interpolate_positions
from ved.modeling.stack import Encoder, StackOutput


@dataclass(frozen=True, kw_only=True)
class VisionSettings(ImageSettings):
    """The settings of encoders whose states all have one width."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12

    def __post_init__(self) -> None:
        self._divide(self.hidden_size, self.num_attention_heads)


@dataclass(frozen=True, kw_only=True)
class ViTSettings(VisionSettings):
    """The settings of ViT."""

    intermediate_size: int = 3072
    qkv_bias: bool = True
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"

    IGNORED: ClassVar[tuple[str, ...]] = (*VisionSettings.IGNORED, "encoder_stride")


def initializer(settings: VisionSettings) -> Initializer:
    """Return the initializer of all parameters but biases and norms."""
    return variance_scaling(settings.initializer_range**2, "fan_in", "truncated_normal")


class ViTEmbeddings(Module):
    """The states of the class token and of the patches, with their positions.

    Attributes:
        settings: the settings of the family.
        dtype: the dtype of the computation.
        has_mask_token: whether checkpoints have one, for pretraining.
        resampling: how positions are resized for images of other sizes.
    """

    settings: VisionSettings
    dtype: Dtype
    has_mask_token: bool = False
    resampling: Method = bicubic

    @compact
    def __call__(self, pixel_values: jax.Array, deterministic: bool) -> jax.Array:
        """Return (batch, tokens + patches, width) for pixels (batch, channels, height, width)."""
        of = self.settings
        init, width = initializer(of), of.hidden_size
        patches = PatchEmbeddings(width, of.patch_size, init, self.dtype, name="patch_embeddings")(
            pixel_values
        )  # (batch, patches, width)
        tokens = self.tokens()  # (1, tokens, width)
        if self.has_mask_token and self.is_initializing():  # for pretraining only
            self.param("mask_token", init, (1, width))
        rows, columns = of.grid
        shape = (1, tokens.shape[1] + rows * columns, width)
        positions = self.param("position_embeddings", init, shape)
        new = of.grid_of(*pixel_values.shape[2:])
        positions = interpolate_positions(positions, of.grid, new, self.resampling)
        tokens = jnp.broadcast_to(tokens, (patches.shape[0], *tokens.shape[1:]))
        states = jnp.concatenate((tokens.astype(self.dtype), patches), axis=1)
        states = self.after_positions(states + positions.astype(self.dtype))
        return Dropout(of.hidden_dropout_prob)(states, deterministic)

    def tokens(self) -> jax.Array:
        """Return the states that come before the patches: (1, tokens, width)."""
        token: jax.Array = self.param(
            "cls_token", initializer(self.settings), (1, 1, self.settings.hidden_size)
        )
        return token

    def after_positions(self, states: jax.Array) -> jax.Array:
        """Return the states with those that have no position, if the family has any."""
        return states


class AttentionOutput(Module):
    """The projection after an attention: its parameters are below `output` in a checkpoint."""

    settings: VisionSettings
    dtype: Dtype
    kernel_init: Initializer

    @compact
    def __call__(self, states: jax.Array, deterministic: bool) -> jax.Array:
        """Return (batch, states, width), from states (batch, states, any width)."""
        project = Dense(
            self.settings.hidden_size, kernel_init=self.kernel_init, dtype=self.dtype, name="dense"
        )
        return Dropout(self.settings.hidden_dropout_prob)(project(states), deterministic)


class VisionAttention(Module):
    """Attention of all states to all states, and the projection after it."""

    settings: VisionSettings
    dtype: Dtype
    kernel_init: Initializer
    use_bias: tuple[bool, bool, bool]
    attention: Callable[..., Attention] = Attention

    @compact
    def __call__(
        self, states: jax.Array, bias: jax.Array | None, deterministic: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Return (batch, states, width), and weights (batch, heads, states, states)."""
        of = self.settings
        attention = self.attention(
            of.hidden_size,
            of.num_attention_heads,
            self.kernel_init,
            use_bias=self.use_bias,
            dropout_rate=of.attention_probs_dropout_prob,
            dtype=self.dtype,
            name="attention",
        )
        read, weights = attention(states, bias=bias, deterministic=deterministic)
        output = AttentionOutput(of, self.dtype, self.kernel_init, name="output")
        return output(read, deterministic), weights


class Intermediate(Module):
    """The first half of a feed-forward: wider states, and an activation."""

    width: int
    activation: str
    kernel_init: Initializer
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, states, `self.width`)."""
        project = Dense(self.width, kernel_init=self.kernel_init, dtype=self.dtype, name="dense")
        return ACTIVATIONS[self.activation](project(states))


class ViTLayer(Module):
    """Attention and feed-forward, each after a norm and added to the states."""

    settings: ViTSettings
    number: int
    dtype: Dtype

    @compact
    def __call__(
        self, states: jax.Array, deterministic: bool
    ) -> tuple[jax.Array, tuple[jax.Array]]:
        """Return the states (batch, states, width) and the weights of the attention."""
        of, init = self.settings, initializer(self.settings)
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm_before")
        attention = VisionAttention(of, self.dtype, init, (of.qkv_bias,) * 3, name="attention")
        read, weights = attention(norm(states), None, deterministic)
        states = read + states
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm_after")
        wide = Intermediate(
            of.intermediate_size, of.hidden_act, init, self.dtype, name="intermediate"
        )(norm(states))  # (batch, states, intermediate_size)
        output = AttentionOutput(of, self.dtype, init, name="output")
        return output(wide, deterministic) + states, (weights,)


class ViTPooler(Module):
    """One state for the whole image, which a decoder does not read."""

    settings: ViTSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, width) from states (batch, states, width)."""
        of = self.settings
        project = Dense(
            of.hidden_size if of.pooler_output_size is None else of.pooler_output_size,
            kernel_init=initializer(of),
            dtype=self.dtype,
            name="dense",
        )
        return ACTIVATIONS[of.pooler_act](project(states[:, 0]))


class ViTModule(Module):
    """The whole encoder."""

    settings: ViTSettings
    dtype: Dtype = jnp.float32
    remat: bool = False
    embeddings_class: type[ViTEmbeddings] = ViTEmbeddings
    has_pooler: ClassVar[bool] = True

    @compact
    def __call__(
        self, pixel_values: jax.Array, deterministic: bool = True, **outputs: bool
    ) -> StackOutput:
        """Encode images.

        Args:
            pixel_values: (batch, channels, height, width).
            deterministic: whether there is no dropout.
            **outputs: `output_attentions` and `output_hidden_states`; see `Stack`.

        Returns:
            An output with `last_hidden_state` (batch, tokens + patches, width).
        """
        of = self.settings
        embeddings = self.embeddings_class(of, self.dtype, name="embeddings")
        states = embeddings(pixel_values, deterministic)
        encoder = Encoder(
            ViTLayer, of.num_hidden_layers, of, self.dtype, self.remat, name="encoder"
        )
        output = encoder(states, deterministic=deterministic, **outputs)
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm")
        states = norm(output.last_hidden_state)
        if self.has_pooler and self.is_initializing():  # checkpoints have its parameters
            ViTPooler(of, self.dtype, name="pooler")(states)
        return output.with_last(states)
