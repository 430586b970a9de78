"""SigLIP's encoder of images: the layers of CLIP, without a class token.

SigLIP was trained to tell which text belongs to which image, with a loss for each pair. It reads
one state for the whole image by an attention of its own, the *head*. A decoder reads the states of
the patches instead. The rest is explained in `ved.modeling.clip`.

    pixels    (batch, channels, height, width)
    states    (batch, patches, width)

Source: https://arxiv.org/abs/2303.15343, and SiglipVisionModel of transformers.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.nn.initializers import normal, zeros

from ved.modeling.clip import (
    CLIPVisionModule,
    DualVisionEmbeddings,
    DualVisionEncoder,
    DualVisionLayer,
    DualVisionSettings,
    FeedForward,
)
from ved.modeling.layers import Dtype
from ved.modeling.linen import Dense, LayerNorm, Module, compact
from ved.modeling.stack import StackOutput


@dataclass(frozen=True, kw_only=True)
class SiglipVisionSettings(DualVisionSettings):
    """The settings of SigLIP's encoder of images."""

    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    vision_use_head: bool = True


class HeadAttention(Module):
    """The parameters of PyTorch's MultiheadAttention."""

    settings: SiglipVisionSettings

    @compact
    def __call__(self) -> None:
        """Create the parameters: one kernel for queries, keys and values, and a projection."""
        width, init = self.settings.hidden_size, normal(self.settings.initializer_range)
        self.param("in_proj_weight", init, (3 * width, width))
        self.param("in_proj_bias", zeros, (3 * width,))
        Dense(width, kernel_init=init, name="out_proj")(jnp.zeros((1, width)))


class SiglipHead(Module):
    """The parameters of the head, which a decoder does not read."""

    settings: SiglipVisionSettings

    @compact
    def __call__(self) -> None:
        """Create the parameters, which checkpoints have."""
        of = self.settings
        state = self.param("probe", normal(of.initializer_range), (1, 1, of.hidden_size))
        HeadAttention(of, name="attention")()
        state = LayerNorm(of.layer_norm_eps, name="layernorm")(state)
        FeedForward(of, jnp.float32, name="mlp")(state)


class SiglipVisionTransformer(Module):
    """The encoder; in a checkpoint, its names begin with `vision_model`."""

    settings: SiglipVisionSettings
    dtype: Dtype
    remat: bool

    @compact
    def __call__(
        self, pixel_values: jax.Array, deterministic: bool, **outputs: bool
    ) -> StackOutput:
        """Encode images; see `ViTModule`."""
        of = self.settings
        states = DualVisionEmbeddings(of, self.dtype, False, name="embeddings")(pixel_values)
        encoder = DualVisionEncoder(
            DualVisionLayer, of.num_hidden_layers, of, self.dtype, self.remat, name="encoder"
        )
        output = encoder(states, deterministic=deterministic, **outputs)
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="post_layernorm")
        if of.vision_use_head and self.is_initializing():
            SiglipHead(of, name="head")()
        return output.with_last(norm(output.last_hidden_state))


class SiglipVisionModule(CLIPVisionModule):
    """The whole encoder."""

    transformer: ClassVar[type[Module]] = SiglipVisionTransformer
