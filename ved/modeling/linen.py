"""The names of Flax that these models use.

Linen decides the bits of newly initialized parameters. The key of a parameter follows from the
names of the modules that contain it and from the number of parameters that its own module created
before. So two modules with the same names and the same order have the same initial parameters.
"""

from flax.linen import (
    Conv,
    Dense,
    Dropout,
    Embed,
    LayerNorm,
    Module,
    compact,
    dot_product_attention_weights,
    gelu,
    remat,
)

__all__ = [
    "Conv",
    "Dense",
    "Dropout",
    "Embed",
    "LayerNorm",
    "Module",
    "compact",
    "dot_product_attention_weights",
    "gelu",
    "remat",
]
