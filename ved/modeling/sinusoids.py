"""Positions of tokens without parameters: sines and cosines of many wavelengths.

The wavelengths grow from 2 pi to about 60,000 positions. Nearby positions have similar numbers, and
no position is too large.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ved.modeling.layers import Dtype


def sinusoids(positions: jax.Array, width: int, dtype: Dtype) -> jax.Array:
    """Return the embeddings of positions: all sines, then all cosines.

    Source: `get_embedding` of TrOCRSinusoidalPositionalEmbedding in transformers.

    Args:
        positions: int32 (batch, tokens).
        width: of an embedding; the last number is 0 if it is odd.
        dtype: of the result. The computation is in float32.

    Returns:
        (batch, tokens, width).
    """
    half = width // 2
    step = np.float32(-math.log(10000) / (half - 1))
    frequencies = np.exp(np.arange(half, dtype=np.float32) * step)
    angles = positions[..., None].astype(jnp.float32) * frequencies  # (batch, tokens, half)
    waves = jnp.concatenate((jnp.sin(angles), jnp.cos(angles)), axis=-1)
    return jnp.pad(waves, ((0, 0), (0, 0), (0, width % 2))).astype(dtype)


def sinusoid_table(rows: int, width: int) -> NDArray[np.float32]:
    """Return the embeddings of the first positions, with slightly longer waves than `sinusoids`.

    Source: `create_weight` of PegasusSinusoidalPositionalEmbedding in transformers.

    Returns:
        float32 (rows, width).
    """
    columns = np.arange(width)
    angles = np.arange(rows)[:, None] / 10000 ** (2 * (columns // 2) / width)
    waves = np.concatenate((np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])), axis=1)
    return waves.astype(np.float32)
