"""DINOv2 with registers: a few states more, which belong to no patch and have no position.

Large encoders keep facts about the whole image in the states of patches where little is to be seen.
Registers give them a place for that, so that the states of patches stay true to their patches. A
decoder reads registers as any other state. The rest is explained in `ved.modeling.dinov2`.

    pixels    (batch, channels, height, width)
    states    (batch, 1 + registers + patches, width)

Source: https://arxiv.org/abs/2309.16588, and Dinov2WithRegistersModel of transformers.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.nn.initializers import zeros

from ved.modeling.dinov2 import Dinov2Module, Dinov2Settings
from ved.modeling.positions import Method, antialiased_bicubic
from ved.modeling.vit import ViTEmbeddings


@dataclass(frozen=True, kw_only=True)
class Dinov2WithRegistersSettings(Dinov2Settings):
    """The settings of DINOv2 with registers."""

    patch_size: tuple[int, int] = (16, 16)
    num_register_tokens: int = 4


class RegisterEmbeddings(ViTEmbeddings):
    """The states of the class token, of registers and of the patches, with their positions."""

    resampling: Method = antialiased_bicubic

    def after_positions(self, states: jax.Array) -> jax.Array:
        """Return (batch, 1 + registers + patches, width), from (batch, 1 + patches, width)."""
        of = self.settings
        assert isinstance(of, Dinov2WithRegistersSettings)
        shape = (1, of.num_register_tokens, of.hidden_size)
        registers = self.param("register_tokens", zeros, shape).astype(self.dtype)
        registers = jnp.broadcast_to(registers, (states.shape[0], *shape[1:]))
        return jnp.concatenate((states[:, :1], registers, states[:, 1:]), axis=1)


class Dinov2WithRegistersModule(Dinov2Module):
    """The whole encoder."""

    embeddings_class: type[ViTEmbeddings] = RegisterEmbeddings
