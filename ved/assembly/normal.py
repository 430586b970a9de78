"""Draw normal numbers in blocks, with the bits of `jax.random.normal`.

With jax_threefry_partitionable, which `ved.environment` sets, the bits of a number depend only on
the key and on the number's position. So an array is drawn in blocks of one length, and XLA compiles
one program for all shapes, instead of one for each.

Source of the formulas: jax/_src/random in https://github.com/jax-ml/jax, `_normal_real`, `_uniform`
and `_threefry_random_bits_partitionable`.
"""

from functools import partial
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32

from ved.assembly.keys import Words
from ved.tensors.tensor import Array

_BLOCK = 2**16
"""How many numbers are drawn at a time. A block fits into the cache of a processor."""

_LOW, _HIGH = np.nextafter(np.float32(-1), np.float32(0)), np.float32(1)
_SQRT_2 = np.float32(np.sqrt(2))


def draw_normal(
    key: Words, shape: tuple[int, ...], scale: float, out: Array | None = None
) -> Array:
    """Return `jax.random.normal(key, shape) * scale`: float32, of this shape.

    Args:
        key: the words of the key, uint32 (2,); see `jax.random.key_data`.
        shape: the shape.
        scale: the standard deviation.
        out: a contiguous array of this shape for the numbers; a new one if None.
    """
    numbers = np.empty(prod(shape), np.float32) if out is None else out.reshape(-1)
    for start in range(0, numbers.size, _BLOCK):
        block = np.asarray(_block(key, np.uint32(start >> 32), np.uint32(start % 2**32)))
        # Not in the program: XLA would multiply the two factors first.
        part = numbers[start : start + _BLOCK]
        np.multiply(block[: part.size], np.float32(scale), out=part)
    return numbers.reshape(shape)


@partial(jax.jit, compiler_options={"xla_cpu_multi_thread_eigen": False})
def _block(key: jax.Array, high: jax.Array, low: jax.Array) -> jax.Array:
    """Return the numbers from a position on, (_BLOCK,).

    One thread computes them: a block takes less time than waiting for a second thread, when other
    threads write files.

    Args:
        key: uint32 (2,).
        high: the upper 32 bits of the position.
        low: the lower 32 bits of the position, a multiple of _BLOCK.
    """
    positions = jnp.concatenate([jnp.full(_BLOCK, high), low + jax.lax.iota(jnp.uint32, _BLOCK)])
    first, second = jnp.split(threefry_2x32((key[0], key[1]), positions), 2)
    # The upper 23 bits become the fraction of a number in [1, 2).
    fraction = ((first ^ second) >> 9) | jnp.uint32(0x3F800000)
    uniform = jax.lax.bitcast_convert_type(fraction, jnp.float32) - jnp.float32(1)
    uniform = jnp.maximum(_LOW, uniform * (_HIGH - _LOW) + _LOW)
    return _SQRT_2 * jax.lax.erf_inv(uniform)
