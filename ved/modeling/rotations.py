"""Positions as rotations of queries and keys (RoPE).

Each attention rotates the queries and keys of patches, pair by pair of their elements, by angles
that grow with the row and the column of the patch. The product of a query and a key then depends on
how far their patches are apart.

    coordinates   (patches, 2)
    cos, sin      (patches, width of a head)

Source: https://arxiv.org/abs/2104.09864, and DINOv3ViTRopePositionEmbedding of transformers.
"""

import math

import jax
import jax.numpy as jnp

from ved.modeling.layers import ProjectedAttention
from ved.modeling.positions import Grid

Rotation = tuple[jax.Array, jax.Array]
"""Cosines and sines of the angles of each patch: (patches, width of a head) each."""


def angles_of(coordinates: jax.Array, head_width: int, base: float) -> Rotation:
    """Return the rotation of each patch.

    Args:
        coordinates: float32 (patches, 2), row and column between -1 and 1.
        head_width: the width of a head, a multiple of 4.
        base: the slowest angle grows `base` times slower than the fastest one, or nearly.
    """
    quarter = head_width // 4
    frequencies = base ** (-jnp.arange(quarter) / quarter)
    angles = 2 * math.pi * coordinates[:, :, None] * frequencies  # (patches, 2, head / 4)
    angles = jnp.tile(angles.reshape(coordinates.shape[0], -1), 2)  # (patches, head)
    return jnp.cos(angles), jnp.sin(angles)


def centers(grid: Grid) -> jax.Array:
    """Return row and column of each patch's center, from -1 to 1: float32 (patches, 2)."""
    lines = (2 * (jnp.arange(side) + 0.5) / side - 1 for side in grid)
    return jnp.stack(jnp.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 2)


def rotate(states: jax.Array, by: Rotation) -> jax.Array:
    """Rotate the queries or keys of patches: (batch, states, heads, head), patches last.

    An element and the one half a head further are a pair: x and y become x cos - y sin and
    y cos + x sin.
    """
    cos, sin = (each[:, None].astype(states.dtype) for each in by)  # (patches, 1, head)
    others, patches = jnp.split(states, (states.shape[1] - cos.shape[0],), axis=1)
    first, second = jnp.split(patches, 2, axis=-1)
    swapped = jnp.concatenate((-second, first), axis=-1)
    return jnp.concatenate((others, patches * cos + swapped * sin), axis=1)


class RotatedAttention(ProjectedAttention):
    """Attention whose queries and keys are rotated.

    Attributes:
        by: the rotation of each patch.
    """

    by: Rotation | None = None

    def project_all(
        self, states: jax.Array, source: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return queries, keys and values: (batch, states, width)."""
        assert self.by is not None
        query, key, value = super().project_all(states, source)
        heads = (*states.shape[:2], self.heads, -1)
        query, key = (rotate(each.reshape(heads), self.by) for each in (query, key))
        return query.reshape(states.shape), key.reshape(states.shape), value
