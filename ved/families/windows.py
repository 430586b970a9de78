"""Encoder families that attend in windows of a map; see `ved.modeling.windows`.

`ved.families.table` has all families. Source of all facts: transformers 4.57, in its PyTorch
classes for the family.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ved.families import config_classes, settings
from ved.families.config_class import ConfigClass
from ved.families.family import Family
from ved.families.setting import Setting
from ved.families.vision import COMMON_IMAGE_PROCESSORS, VISION_UNUSED, first

_TABLE_INDEX = MappingProxyType({"relative_position_bias_table": "relative_position_index"})


def _windows(
    prefix: str,
    image_processor: str,
    known: Mapping[str, Setting],
    config_class: ConfigClass,
    *,
    has_table: bool,
) -> Family:
    """Return a family.

    Args:
        prefix: see `Family`.
        image_processor: the class of an image processor that names none.
        known: see `Family.settings`.
        config_class: see `Family`.
        has_table: whether attention has a table of relative positions, of the size of a window.
    """
    return Family(
        prefix=prefix,
        settings=known,
        config_class=config_class,
        image_processors=first(image_processor, *COMMON_IMAGE_PROCESSORS),
        unused=VISION_UNUSED,
        takes_any_size=True,
        other_sizes="zeros fill the windows at their border",
        needs_whole_windows=has_table,
        buffers=_TABLE_INDEX if has_table else MappingProxyType({}),
        has_flax_class=False,
        layers="depths",
        heads="num_heads",
    )


SWIN = _windows("swin", "ViTImageProcessor", settings.SWIN, config_classes.SWIN, has_table=True)
DONUT_SWIN = _windows(
    "donut", "DonutImageProcessor", settings.SWIN, config_classes.DONUT_SWIN, has_table=True
)
SWINV2 = _windows(
    "swinv2", "ViTImageProcessor", settings.SWINV2, config_classes.SWINV2, has_table=False
)
