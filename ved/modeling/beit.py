"""BEiT: ViT whose attention depends on how far patches are apart.

A table has one number for each distance between two patches (rows and columns apart) and each
head. It is added to the products of queries and keys: the *relative position bias*. Each layer can
have a table of its own, or all share one. Absolute positions, as in ViT, are possible too. The rest
is explained in `ved.modeling.vit`.

    pixels    (batch, channels, height, width)
    states    (batch, 1 + patches, width)
    bias      (heads, 1 + patches, 1 + patches)

Source: https://arxiv.org/abs/2106.08254, and BeitModel of transformers.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import constant, normal, zeros
from numpy.typing import NDArray

from ved.modeling.layers import Attention, DropPath, Dtype, PatchEmbeddings
from ved.modeling.linen import Dropout, LayerNorm, Module, compact
from ved.modeling.positions import Grid, bicubic, bilinear, interpolate_positions, resize
from ved.modeling.stack import Stack, StackOutput
from ved.modeling.vit import AttentionOutput, Intermediate, VisionAttention, VisionSettings


@dataclass(frozen=True, kw_only=True)
class BeitSettings(VisionSettings):
    """The settings of BEiT."""

    intermediate_size: int = 3072
    use_mask_token: bool = False
    use_absolute_position_embeddings: bool = False
    use_relative_position_bias: bool = False
    use_shared_relative_position_bias: bool = False
    layer_scale_init_value: float = 0.1
    drop_path_rate: float = 0.1
    use_mean_pooling: bool = True

    IGNORED: ClassVar[tuple[str, ...]] = (
        *VisionSettings.IGNORED,
        *("vocab_size", "pool_scales", "use_auxiliary_head", "add_fpn", "auxiliary_loss_weight"),
        *("auxiliary_channels", "auxiliary_num_convs", "auxiliary_concat_input", "out_features"),
        *("out_indices", "stage_names", "segmentation_indices", "reshape_hidden_states"),
        "semantic_loss_ignore_index",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (
            self.use_absolute_position_embeddings
            or self.use_relative_position_bias
            or self.use_shared_relative_position_bias
        ):
            self._only_square()

    def drop_path(self, number: int) -> float:
        """Return how often training leaves out the layer with a number: later ones more often."""
        return self.drop_path_rate * number / max(self.num_hidden_layers - 1, 1)


class BeitEmbeddings(Module):
    """The states of the class token and of the patches, perhaps with their positions."""

    settings: BeitSettings
    dtype: Dtype

    @compact
    def __call__(self, pixel_values: jax.Array, deterministic: bool) -> jax.Array:
        """Return (batch, 1 + patches, width) for pixels (batch, channels, height, width)."""
        of, width = self.settings, self.settings.hidden_size
        patches = PatchEmbeddings(
            *(width, of.patch_size, normal(of.initializer_range), self.dtype),
            name="patch_embeddings",
        )(pixel_values)  # (batch, patches, width)
        token = self.param("cls_token", zeros, (1, 1, width))
        if of.use_mask_token and self.is_initializing():  # for pretraining only
            self.param("mask_token", zeros, (1, 1, width))
        tokens = jnp.broadcast_to(token, (patches.shape[0], 1, width)).astype(self.dtype)
        states = jnp.concatenate((tokens, patches), axis=1)  # (batch, 1 + patches, width)
        if of.use_absolute_position_embeddings:
            shape = (1, of.grid[0] * of.grid[1] + 1, width)
            positions = self.param("position_embeddings", zeros, shape)
            new = of.grid_of(*pixel_values.shape[2:])
            positions = interpolate_positions(positions, of.grid, new, bicubic)
            states = states + positions.astype(self.dtype)
        return Dropout(of.hidden_dropout_prob)(states, deterministic)


class RelativePositionBias(Module):
    """A table with one number for each distance of two patches, and each head.

    Attributes:
        settings: the settings of the family.
        grid: the rows and columns of patches of the images.
    """

    settings: BeitSettings
    grid: Grid

    @compact
    def __call__(self) -> jax.Array:
        """Return (heads, 1 + patches, 1 + patches)."""
        of = self.settings
        rows, columns = (2 * side - 1 for side in of.grid)  # from -(side - 1) to side - 1
        shape = (rows * columns + 3, of.num_attention_heads)
        table = self.param("relative_position_bias_table", zeros, shape)
        if self.grid != of.grid:
            distances = table[:-3].reshape(rows, columns, -1)
            rows, columns = (2 * side - 1 for side in self.grid)
            resized = resize(distances, (rows, columns), bilinear)  # (rows, columns, heads)
            table = jnp.concatenate((resized.reshape(rows * columns, -1), table[-3:]))
        return table[distance_indexes(self.grid)].transpose(2, 0, 1)


def distance_indexes(grid: Grid) -> NDArray[np.int64]:
    """Return the row of the table for each two states.

    The last three rows are for the class token: from it to a patch, from a patch to it, and from it
    to itself.

    Returns:
        int (1 + patches, 1 + patches).
    """
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])  # (patches,) each
    down = rows[:, None] - rows + grid[0] - 1  # (patches, patches)
    right = columns[:, None] - columns + grid[1] - 1
    distances = down * (2 * grid[1] - 1) + right
    size = (2 * grid[0] - 1) * (2 * grid[1] - 1)
    indexes = np.pad(distances, ((1, 0), (1, 0)))
    indexes[0, :], indexes[:, 0], indexes[0, 0] = size, size + 1, size + 2
    return indexes


class BeitAttention(Attention):
    """Attention with a table of its own."""

    settings: BeitSettings | None = None
    grid: Grid = (0, 0)

    def add_bias(self, bias: jax.Array | None) -> jax.Array | None:
        """Return a bias with that of the table added: (1, heads, states, states)."""
        assert self.settings is not None
        table = RelativePositionBias(self.settings, self.grid, name="relative_position_bias")
        own = table()[None].astype(self.dtype)
        return own if bias is None else own + bias


class BeitLayer(Module):
    """Attention and feed-forward, each after a norm, scaled, and added to the states."""

    settings: BeitSettings
    number: int
    dtype: Dtype
    grid: Grid

    @compact
    def __call__(
        self, states: jax.Array, bias: jax.Array | None, deterministic: bool
    ) -> tuple[jax.Array, tuple[jax.Array]]:
        """Return the states (batch, states, width) and the weights of the attention.

        Args:
            states: (batch, states, width).
            bias: (1, heads, states, states), of the table that all layers share.
            deterministic: whether there is no dropout.
        """
        of, init = self.settings, normal(self.settings.initializer_range)
        drop = DropPath(of.drop_path(self.number))
        own = partial(BeitAttention, settings=of, grid=self.grid)
        attention = VisionAttention(
            *(of, self.dtype, init, (True, False, True)),
            attention=own if of.use_relative_position_bias else Attention,
            name="attention",
        )
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm_before")
        read, weights = attention(norm(states), bias, deterministic)
        states = drop(self._scaled(read, "lambda_1"), deterministic) + states
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm_after")
        wide = Intermediate(
            of.intermediate_size, of.hidden_act, init, self.dtype, name="intermediate"
        )(norm(states))  # (batch, states, intermediate_size)
        new = AttentionOutput(of, self.dtype, init, name="output")(wide, deterministic)
        return drop(self._scaled(new, "lambda_2"), deterministic) + states, (weights,)

    def _scaled(self, states: jax.Array, name: str) -> jax.Array:
        of = self.settings
        if of.layer_scale_init_value <= 0:
            return states
        scale = self.param(name, constant(of.layer_scale_init_value), (of.hidden_size,))
        return scale.astype(states.dtype) * states


class BeitEncoder(Module):
    """The layers, and the table that they may share."""

    settings: BeitSettings
    dtype: Dtype
    remat: bool
    grid: Grid

    @compact
    def __call__(self, states: jax.Array, **flags: bool) -> StackOutput:
        """Return the states (batch, states, width) after all layers; see `Stack`."""
        of = self.settings
        bias = None
        if of.use_shared_relative_position_bias:
            table = RelativePositionBias(of, self.grid, name="relative_position_bias")
            bias = table()[None].astype(self.dtype)  # (1, heads, states, states)
        layer = partial(BeitLayer, grid=self.grid)
        stack = Stack(layer, of.num_hidden_layers, of, self.dtype, self.remat, name="layer")
        return stack(states, bias, **flags)


class BeitPooler(Module):
    """One state for the whole image, which a decoder does not read."""

    settings: BeitSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, width) from states (batch, states, width)."""
        norm = LayerNorm(self.settings.layer_norm_eps, dtype=self.dtype, name="layernorm")
        return norm(jnp.mean(states[:, 1:], axis=1))


class BeitModule(Module):
    """The whole encoder. With mean pooling, it has no norm after the layers."""

    settings: BeitSettings
    dtype: Dtype = jnp.float32
    remat: bool = False

    @compact
    def __call__(
        self, pixel_values: jax.Array, deterministic: bool = True, **outputs: bool
    ) -> StackOutput:
        """Encode images; see `ViTModule`."""
        of = self.settings
        states = BeitEmbeddings(of, self.dtype, name="embeddings")(pixel_values, deterministic)
        grid = of.grid_of(*pixel_values.shape[2:])
        encoder = BeitEncoder(of, self.dtype, self.remat, grid, name="encoder")
        output = encoder(states, deterministic=deterministic, **outputs)
        if not of.use_mean_pooling:
            norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm")
            return output.with_last(norm(output.last_hidden_state))
        if self.is_initializing():  # checkpoints have its parameters
            BeitPooler(of, self.dtype, name="pooler")(output.last_hidden_state)
        return output
