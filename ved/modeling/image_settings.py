"""The settings that all encoders of images share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from ved.modeling.errors import ModelingError
from ved.modeling.positions import Grid
from ved.modeling.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ImageSettings(Settings):
    """The settings of an encoder of images."""

    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    image_size: tuple[int, int] = (224, 224)
    patch_size: tuple[int, int] = (16, 16)
    num_channels: int = 3

    IGNORED: ClassVar[tuple[str, ...]] = ("tie_word_embeddings", "cross_attention_hidden_size")

    @property
    def hidden_size(self) -> int:
        """The width of the states that the encoder returns; a field in some families."""
        raise NotImplementedError

    @property
    def buffers(self) -> Mapping[str, NDArray[Any]]:
        """Arrays that follow from the settings, and that PyTorch stores beside parameters."""
        return {}

    def _only_square(self) -> None:
        """Refuse images that are not square, whose positions PyTorch computes wrongly."""
        if self.grid[0] != self.grid[1]:
            raise ModelingError(
                f"The setting image_size gives {self.grid} patches, which are not a square. "
                "Use a config with square images: PyTorch cannot compute these positions."
            )

    @property
    def grid(self) -> Grid:
        """How many rows and columns of patches an image of the config's size has."""
        return self.grid_of(*self.image_size)

    def grid_of(self, height: int, width: int) -> Grid:
        """Return how many rows and columns of patches an image has; its size is in pixels."""
        return height // self.patch_size[0], width // self.patch_size[1]
