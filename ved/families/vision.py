"""Encoder families that transformers has no usable Flax class for, and what all encoders share.

`ved.families.table` has all families. Source of all facts: transformers 4.57, in its PyTorch
classes for the family.
"""

from types import MappingProxyType

from ved.families import config_classes, settings, vision_settings
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

_DEIT_UNUSED = MappingProxyType(
    {**VISION_UNUSED, ".cls_classifier.": OTHER_HEAD, ".distillation_classifier.": OTHER_HEAD}
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
    config_class=config_classes.CLIP_VISION,
    unused=_DUAL_UNUSED,
    image_processors=first("CLIPImageProcessor", *COMMON_IMAGE_PROCESSORS),
    has_flax_class=False,
)

SIGLIP_VISION = Family(
    prefix="vision_model",
    settings=vision_settings.SIGLIP_VISION,
    config_class=config_classes.SIGLIP_VISION,
    optional=("head.",),
    unused=_DUAL_UNUSED,
    image_processors=first("SiglipImageProcessor", *COMMON_IMAGE_PROCESSORS),
    has_flax_class=False,
)

DEIT = Family(
    prefix="deit",
    settings=settings.VIT,
    config_class=config_classes.DEIT,
    optional=("pooler.",),
    unused=_DEIT_UNUSED,
    image_processors=first("DeiTImageProcessor", *COMMON_IMAGE_PROCESSORS),
    has_flax_class=False,
)

IJEPA = Family(
    prefix="ijepa",
    settings=settings.VIT,
    config_class=config_classes.IJEPA,
    unused=VISION_UNUSED,
    image_processors=first("ViTImageProcessor", *COMMON_IMAGE_PROCESSORS),
    has_flax_class=False,
)

DINOV2_WITH_REGISTERS = Family(
    prefix="dinov2_with_registers",
    settings=vision_settings.DINOV2_WITH_REGISTERS,
    config_class=config_classes.DINOV2_WITH_REGISTERS,
    optional=("embeddings.mask_token",),
    unused=VISION_UNUSED,
    takes_any_size=True,
    image_processors=first("BitImageProcessor", *COMMON_IMAGE_PROCESSORS),
    has_flax_class=False,
)

DINOV3_VIT = Family(
    prefix="dinov3_vit",
    settings=vision_settings.DINOV3,
    config_class=config_classes.DINOV3_VIT,
    optional=("embeddings.mask_token",),
    unused=VISION_UNUSED,
    takes_any_size=True,
    other_sizes="its positions follow the size of the image",
    image_processors=first("DINOv3ViTImageProcessor", *COMMON_IMAGE_PROCESSORS),
    has_flax_class=False,
)
