"""The parts of a layer of Swin and Swin v2, and the merging of states after a stage."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ved.modeling.layers import Attention, Dtype
from ved.modeling.linen import Dense, Dropout, LayerNorm, Module, compact
from ved.modeling.vit import Intermediate
from ved.modeling.window_settings import EPSILON, WindowSettings, initializer
from ved.modeling.windows import attend_in_windows


class Projection(Module):
    """A projection: its parameters are below `dense` in a checkpoint."""

    width: int
    dropout_rate: float
    settings: WindowSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array, deterministic: bool) -> jax.Array:
        """Return (..., `self.width`)."""
        project = Dense(
            self.width, kernel_init=initializer(self.settings), dtype=self.dtype, name="dense"
        )
        return Dropout(self.dropout_rate)(project(states), deterministic)


class WindowAttention(Module):
    """Attention in windows, and the projection after it.

    Attributes:
        attention: the class of the attention, or a partial of it.
        stage: the number of the stage.
        window: rows and columns of a window.
        shift: by how many rows and columns the map is shifted.
        settings: the settings of the family.
        dtype: the dtype of the computation.
    """

    attention: Callable[..., Attention]
    stage: int
    window: int
    shift: int
    settings: WindowSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array, deterministic: bool) -> tuple[jax.Array, jax.Array]:
        """Return (batch, rows, columns, width), and the weights; see `attend_in_windows`."""
        of, width = self.settings, states.shape[-1]
        attention = self.attention(
            *(width, of.num_heads[self.stage], initializer(of)),
            dropout_rate=of.attention_probs_dropout_prob,
            dtype=self.dtype,
            name="self",
        )
        output = Projection(
            *(width, of.attention_probs_dropout_prob, of, self.dtype), name="output"
        )

        def attend(
            windows: jax.Array, mask: jax.Array | None
        ) -> tuple[jax.Array, jax.Array]:  # (batch * windows, window * window, width)
            read, weights = attention(windows, bias=mask, deterministic=deterministic)
            return output(read, deterministic), weights

        return attend_in_windows(states, self.window, self.shift, attend)


def feed_forward(
    settings: WindowSettings, dtype: Dtype, states: jax.Array, deterministic: bool
) -> jax.Array:
    """Return each state transformed on its own; the modules belong to the layer that calls this."""
    of, width = settings, states.shape[-1]
    wide = Intermediate(
        *(int(of.mlp_ratio * width), of.hidden_act, initializer(of), dtype), name="intermediate"
    )(states)  # (batch, rows, columns, mlp_ratio * width)
    return Projection(width, of.hidden_dropout_prob, of, dtype, name="output")(wide, deterministic)


class PatchMerging(Module):
    """Four neighboring states become one that is twice as wide.

    Attributes:
        norm_first: whether the norm comes before the projection.
        settings: the settings of the family.
        dtype: the dtype of the computation.
    """

    norm_first: bool
    settings: WindowSettings
    dtype: Dtype

    @compact
    def __call__(self, states: jax.Array) -> jax.Array:
        """Return (batch, rows / 2, columns / 2, 2 * width), from (batch, rows, columns, width)."""
        _, rows, columns, width = states.shape
        states = jnp.pad(states, ((0, 0), (0, rows % 2), (0, columns % 2), (0, 0)))
        corners = [states[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        states = jnp.concatenate(corners, axis=-1)  # (batch, rows / 2, columns / 2, 4 * width)
        norm = LayerNorm(EPSILON, dtype=self.dtype, name="norm")
        reduce = Dense(
            2 * width,
            use_bias=False,
            kernel_init=initializer(self.settings),
            dtype=self.dtype,
            name="reduction",
        )
        return reduce(norm(states)) if self.norm_first else norm(reduce(states))
