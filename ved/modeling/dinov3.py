"""DINOv3: ViT whose queries and keys are rotated by the position of their patch.

No position is added to the states: see `ved.modeling.rotations`. So images may have any size.
Positions are between -1 and 1 in every image. The class token and registers are states without a
patch, and are not rotated. Scales and registers are explained in `ved.modeling.dinov2` and
`ved.modeling.dinov2_with_registers`.

    pixels    (batch, channels, height, width)
    states    (batch, 1 + registers + patches, width)

Source: https://arxiv.org/abs/2508.10104, and DINOv3ViTModel of transformers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.nn.initializers import truncated_normal, zeros

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.dinov2 import LayerScale
from ved.modeling.errors import ModelingError
from ved.modeling.layers import (
    DropPath,
    Dtype,
    Initializer,
    embed_patches,
    patch_projection,
)
from ved.modeling.linen import Dense, LayerNorm, Module, compact
from ved.modeling.rotations import RotatedAttention, angles_of, centers
from ved.modeling.stack import Stack, StackOutput
from ved.modeling.vit import VisionSettings


@dataclass(frozen=True, kw_only=True)
class DINOv3Settings(VisionSettings):
    """The settings of DINOv3."""

    hidden_size: int = 384
    num_attention_heads: int = 6
    intermediate_size: int = 1536
    layer_norm_eps: float = 1e-5
    rope_theta: float = 100.0
    query_bias: bool = True
    key_bias: bool = False
    value_bias: bool = True
    proj_bias: bool = True
    mlp_bias: bool = True
    layerscale_value: float = 1.0
    drop_path_rate: float = 0.0
    use_gated_mlp: bool = False
    num_register_tokens: int = 0
    pos_embed_shift: int | float | None = None
    pos_embed_jitter: int | float | None = None
    pos_embed_rescale: float | None = 2.0

    ALIASES: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"attention_dropout": "attention_probs_dropout_prob"}
    )
    IGNORED: ClassVar[tuple[str, ...]] = (
        *VisionSettings.IGNORED,
        *("apply_layernorm", "reshape_hidden_states", "out_features", "out_indices", "stage_names"),
        "return_class_token",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head_width % 4:
            raise ModelingError(
                f"The heads are {self.head_width} wide, but rotations need a multiple of 4. "
                "Check the config."
            )

    @property
    def head_width(self) -> int:
        """The width of a head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def init(self) -> Initializer:
        """The initializer of kernels and tokens."""
        return truncated_normal(self.initializer_range)


class DINOv3Embeddings(Module):
    """The states of the class token, of registers and of the patches, without positions."""

    settings: DINOv3Settings
    dtype: Dtype

    @compact
    def __call__(self, pixel_values: jax.Array) -> jax.Array:
        """Return (batch, 1 + registers + patches, width) for pixels."""
        of, width = self.settings, self.settings.hidden_size
        token = self.param("cls_token", of.init, (1, 1, width))
        if self.is_initializing():  # for pretraining only
            self.param("mask_token", zeros, (1, 1, width))
        registers = self.param("register_tokens", of.init, (1, of.num_register_tokens, width))
        tokens = jnp.concatenate((token, registers), axis=1).astype(self.dtype)
        project = patch_projection(width, of.patch_size, of.init, self.dtype, "patch_embeddings")
        patches = embed_patches(project, pixel_values)  # (batch, patches, width)
        tokens = jnp.broadcast_to(tokens, (patches.shape[0], *tokens.shape[1:]))
        return jnp.concatenate((tokens, patches), axis=1)


class DINOv3FeedForward(Module):
    """Each state becomes wider and narrow again, with an activation, and with a gate if asked."""

    settings: DINOv3Settings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, states, width)."""
        of, act = self.settings, ACTIVATIONS[self.settings.hidden_act]
        wide = self._dense(of.intermediate_size, "up_proj")(states)  # (batch, states, wide)
        if of.use_gated_mlp:
            wide = act(self._dense(of.intermediate_size, "gate_proj")(states)) * wide
        else:
            wide = act(wide)
        return self._dense(of.hidden_size, "down_proj")(wide)

    def _dense(self, width: int, name: str) -> Dense:
        of = self.settings
        return Dense(width, of.mlp_bias, self.dtype, kernel_init=of.init, name=name)


class DINOv3Layer(Module):
    """Attention and feed-forward, each after a norm, scaled, and added to the states."""

    settings: DINOv3Settings
    number: int
    dtype: Dtype

    @compact
    def __call__(
        self, states: jax.Array, cos: jax.Array, sin: jax.Array, deterministic: bool
    ) -> tuple[jax.Array, tuple[jax.Array]]:
        """Return the states (batch, states, width) and the weights of the attention."""
        of = self.settings
        drop = DropPath(of.drop_path_rate)
        scale = partial(LayerScale, of.hidden_size, of.layerscale_value)
        attention = RotatedAttention(
            *(of.hidden_size, of.num_attention_heads, of.init),
            names=("q_proj", "k_proj", "v_proj"),
            use_bias=(of.query_bias, of.key_bias, of.value_bias),
            dropout_rate=of.attention_probs_dropout_prob,
            output_name="o_proj",
            output_bias=of.proj_bias,
            by=(cos, sin),
            dtype=self.dtype,
            name="attention",
        )
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="norm1")
        read, weights = attention(norm(states), deterministic=deterministic)
        states = drop(scale(name="layer_scale1")(read), deterministic) + states
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="norm2")
        new = DINOv3FeedForward(of, self.dtype, name="mlp")(norm(states))
        states = drop(scale(name="layer_scale2")(new), deterministic) + states
        return states, (weights,)


class DINOv3Module(Module):
    """The whole encoder."""

    settings: DINOv3Settings
    dtype: Dtype = jnp.float32
    remat: bool = False

    @compact
    def __call__(
        self, pixel_values: jax.Array, deterministic: bool = True, **outputs: bool
    ) -> StackOutput:
        """Encode images; see `ViTModule`."""
        of = self.settings
        states = DINOv3Embeddings(of, self.dtype, name="embeddings")(pixel_values)
        coordinates = centers(of.grid_of(*pixel_values.shape[2:]))
        if not deterministic:
            coordinates = self._moved(coordinates)
        angles = angles_of(coordinates, of.head_width, of.rope_theta)
        stack = Stack(DINOv3Layer, of.num_hidden_layers, of, self.dtype, self.remat, name="layer")
        output = stack(states, *angles, deterministic=deterministic, **outputs)
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="norm")
        return output.with_last(norm(output.last_hidden_state))

    def _moved(self, coordinates: jax.Array) -> jax.Array:
        """Shift and scale the positions of a batch at random, as training does."""
        of = self.settings
        if of.pos_embed_shift is not None:
            coordinates += self._uniform(of.pos_embed_shift, (2,))
        if of.pos_embed_jitter is not None:
            coordinates *= jnp.exp(self._uniform(math.log(of.pos_embed_jitter), (2,)))
        if of.pos_embed_rescale is not None:
            coordinates *= jnp.exp(self._uniform(math.log(of.pos_embed_rescale), ()))
        return coordinates

    def _uniform(self, bound: float, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.uniform(self.make_rng("dropout"), shape, minval=-bound, maxval=bound)
