"""The settings that Swin and Swin v2 share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
from jax.nn.initializers import normal

from ved.modeling.errors import ModelingError
from ved.modeling.image_settings import ImageSettings
from ved.modeling.settings import Only

EPSILON = 1e-5
"""The epsilon of norms outside of the layers, which the config does not set."""


@dataclass(frozen=True, kw_only=True)
class WindowSettings(ImageSettings):
    """The settings of Swin and Swin v2, with one depth and one number of heads for each stage."""

    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int = 7
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    drop_path_rate: float = 0.1
    layer_norm_eps: float = 1e-5
    patch_size: tuple[int, int] = (4, 4)

    HAS_NORM: ClassVar[bool] = True
    """Whether there is a norm after the last stage."""

    # PyTorch with transformers 4.57 fails to add absolute positions.
    ONLY: ClassVar[Only] = {
        "use_absolute_embeddings": (False,),
        "path_norm": (True,),
        "patch_norm": (True,),
    }
    IGNORED: ClassVar[tuple[str, ...]] = (
        *ImageSettings.IGNORED,
        # They follow from others, and PyTorch does not read them from the config.
        *("hidden_size", "num_layers", "num_hidden_layers", "num_attention_heads", "stage_names"),
        *("encoder_stride", "out_features", "out_indices"),
    )

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.num_heads) or not all(self.depths + self.num_heads):
            raise ModelingError(
                f"The config has the depths {self.depths} and the heads {self.num_heads}, but a "
                "stage needs one positive number of each. Check the config."
            )
        if not self.window_size:
            raise ModelingError("The setting window_size is 0. Check the config.")
        for stage, heads in enumerate(self.num_heads):
            self._divide(self.embed_dim * 2**stage, heads)

    @property
    def hidden_size(self) -> int:
        """The width of the states after the last stage."""
        return int(self.embed_dim * 2 ** (len(self.depths) - 1))

    def drop_path(self, stage: int, number: int) -> float:
        """Return how often training leaves out a layer: later ones more often."""
        before = sum(self.depths[:stage]) + number
        return self.drop_path_rate * before / max(sum(self.depths) - 1, 1)


def initializer(settings: WindowSettings) -> Callable[..., jax.Array]:
    """Return the initializer of all kernels."""
    return normal(settings.initializer_range)
