"""The parts that Swin and Swin v2 share: stages of layers on a map that becomes smaller.

The patches of an image stay a map of rows and columns. Layers attend in windows of the map (see
`ved.modeling.windows`). After each stage but the last one, four neighboring states become one that
is twice as wide: a window then covers a larger part of the image.

    pixels          (batch, channels, 224, 224)
    first stage     (batch, 56, 56, 96)
    second stage    (batch, 28, 28, 192)
    last stage      (batch, 7, 7, 768)
    states          (batch, 49, 768)

Images may have any size: zeros fill patches, windows and groups of four that are not complete.

Source: https://arxiv.org/abs/2103.14030, and SwinModel of transformers.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp

from ved.modeling.layers import Dtype, PatchEmbeddings
from ved.modeling.linen import Dropout, LayerNorm, Module, compact
from ved.modeling.stack import Stack, StackOutput
from ved.modeling.window_layers import PatchMerging
from ved.modeling.window_settings import EPSILON, WindowSettings, initializer


class WindowEmbeddings(Module):
    """The map of the states of patches."""

    settings: WindowSettings
    dtype: Dtype

    @compact
    def __call__(self, pixel_values: jax.Array, deterministic: bool) -> jax.Array:
        """Return (batch, rows, columns, width) for pixels (batch, channels, height, width)."""
        of = self.settings
        height, width = (
            -(-side // patch)
            for side, patch in zip(pixel_values.shape[2:], of.patch_size, strict=True)
        )  # in patches, rounded up
        fill = [
            (0, -side % patch)
            for side, patch in zip(pixel_values.shape[2:], of.patch_size, strict=True)
        ]
        pixel_values = jnp.pad(pixel_values, ((0, 0), (0, 0), *fill))
        patches = PatchEmbeddings(
            *(of.embed_dim, of.patch_size, initializer(of), self.dtype), name="patch_embeddings"
        )(pixel_values)  # (batch, rows * columns, width)
        patches = LayerNorm(EPSILON, dtype=self.dtype, name="norm")(patches)
        patches = Dropout(of.hidden_dropout_prob)(patches, deterministic)
        return patches.reshape(patches.shape[0], height, width, of.embed_dim)


class Stage(Module):
    """Layers on a map, and then a smaller map unless it is the last stage; see `Stages`."""

    layer: Callable[..., Module]
    norm_first: bool
    stage: int
    settings: WindowSettings
    dtype: Dtype
    remat: bool

    @compact
    def __call__(self, states: jax.Array, **flags: bool) -> StackOutput:
        """Return the map, and the weights of all layers; see `Stack`."""
        of = self.settings
        layer = partial(self.layer, stage=self.stage)
        blocks = Stack(layer, of.depths[self.stage], of, self.dtype, self.remat, name="blocks")
        output = blocks(states, **flags)
        if self.stage == len(of.depths) - 1:
            return output
        merge = PatchMerging(self.norm_first, of, self.dtype, name="downsample")
        return output.with_last(merge(output.last_hidden_state))


class Stages(Module):
    """The stages with the names 0, 1, ...

    Attributes:
        layer: the class of a layer; see `Stack`. It also gets the number of its stage.
        norm_first: see `PatchMerging`.
        settings: the settings of the family.
        dtype: the dtype of the computation.
        remat: see `Stack`.
    """

    layer: Callable[..., Module]
    norm_first: bool
    settings: WindowSettings
    dtype: Dtype
    remat: bool

    @compact
    def __call__(
        self,
        states: jax.Array,
        deterministic: bool,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> StackOutput:
        """Return the states (batch, states, width) after the last stage.

        Args:
            states: (batch, rows, columns, width).
            deterministic: whether there is no dropout.
            output_attentions: whether to return the weights of the last layer of each stage.
            output_hidden_states: whether to return the states before and after each stage.
        """
        between = [_flat(states)]
        weights: list[jax.Array] = []
        for number in range(len(self.settings.depths)):
            stage = Stage(
                *(self.layer, self.norm_first, number, self.settings, self.dtype, self.remat),
                name=str(number),
            )
            output = stage(states, deterministic=deterministic, output_attentions=output_attentions)
            states = output.last_hidden_state
            between.append(_flat(states))
            weights += (output.attentions or ())[-1:]
        return StackOutput(
            _flat(states),
            (*between,) if output_hidden_states else None,
            (*weights,) if output_attentions else None,
        )


def _flat(states: jax.Array) -> jax.Array:
    """Return a map as (batch, rows * columns, width)."""
    return states.reshape(states.shape[0], -1, states.shape[-1])


class WindowEncoder(Module):
    """The stages, whose names begin with `layers`; see `Stages`."""

    layer: Callable[..., Module]
    norm_first: bool
    settings: WindowSettings
    dtype: Dtype
    remat: bool

    @compact
    def __call__(self, states: jax.Array, **flags: bool) -> StackOutput:
        """Return the states after the last stage; see `Stages`."""
        stages = Stages(
            *(self.layer, self.norm_first, self.settings, self.dtype, self.remat), name="layers"
        )
        return stages(states, **flags)


class WindowModule(Module):
    """A whole encoder; `layer` and `norm_first` are those of the family."""

    settings: WindowSettings
    dtype: Dtype = jnp.float32
    remat: bool = False

    layer: ClassVar[Callable[..., Module]]
    norm_first: ClassVar[bool]

    @compact
    def __call__(
        self, pixel_values: jax.Array, deterministic: bool = True, **outputs: bool
    ) -> StackOutput:
        """Encode images; see `ViTModule`. The states are (batch, states, `hidden_size`)."""
        of = self.settings
        embeddings = WindowEmbeddings(of, self.dtype, name="embeddings")
        states = embeddings(pixel_values, deterministic)
        encoder = WindowEncoder(
            *(type(self).layer, self.norm_first, of, self.dtype, self.remat), name="encoder"
        )
        output = encoder(states, deterministic=deterministic, **outputs)
        if not of.HAS_NORM:
            return output
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm")
        return output.with_last(norm(output.last_hidden_state))
