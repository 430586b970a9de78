"""Swin: attention in windows of a map of patches, which becomes smaller after each stage.

`ved.modeling.windows` explains windows, and `ved.modeling.window_encoder` the stages. This module
has the layers: in the attention of Swin, a table has one number for each distance between two
states of a window and each head. It is added to the products of queries and keys.

    map     (batch, rows, columns, width)
    bias    (heads, window * window, window * window)

Donut's encoder is a Swin without the last norm.

Source: https://arxiv.org/abs/2103.14030, and SwinModel and DonutSwinModel of transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.nn.initializers import zeros
from numpy.typing import NDArray

from ved.modeling.errors import ModelingError
from ved.modeling.layers import Attention, DropPath, Dtype
from ved.modeling.linen import LayerNorm, Module, compact
from ved.modeling.window_encoder import WindowModule
from ved.modeling.window_layers import WindowAttention, feed_forward
from ved.modeling.window_settings import WindowSettings
from ved.modeling.windows import relative_positions


@dataclass(frozen=True, kw_only=True)
class SwinSettings(WindowSettings):
    """The settings of Swin."""

    @property
    def buffers(self) -> Mapping[str, NDArray[Any]]:
        """The rows of each layer's table: int64 (window * window, window * window), by name."""
        index = relative_positions(self.window_size)
        return {
            f"encoder.layers.{stage}.blocks.{layer}.attention.self.relative_position_index": index
            for stage, depth in enumerate(self.depths)
            for layer in range(depth)
        }


@dataclass(frozen=True, kw_only=True)
class DonutSwinSettings(SwinSettings):
    """The settings of Donut's encoder."""

    HAS_NORM: ClassVar[bool] = False


class SwinAttention(Attention):
    """Attention inside of windows, with a table of relative positions."""

    window: int = 0

    def add_bias(self, bias: jax.Array | None) -> jax.Array | None:
        """Return the mask with the numbers of the table added.

        Args:
            bias: the mask (batch * windows, 1, window * window, window * window), or None.
        """
        rows = (2 * self.window - 1) ** 2
        table = self.param("relative_position_bias_table", zeros, (rows, self.heads))
        distances = table[relative_positions(self.window)]  # (window ** 2, window ** 2, heads)
        own = distances.transpose(2, 0, 1)[None].astype(self.dtype)
        return own if bias is None else own + bias


class SwinLayer(Module):
    """Attention in windows and feed-forward, each after a norm and added to the states."""

    settings: SwinSettings
    number: int
    dtype: Dtype
    stage: int

    @compact
    def __call__(
        self, states: jax.Array, deterministic: bool
    ) -> tuple[jax.Array, tuple[jax.Array]]:
        """Return the map (batch, rows, columns, width) and the weights of the attention."""
        of = self.settings
        window = of.window_size
        smallest = min(states.shape[1:3])
        if smallest < window:
            raise ModelingError(
                f"The image gives a map of {states.shape[1:3]} states in stage {self.stage + 1}, "
                f"which is smaller than a window of {window}. Use larger images."
            )
        # One window covers a side of the map, so there is nothing to shift.
        shift = window // 2 if self.number % 2 and smallest > window else 0
        attention = WindowAttention(
            partial(SwinAttention, use_bias=(of.qkv_bias,) * 3, window=window),
            *(self.stage, window, shift, of, self.dtype),
            name="attention",
        )
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm_before")
        read, weights = attention(norm(states), deterministic)
        drop = DropPath(of.drop_path(self.stage, self.number))
        states = states + drop(read, deterministic)
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm_after")
        new = feed_forward(of, self.dtype, norm(states), deterministic)
        return states + new, (weights,)


class SwinModule(WindowModule):
    """The whole encoder."""

    settings: SwinSettings
    dtype: Dtype = jnp.float32
    remat: bool = False

    layer = SwinLayer
    norm_first = True
