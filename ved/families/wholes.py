"""The models that have an encoder or a decoder as one of their halves.

A source may be such a whole model. The role that it has in a pair decides which half is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ved.families.family import Role


@dataclass(frozen=True)
class Half:
    """The half of a whole model.

    Attributes:
        config: the key of its config in the config of the whole model.
        prefix: the beginning of the names of its tensors, followed by a dot.
        model_type: the `model_type` of its config, which may be omitted; empty if a config has to
            name it.
    """

    config: str
    prefix: str
    model_type: str = ""

    def has(self, name: str) -> bool:
        """Return whether a tensor of the whole model belongs to the half."""
        return name.startswith(f"{self.prefix}.")

    def without_prefix(self, name: str) -> str:
        """Return the name of a tensor of the half in the half."""
        return name.removeprefix(f"{self.prefix}.")


_DECODER = Half("decoder", "decoder")

WHOLES: Mapping[str, Mapping[Role, Half]] = MappingProxyType(
    {
        "vision-encoder-decoder": {"encoder": Half("encoder", "encoder"), "decoder": _DECODER},
        "encoder-decoder": {"decoder": _DECODER},
        "speech-encoder-decoder": {"decoder": _DECODER},
        "clip": {"encoder": Half("vision_config", "vision_model", "clip_vision_model")},
        "chinese_clip": {
            "encoder": Half("vision_config", "vision_model", "chinese_clip_vision_model")
        },
        "siglip": {"encoder": Half("vision_config", "vision_model", "siglip_vision_model")},
        "vision-text-dual-encoder": {
            "encoder": Half("vision_config", "vision_model"),
            "decoder": Half("text_config", "text_model"),
        },
    }
)
"""The halves of whole models by role, by the `model_type` of the whole model."""

UNUSED_HALF = "the source's other half, or between its halves"
"""Why the checkpoint does not use the tensors of a whole model outside of a half."""
