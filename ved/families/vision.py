"""Encoder families that transformers has no usable Flax class for, and what all encoders share.

`ved.families.table` has all families. Source of all facts: transformers 4.57, in its PyTorch
classes for the family.
"""

from types import MappingProxyType

from ved.families import vision_settings
from ved.families.family import Family

# Reasons of Family.unused
BUFFER = "a buffer, computed from the config"
OTHER_HEAD = "a head for another task"
_NOT_CONFIGURED = "the encoder's config does not use it"

VISION_UNUSED = MappingProxyType(
    {
        ".classifier.": OTHER_HEAD,
        ".decoder.": OTHER_HEAD,
        ".lm_head.": OTHER_HEAD,
        ".relative_position_index": BUFFER,
        ".relative_coords_table": BUFFER,
        ".attn_mask": BUFFER,
        ".mask_token": "it replaces masked patches, in pretraining only",
        ".layernorm.": _NOT_CONFIGURED,
        ".pooler.": _NOT_CONFIGURED,
    }
)

_DUAL_UNUSED = MappingProxyType(
    {
        ".position_ids": BUFFER,
        ".visual_projection.": "it compares images with texts",
        ".classifier.": OTHER_HEAD,
        ".head.": _NOT_CONFIGURED,
    }
)

COMMON_IMAGE_PROCESSORS = (
    "BeitImageProcessor",
    "BitImageProcessor",
    "CLIPImageProcessor",
    "DeiTImageProcessor",
    "SiglipImageProcessor",
    "ViTImageProcessor",
)
"""Classes of image processors that any encoder may have: people save some for another encoder."""


def first(name: str, *others: str) -> tuple[str, ...]:
    """Return names without repetition, with a certain one first."""
    return tuple(dict.fromkeys((name, *others)))


CLIP_VISION = Family(
    prefix="vision_model",
    settings=vision_settings.CLIP_VISION,
    unused=_DUAL_UNUSED,
    image_processors=first("CLIPImageProcessor", *COMMON_IMAGE_PROCESSORS),
    has_flax_class=False,
)

SIGLIP_VISION = Family(
    prefix="vision_model",
    settings=vision_settings.SIGLIP_VISION,
    optional=("head.",),
    unused=_DUAL_UNUSED,
    image_processors=first("SiglipImageProcessor", *COMMON_IMAGE_PROCESSORS),
    has_flax_class=False,
)
