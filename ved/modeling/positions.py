"""Position embeddings for images that do not have the size of the config.

A model has one position embedding for each patch of images of one size. For another size, PyTorch
takes the grid of embeddings as a picture, and resizes it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ved.modeling.errors import ModelingError

Grid = tuple[int, int]
"""How many rows and columns of patches an image has."""


Method = Callable[[int, int], NDArray[np.float32]]
"""Returns a matrix that resamples a line, such as `bicubic`."""


def interpolate_positions(embeddings: jax.Array, old: Grid, new: Grid, method: Method) -> jax.Array:
    """Return position embeddings for another grid.

    Args:
        embeddings: (1, tokens + patches of `old`, width); the tokens are states of other things,
            such as the class token, and keep their positions.
        old: the grid of the config.
        new: the grid of an image.
        method: how to resize.

    Returns:
        (1, tokens + patches of `new`, width).

    Raises:
        ModelingError: the old grid is not a square, so PyTorch does not resize it.
    """
    if new == old:
        return embeddings
    if old[0] != old[1]:
        raise ModelingError(
            f"The image has {new} patches instead of the {old} of the config. Use images of the "
            "config's size: the positions of this model are not a square."
        )
    tokens, patches = jnp.split(embeddings, (embeddings.shape[1] - old[0] * old[1],), axis=1)
    patches = resize(patches.reshape(*old, -1), new, method)  # (*new, width)
    return jnp.concatenate((tokens, patches.reshape(1, new[0] * new[1], -1)), axis=1)


def resize(grid: jax.Array, new: Grid, method: Method) -> jax.Array:
    """Return a grid (rows, columns, width) with other rows and columns, computed in float32."""
    resized = jnp.einsum(
        "ih,jw,hwd->ijd",
        method(grid.shape[0], new[0]),
        method(grid.shape[1], new[1]),
        grid.astype(jnp.float32),
        precision="highest",
    )
    return resized.astype(grid.dtype)


def bicubic(old: int, new: int) -> NDArray[np.float32]:
    """Return the matrix that resamples a line of `old` samples to `new` samples.

    This is PyTorch's `interpolate(mode="bicubic", align_corners=False)`: Keys' cubic convolution
    with a = -0.75 (https://doi.org/10.1109/TASSP.1981.1163711) around the centers of samples. The
    samples at the ends are repeated.

    Returns:
        float32 (new, old).
    """
    a = -0.75
    centers = (np.arange(new) + 0.5) * old / new - 0.5
    matrix = np.zeros((new, old), np.float32)
    for neighbor in range(-1, 3):
        sample = np.floor(centers) + neighbor
        d = np.abs(centers - sample)
        near = ((a + 2) * d - (a + 3)) * d**2 + 1
        far = ((d - 5) * d + 8) * d * a - 4 * a
        column = sample.clip(0, old - 1).astype(int)
        np.add.at(matrix, (np.arange(new), column), np.where(d <= 1, near, far))
    return matrix


def antialiased_bicubic(old: int, new: int) -> NDArray[np.float32]:
    """Return the matrix (new, old) of PyTorch's `interpolate(mode="bicubic", antialias=True)`.

    As in Pillow, the convolution has a = -0.5, is as wide as the samples of the result, and leaves
    out the samples outside.
    """
    a, step = -0.5, old / new
    stretch = max(step, 1.0)
    centers = (np.arange(new) + 0.5) * step
    d = np.abs(np.arange(old) + 0.5 - centers[:, None]) / stretch  # (new, old)
    near = ((a + 2) * d - (a + 3)) * d**2 + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    weights = np.where(d < 1, near, np.where(d < 2, far, 0))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def bilinear(old: int, new: int) -> NDArray[np.float32]:
    """Return the matrix (new, old) of `interpolate(mode="bilinear", align_corners=False)`."""
    centers = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - 1)
    samples = np.arange(old)
    return (1 - np.abs(centers[:, None] - samples)).clip(0).astype(np.float32)
