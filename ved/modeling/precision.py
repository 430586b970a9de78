"""Convert parameters to another dtype."""

from typing import Any

import jax
import jax.numpy as jnp


def cast(params: Any, dtype: Any, mask: Any = None) -> Any:
    """Return parameters with another dtype.

    Args:
        params: nested dictionaries of arrays. Integers stay as they are.
        dtype: the dtype.
        mask: nested dictionaries of bool, as the parameters: which ones to convert; None: all.
    """
    mask = jax.tree.map(lambda _: True, params) if mask is None else mask
    return jax.tree.map(
        lambda array, wanted: (
            jnp.asarray(array, dtype)
            if wanted and jnp.issubdtype(array.dtype, jnp.floating)
            else array
        ),
        params,
        mask,
    )


class CastingModel:
    """A model whose parameters can be converted; see `FlaxVisionEncoderDecoderModel`."""

    def to_fp32(self, params: Any, mask: Any = None) -> Any:
        """Return parameters as float32; see `cast`."""
        return cast(params, jnp.float32, mask)

    def to_bf16(self, params: Any, mask: Any = None) -> Any:
        """Return parameters as bfloat16; see `cast`."""
        return cast(params, jnp.bfloat16, mask)

    def to_fp16(self, params: Any, mask: Any = None) -> Any:
        """Return parameters as float16; see `cast`."""
        return cast(params, jnp.float16, mask)
