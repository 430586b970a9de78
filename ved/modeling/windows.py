"""Windows: attention of patches to the patches near them.

Attention of all patches of a large image to all others is too expensive: its cost grows with the
square of their number. So the map of states is cut into windows, and each state reads from its own
window only. Every second layer shifts the map by half a window first, so that states near the
border of two windows meet. The shift is cyclic: states that leave the map on one side come back on
the other. They are not neighbors of those that they meet there, so a mask keeps them apart.

    map       (batch, rows, columns, width)
    windows   (batch * windows, window * window, width)
    mask      (windows, window * window, window * window)

Source: https://arxiv.org/abs/2103.14030, and SwinLayer of transformers.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

_NOT_NEIGHBORS = -100.0
"""What is added to the score of two states that only the cyclic shift brought together."""

Attend = Callable[[jax.Array, jax.Array | None], tuple[jax.Array, jax.Array]]
"""Attention inside of windows: it gets windows and their mask, and returns windows and weights."""


def attend_in_windows(
    states: jax.Array, window: int, shift: int, attend: Attend
) -> tuple[jax.Array, jax.Array]:
    """Return what each state reads from its window, and the weights.

    Args:
        states: (batch, rows, columns, width). Zeros fill the windows at the lower and right border.
        window: rows and columns of a window.
        shift: by how many rows and columns the map is shifted; 0 for none.
        attend: the attention. Its mask is (batch * windows, 1, window * window, window * window),
            or None if nothing is shifted.

    Returns:
        (batch, rows, columns, width), and (batch * windows, heads, window * window, window *
        window).
    """
    batch, rows, columns, _ = states.shape
    fill = ((0, 0), (0, -rows % window), (0, -columns % window), (0, 0))
    states = jnp.pad(states, fill)  # (batch, full rows, full columns, width)
    full_rows, full_columns = states.shape[1:3]
    mask = None
    if shift:
        states = jnp.roll(states, (-shift, -shift), axis=(1, 2))
        mask = shift_mask(full_rows, full_columns, window, shift).astype(states.dtype)
        mask = jnp.tile(mask[:, None], (batch, 1, 1, 1))  # (batch * windows, 1, ...)
    read, weights = attend(split_windows(states, window), mask)
    states = join_windows(read, full_rows, full_columns, window)
    if shift:
        states = jnp.roll(states, (shift, shift), axis=(1, 2))
    return states[:, :rows, :columns], weights


def split_windows(states: jax.Array, window: int) -> jax.Array:
    """Return (batch * windows, window * window, width) from a map of full windows."""
    batch, rows, columns, width = states.shape
    cut = states.reshape(batch, rows // window, window, columns // window, window, width)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(-1, window * window, width)


def join_windows(windows: jax.Array, rows: int, columns: int, window: int) -> jax.Array:
    """Return (batch, rows, columns, width): the inverse of `split_windows`."""
    width = windows.shape[-1]
    cut = windows.reshape(-1, rows // window, columns // window, window, window, width)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(-1, rows, columns, width)


def shift_mask(rows: int, columns: int, window: int, shift: int) -> jax.Array:
    """Return what is added to the scores of states in the windows of a shifted map.

    Returns:
        float32 (windows, window * window, window * window): 0 for states that were neighbors
        before the shift, and -100 for others.
    """
    regions = 3 * _regions(rows, window, shift)[:, None] + _regions(columns, window, shift)
    of_window = split_windows(regions[None, ..., None], window)[..., 0]
    same = of_window[:, None, :] == of_window[:, :, None]
    return jnp.where(same, 0.0, _NOT_NEIGHBORS)


def _regions(side: int, window: int, shift: int) -> jax.Array:
    """Return the region of each row or column: one before the last window, two inside of it."""
    # For a large image the mask is large: it is computed in the program, and no constant of it.
    positions = jnp.arange(side)
    return (positions >= side - window).astype(jnp.int32) + (positions >= side - shift)


def relative_positions(window: int) -> NDArray[np.int64]:
    """Return the row in a table of relative positions for each two states of a window.

    Returns:
        int64 (window * window, window * window), of the rows of a table for `window - 1` rows up to
        `window - 1` rows down, and the same for columns: (2 * window - 1) ** 2 rows.
    """
    rows, columns = np.divmod(np.arange(window * window), window)
    down = rows[:, None] - rows + window - 1
    right = columns[:, None] - columns + window - 1
    return down * (2 * window - 1) + right
