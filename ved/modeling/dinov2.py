"""DINOv2: ViT with a learned scale after each attention and each feed-forward.

The scales are small at first, so that training begins with layers that change little. Images may
have any size: see `ved.modeling.positions`. The rest is explained in `ved.modeling.vit`.

    pixels    (batch, channels, height, width)
    states    (batch, 1 + patches, width)

Source: https://arxiv.org/abs/2304.07193, and Dinov2Model of transformers.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.nn.initializers import constant

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.layers import DropPath, Dtype
from ved.modeling.linen import Dense, LayerNorm, Module, compact
from ved.modeling.stack import Encoder, StackOutput
from ved.modeling.vit import (
    VisionAttention,
    VisionSettings,
    ViTEmbeddings,
    initializer,
)


@dataclass(frozen=True, kw_only=True)
class Dinov2Settings(VisionSettings):
    """The settings of DINOv2."""

    layer_norm_eps: float = 1e-6
    patch_size: tuple[int, int] = (14, 14)
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    layerscale_value: float = 1.0
    drop_path_rate: float = 0.0
    use_swiglu_ffn: bool = False
    use_mask_token: bool = True

    IGNORED: ClassVar[tuple[str, ...]] = (
        *VisionSettings.IGNORED,
        *("apply_layernorm", "reshape_hidden_states", "out_features", "out_indices", "stage_names"),
        "segmentation_indices",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._only_square()


class LayerScale(Module):
    """Multiply states by a learned scale of each of their elements."""

    width: int
    initial: float

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, states, width)."""
        scale = self.param("lambda1", constant(self.initial), (self.width,))
        return states * scale.astype(states.dtype)


class Dinov2FeedForward(Module):
    """Each state becomes wider and narrow again, with an activation or with a gate (SwiGLU)."""

    settings: Dinov2Settings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, states, width)."""
        of = self.settings
        wide = int(of.hidden_size * of.mlp_ratio)
        if not of.use_swiglu_ffn:
            states = self._dense(wide, "fc1")(states)  # (batch, states, wide)
            return self._dense(of.hidden_size, "fc2")(ACTIVATIONS[of.hidden_act](states))
        wide = (int(wide * 2 / 3) + 7) // 8 * 8  # as many parameters, in multiples of 8
        both = self._dense(2 * wide, "weights_in")(states)  # (batch, states, 2 * wide)
        gate, states = jnp.split(both, 2, axis=-1)
        return self._dense(of.hidden_size, "weights_out")(jax.nn.silu(gate) * states)

    def _dense(self, width: int, name: str) -> Dense:
        return Dense(width, kernel_init=initializer(self.settings), dtype=self.dtype, name=name)


class Dinov2Layer(Module):
    """Attention and feed-forward, each after a norm, scaled, and added to the states."""

    settings: Dinov2Settings
    number: int
    dtype: Dtype

    @compact
    def __call__(
        self, states: jax.Array, deterministic: bool
    ) -> tuple[jax.Array, tuple[jax.Array]]:
        """Return the states (batch, states, width) and the weights of the attention."""
        of, init = self.settings, initializer(self.settings)
        drop = DropPath(of.drop_path_rate)
        scale = partial(LayerScale, of.hidden_size, of.layerscale_value)
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="norm1")
        attention = VisionAttention(of, self.dtype, init, (of.qkv_bias,) * 3, name="attention")
        read, weights = attention(norm(states), None, deterministic)
        states = drop(scale(name="layer_scale1")(read), deterministic) + states
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="norm2")
        new = Dinov2FeedForward(of, self.dtype, name="mlp")(norm(states))
        states = drop(scale(name="layer_scale2")(new), deterministic) + states
        return states, (weights,)


class Dinov2Module(Module):
    """The whole encoder."""

    settings: Dinov2Settings
    dtype: Dtype = jnp.float32
    remat: bool = False
    embeddings_class: type[ViTEmbeddings] = ViTEmbeddings

    @compact
    def __call__(
        self, pixel_values: jax.Array, deterministic: bool = True, **outputs: bool
    ) -> StackOutput:
        """Encode images; see `ViTModule`."""
        of = self.settings
        embeddings = self.embeddings_class(of, self.dtype, of.use_mask_token, name="embeddings")
        states = embeddings(pixel_values, deterministic)
        encoder = Encoder(
            Dinov2Layer, of.num_hidden_layers, of, self.dtype, self.remat, name="encoder"
        )
        output = encoder(states, deterministic=deterministic, **outputs)
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm")
        return output.with_last(norm(output.last_hidden_state))
