"""I-JEPA: ViT without a class token, so that each state belongs to a patch.

Training asked it for the states of masked patches, not for their pixels, and labels no image. The
rest is explained in `ved.modeling.vit`.

    pixels    (batch, channels, height, width)
    states    (batch, patches, width)

Source: https://arxiv.org/abs/2301.08243, and IJepaModel of transformers.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ved.modeling.vit import ViTEmbeddings, ViTModule, ViTSettings


@dataclass(frozen=True, kw_only=True)
class IJepaSettings(ViTSettings):
    """The settings of I-JEPA."""


class IJepaEmbeddings(ViTEmbeddings):
    """The states of the patches, with their positions."""

    def tokens(self) -> jax.Array:
        """Return no state: (1, 0, width)."""
        return jnp.zeros((1, 0, self.settings.hidden_size))


class IJepaModule(ViTModule):
    """The whole encoder."""

    embeddings_class: type[ViTEmbeddings] = IJepaEmbeddings
    has_pooler: ClassVar[bool] = False
