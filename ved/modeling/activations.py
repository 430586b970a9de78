"""The activations that a config can name, with the formulas of PyTorch.

Source: `ACT2FN` in activations.py of transformers 5, without those that have parameters.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp

from ved.modeling.linen import gelu


def _exact(x: jax.Array) -> jax.Array:
    return gelu(x, approximate=False)


def _approximate(x: jax.Array) -> jax.Array:
    return gelu(x, approximate=True)


def _quick_gelu(x: jax.Array) -> jax.Array:
    return x * jax.nn.sigmoid(1.702 * x)


def _laplace(x: jax.Array) -> jax.Array:
    return 0.5 * (1 + jax.lax.erf((x - 0.707107) / (0.282095 * 2**0.5)))


ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = MappingProxyType(
    {
        "gelu": _exact,
        "gelu_10": lambda x: jnp.clip(_exact(x), -10, 10),
        "gelu_accurate": _approximate,
        "gelu_fast": _approximate,
        "gelu_new": _approximate,
        "gelu_python": _exact,
        "gelu_python_tanh": _approximate,
        "gelu_pytorch_tanh": _approximate,
        "laplace": _laplace,
        "leaky_relu": jax.nn.leaky_relu,
        "linear": lambda x: x,
        "mish": jax.nn.mish,
        "quick_gelu": _quick_gelu,
        "relu": jax.nn.relu,
        "relu2": lambda x: jnp.square(jax.nn.relu(x)),
        "relu6": jax.nn.relu6,
        "sigmoid": jax.nn.sigmoid,
        "silu": jax.nn.silu,
        "swish": jax.nn.silu,
        "tanh": jnp.tanh,
    }
)
