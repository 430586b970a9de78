"""DeiT: ViT with a second state beside the class token, the distillation token.

Training asked this state for the answer of another model, a convolutional one. A decoder reads it
as any other state. DeiT models without it are ViT, and their configs say so. The rest is explained
in `ved.modeling.vit`.

    pixels    (batch, channels, height, width)
    states    (batch, 2 + patches, width)

Source: https://arxiv.org/abs/2012.12877, and DeiTModel of transformers.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ved.modeling.vit import ViTEmbeddings, ViTModule, ViTSettings, initializer


@dataclass(frozen=True, kw_only=True)
class DeiTSettings(ViTSettings):
    """The settings of DeiT."""


class DeiTEmbeddings(ViTEmbeddings):
    """The states of both tokens and of the patches, with their positions."""

    def tokens(self) -> jax.Array:
        """Return the class token and the distillation token: (1, 2, width)."""
        init, shape = initializer(self.settings), (1, 1, self.settings.hidden_size)
        token = self.param("distillation_token", init, shape)
        return jnp.concatenate((super().tokens(), token), axis=1)


class DeiTModule(ViTModule):
    """The whole encoder."""

    embeddings_class: type[ViTEmbeddings] = DeiTEmbeddings
