"""Swin v2: Swin for larger images, with scores that cannot grow with the width of the states.

Three things differ from Swin (see `ved.modeling.swin`):

- A score is the cosine of a query and a key, times a learned number for each head.
- A small network computes the numbers for relative positions, from the logarithm of the distance.
  So a model can be used with larger windows than those of its training.
- The norms come after attention and feed-forward, and after the projection of the merging.

    coordinates   (2 * window - 1, 2 * window - 1, 2)
    table         ((2 * window - 1) ** 2, heads)
    bias          (heads, window * window, window * window)

Source: https://arxiv.org/abs/2111.09883, and Swinv2Model of transformers.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import constant
from numpy.typing import NDArray

from ved.modeling.errors import ModelingError
from ved.modeling.layers import Attention, DropPath, Dtype
from ved.modeling.linen import Dense, LayerNorm, Module, compact
from ved.modeling.window_encoder import WindowModule
from ved.modeling.window_layers import WindowAttention, feed_forward
from ved.modeling.window_settings import WindowSettings, initializer
from ved.modeling.windows import relative_positions

_NETWORK_WIDTH = 512
_LARGEST_SCALE = 100.0
_LARGEST_BIAS = 16
_LARGEST_DISTANCE = 8
"""Distances are from -8 to 8 before their logarithm."""
_SMALLEST_NORM = 1e-12


@dataclass(frozen=True, kw_only=True)
class Swinv2Settings(WindowSettings):
    """The settings of Swin v2."""

    pretrained_window_sizes: tuple[int, ...] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = self.pretrained_window_sizes[: len(self.depths)]
        if len(sizes) < len(self.depths) or 1 in sizes:
            raise ModelingError(
                f"The setting pretrained_window_sizes is {self.pretrained_window_sizes}, but each "
                f"of the {len(self.depths)} stages needs 0 or a number above 1. Check the config."
            )
        if not self.window(len(self.depths) - 1):
            raise ModelingError(
                f"The setting image_size gives {self.grid} patches, too few for "
                f"{len(self.depths)} stages. Check the config."
            )

    def window(self, stage: int) -> int:
        """Return the rows and columns of a window: not more than rows of the config's map."""
        return min(self.grid[0] // 2**stage, self.window_size)

    def shift(self, stage: int) -> int:
        """Return by how many rows and columns every second layer shifts the map."""
        one_window = self.grid[0] // 2**stage <= self.window(stage)
        return 0 if one_window else self.window_size // 2


def log_distances(window: int, pretrained: int) -> NDArray[np.float32]:
    """Return the coordinates of relative positions, on a scale of logarithms.

    Args:
        window: rows and columns of a window.
        pretrained: those of the model's training; 0 if they were the same.

    Returns:
        float32 ((2 * window - 1) ** 2, 2).
    """
    steps = np.arange(1 - window, window, dtype=np.float32)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    farthest = np.float32(max((pretrained or window) - 1, 1))
    scaled = grid / farthest * _LARGEST_DISTANCE
    distances = np.sign(scaled) * np.log2(np.abs(scaled) + 1) / np.log2(_LARGEST_DISTANCE)
    return distances.astype(np.float32)


class PositionNetwork(Module):
    """The network that computes a number for each relative position and each head."""

    heads: int
    settings: Swinv2Settings
    dtype: Dtype

    @compact
    def __call__(self, coordinates: jax.Array) -> jax.Array:
        """Return (positions, heads) for coordinates (positions, 2)."""
        init = initializer(self.settings)
        wide = Dense(_NETWORK_WIDTH, kernel_init=init, dtype=self.dtype, name="0")(coordinates)
        narrow = Dense(self.heads, use_bias=False, kernel_init=init, dtype=self.dtype, name="2")
        return narrow(jax.nn.relu(wide))


class Swinv2Attention(Attention):
    """Attention by cosines inside of windows, with a network for relative positions."""

    settings: Swinv2Settings | None = None
    stage: int = 0

    def project_all(
        self, states: jax.Array, source: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return queries, keys and values; products of queries and keys are scaled cosines."""
        query, key, value = super().project_all(states, source)
        scale = self.param("logit_scale", constant(np.log(10)), (self.heads, 1, 1))
        scale = jnp.exp(jnp.minimum(scale, np.log(_LARGEST_SCALE)))[:, 0]  # (heads, 1)
        return self._normalized(query, scale), self._normalized(key), value

    def _normalized(self, states: jax.Array, scale: jax.Array | float = 1.0) -> jax.Array:
        """Return states (windows, states, width) whose heads have the length `scale`."""
        split = states.reshape(*states.shape[:2], self.heads, -1).astype(jnp.float32)
        square = jnp.sum(split**2, axis=-1, keepdims=True)
        # The gradient of a square root at 0 is infinite, and filled windows have zeros.
        length = jnp.sqrt(jnp.maximum(square, _SMALLEST_NORM**2))
        return (split / length * scale).reshape(states.shape).astype(states.dtype)

    def add_bias(self, bias: jax.Array | None) -> jax.Array | None:
        """Return the mask with the numbers for relative positions added.

        Args:
            bias: the mask (batch * windows, 1, window * window, window * window), or None.
        """
        of = self.settings
        assert of is not None
        window = of.window(self.stage)
        network = PositionNetwork(self.heads, of, self.dtype, name="continuous_position_bias_mlp")
        coordinates = log_distances(window, of.pretrained_window_sizes[self.stage])
        table = network(jnp.asarray(coordinates, self.dtype))  # (positions, heads)
        distances = table[relative_positions(window)]  # (window ** 2, window ** 2, heads)
        own = _LARGEST_BIAS * jax.nn.sigmoid(distances.transpose(2, 0, 1)[None])
        return own if bias is None else own + 2 * bias  # PyTorch adds the mask twice


class Swinv2Layer(Module):
    """Attention in windows and feed-forward, each with a norm after it, added to the states."""

    settings: Swinv2Settings
    number: int
    dtype: Dtype
    stage: int

    @compact
    def __call__(
        self, states: jax.Array, deterministic: bool
    ) -> tuple[jax.Array, tuple[jax.Array]]:
        """Return the map (batch, rows, columns, width) and the weights of the attention."""
        of = self.settings
        shift = of.shift(self.stage) if self.number % 2 else 0
        attention = WindowAttention(
            partial(
                Swinv2Attention,
                use_bias=(of.qkv_bias, False, of.qkv_bias),
                scale=1.0,  # of products: cosines are not divided by the width
                settings=of,
                stage=self.stage,
            ),
            *(self.stage, of.window(self.stage), shift, of, self.dtype),
            name="attention",
        )
        drop = DropPath(of.drop_path(self.stage, self.number))
        read, weights = attention(states, deterministic)
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm_before")
        states = states + drop(norm(read), deterministic)
        new = feed_forward(of, self.dtype, states, deterministic)
        norm = LayerNorm(of.layer_norm_eps, dtype=self.dtype, name="layernorm_after")
        return states + drop(norm(new), deterministic), (weights,)


class Swinv2Module(WindowModule):
    """The whole encoder."""

    settings: Swinv2Settings
    dtype: Dtype = jnp.float32
    remat: bool = False

    layer = Swinv2Layer
    norm_first = False
