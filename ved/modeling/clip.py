"""CLIP's encoder of images: ViT with a norm before the layers, and none after them.

CLIP was trained to tell which text belongs to which image. Here is only the half for images. Its
checkpoints have names of their own, and `pre_layrnorm` is really spelled so. The norm after the
layers is for the class token only, which CLIP compares with texts. A decoder reads the states
without it. The rest is explained in `ved.modeling.vit`.

    pixels    (batch, channels, height, width)
    states    (batch, 1 + patches, width)

Source: https://arxiv.org/abs/2103.00020, and CLIPVisionModel of transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.nn.initializers import normal

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.layers import Dtype, ProjectedAttention, embed_patches, patch_projection
from ved.modeling.linen import Dense, Embed, LayerNorm, Module, compact
from ved.modeling.positions import bicubic, interpolate_positions
from ved.modeling.stack import Stack, StackOutput
from ved.modeling.vit import VisionSettings


@dataclass(frozen=True, kw_only=True)
class DualVisionSettings(VisionSettings):
    """The settings of the encoders of images that dual models have: CLIP and SigLIP."""

    intermediate_size: int = 3072

    ALIASES: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"attention_dropout": "attention_probs_dropout_prob"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._only_square()


@dataclass(frozen=True, kw_only=True)
class CLIPVisionSettings(DualVisionSettings):
    """The settings of CLIP's encoder of images."""

    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    patch_size: tuple[int, int] = (32, 32)

    IGNORED: ClassVar[tuple[str, ...]] = (
        *VisionSettings.IGNORED,
        *("projection_dim", "initializer_factor", "dropout"),
    )


class DualVisionEmbeddings(Module):
    """The states of the patches with their positions, and of the class token if there is one."""

    settings: DualVisionSettings
    dtype: Dtype
    has_class_token: bool

    @compact
    def __call__(self, pixel_values: jax.Array) -> jax.Array:
        """Return (batch, states, width) for pixels (batch, channels, height, width)."""
        of, width = self.settings, self.settings.hidden_size
        init, rows = normal(of.initializer_range), of.grid[0] * of.grid[1] + self.has_class_token
        project = patch_projection(
            *(width, of.patch_size, init, self.dtype, "patch_embedding"),
            use_bias=not self.has_class_token,
        )
        states = embed_patches(project, pixel_values)  # (batch, patches, width)
        if self.has_class_token:
            token = self.param("class_embedding", init, (width,)).astype(self.dtype)
            tokens = jnp.broadcast_to(token, (states.shape[0], 1, width))
            states = jnp.concatenate((tokens, states), axis=1)  # (batch, 1 + patches, width)
        table = Embed(rows, width, self.dtype, embedding_init=init, name="position_embedding")
        positions = table(jnp.arange(rows)[None])  # (1, states, width)
        new = of.grid_of(*pixel_values.shape[2:])
        return states + interpolate_positions(positions, of.grid, new, bicubic)


class FeedForward(Module):
    """Each state becomes wider and narrow again, with an activation between."""

    settings: DualVisionSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, states, width)."""
        of = self.settings
        wide = self._dense(of.intermediate_size, "fc1")(states)  # (batch, states, wide)
        return self._dense(of.hidden_size, "fc2")(ACTIVATIONS[of.hidden_act](wide))

    def _dense(self, width: int, name: str) -> Dense:
        init = normal(self.settings.initializer_range)
        return Dense(width, kernel_init=init, dtype=self.dtype, name=name)


class DualVisionLayer(Module):
    """Attention and feed-forward, each after a norm and added to the states."""

    settings: DualVisionSettings
    number: int
    dtype: Dtype

    @compact
    def __call__(
        self, states: jax.Array, deterministic: bool
    ) -> tuple[jax.Array, tuple[jax.Array]]:
        """Return the states (batch, states, width) and the weights of the attention."""
        of = self.settings
        attention = ProjectedAttention(
            of.hidden_size,
            of.num_attention_heads,
            normal(of.initializer_range),
            names=("q_proj", "k_proj", "v_proj"),
            dropout_rate=of.attention_probs_dropout_prob,
            dtype=self.dtype,
            name="self_attn",
        )
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layer_norm1")
        read, weights = attention(norm(states), deterministic=deterministic)
        states = read + states
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layer_norm2")
        return FeedForward(of, self.dtype, name="mlp")(norm(states)) + states, (weights,)


class DualVisionEncoder(Stack):
    """A stack whose names begin with `layers`."""

    @compact
    def __call__(self, states: jax.Array, *inputs: jax.Array | None, **flags: bool) -> StackOutput:
        """Return the states after all layers; see `Stack`."""
        stack = Stack(
            self.layer, self.depth, self.settings, self.dtype, self.rematerialize, name="layers"
        )
        return stack(states, *inputs, **flags)


class CLIPVisionTransformer(Module):
    """The encoder; in a checkpoint, its names begin with `vision_model`."""

    settings: CLIPVisionSettings
    dtype: Dtype
    remat: bool

    @compact
    def __call__(
        self, pixel_values: jax.Array, deterministic: bool, **outputs: bool
    ) -> StackOutput:
        """Encode images; see `ViTModule`."""
        of = self.settings
        states = DualVisionEmbeddings(of, self.dtype, True, name="embeddings")(pixel_values)
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="pre_layrnorm")
        encoder = DualVisionEncoder(
            DualVisionLayer, of.num_hidden_layers, of, self.dtype, self.remat, name="encoder"
        )
        output = encoder(norm(states), deterministic=deterministic, **outputs)
        if self.is_initializing():  # checkpoints have its parameters
            norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="post_layernorm")
            norm(output.last_hidden_state)
        return output


class CLIPVisionModule(Module):
    """The whole encoder."""

    settings: DualVisionSettings
    dtype: Dtype = jnp.float32
    remat: bool = False

    transformer: ClassVar[type[Module]] = CLIPVisionTransformer

    @compact
    def __call__(
        self, pixel_values: jax.Array, deterministic: bool = True, **outputs: bool
    ) -> StackOutput:
        """Encode images; see `ViTModule`."""
        model = self.transformer(self.settings, self.dtype, self.remat, name="vision_model")
        output: StackOutput = model(pixel_values, deterministic, **outputs)
        return output
