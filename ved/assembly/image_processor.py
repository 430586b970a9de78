"""Prepare the image processor of a source for publication: its class and all of its settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ved.assembly import json_settings
from ved.assembly.image_processor_classes import CLASSES
from ved.assembly.json_settings import Check, boolean, integer
from ved.assembly.processing_files import (
    IMAGE_PROCESSOR_CONFIG,
    PROCESSOR_CONFIG,
    ImageProcessorFiles,
)
from ved.errors import ErrorCode, VedError
from ved.families.family import Family
from ved.text import first_line, quoted

_SIDES = (
    "height",
    "width",
    "shortest_edge",
    "longest_edge",
    "max_height",
    "max_width",
)
_MAX_SIDE = 4096
_MAX_CHANNELS = 4


def _size(value: object) -> Any:
    """Return the size of an image: pixels per side, height and width, or an object of both."""
    side = integer(1, _MAX_SIDE)
    if isinstance(value, dict):
        # transformers 5 writes null for the sides that are not used.
        return {name: side(each) for name, each in value.items() if name in _SIDES and each}
    if isinstance(value, list) and len(value) == 2:
        return [side(each) for each in value]
    return side(value)


def _channels(value: object) -> Any:
    """Return a number, or a number for each channel."""
    if not isinstance(value, list):
        return json_settings.number(value)
    if not 1 <= len(value) <= _MAX_CHANNELS:
        raise ValueError(f"a number for each of 1 to {_MAX_CHANNELS} channels")
    return [json_settings.number(each) for each in value]


SETTINGS: Mapping[str, Check] = {
    "crop_size": _size,
    "do_align_long_axis": boolean,
    "do_center_crop": boolean,
    "do_convert_rgb": boolean,
    "do_normalize": boolean,
    "do_pad": boolean,
    "do_reduce_labels": boolean,
    "do_rescale": boolean,
    "do_resize": boolean,
    "do_thumbnail": boolean,
    "image_mean": _channels,
    "image_std": _channels,
    "resample": integer(0, 5),
    "rescale_factor": json_settings.number,
    "size": _size,
}
"""The settings that an image processor is created with. None of them names a file or code."""


class _Replacement(NamedTuple):
    """A class without torch that does the same as one that needs torch, except for rounding.

    Attributes:
        name: the class.
        defaults: the defaults of the class that needs torch.
    """

    name: str
    defaults: Mapping[str, Any]


_REPLACEMENTS: Mapping[str, _Replacement] = {
    "DINOv3ViTImageProcessor": _Replacement(
        "BitImageProcessor",
        {
            "size": {"height": 224, "width": 224},
            "resample": 2,
            "do_center_crop": False,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    )
}
"""Classes that transformers has only for torch. Source: DINOv3ViTImageProcessorFast, which resizes
numbers from 0 to 1; the replacement rounds the resized pixels to 256 values before."""


def prepare_image_processor(
    directory: Path, config: Mapping[str, Any], family: Family, origin: str
) -> ImageProcessorFiles:
    """Return what is published of a source's image processor.

    Args:
        directory: the files of the source.
        config: the content of its config.json.
        family: its family.
        origin: the source, for errors.

    Raises:
        VedError: the source has no image processor that VED can publish.
    """
    try:
        raw = _read(directory)
        if raw is None:
            raise VedError(
                f"{origin} has no image processor ({IMAGE_PROCESSOR_CONFIG}).",
                "Use an encoder checkpoint that has one.",
                code=ErrorCode.PROCESSOR_NOT_USABLE,
            )
        name = _class_name(raw, config, family, origin)
        return _describe(name, raw)
    except VedError:
        raise
    except Exception as error:  # the files of a source may be damaged in any way
        raise not_usable(origin, error) from error


def _read(directory: Path) -> dict[str, Any] | None:
    """Return the settings of the image processor; None if there is none.

    Raises:
        ValueError: a file is not JSON.
    """
    if (directory / IMAGE_PROCESSOR_CONFIG).is_file():
        return json_settings.read_object(directory / IMAGE_PROCESSOR_CONFIG)
    if not (directory / PROCESSOR_CONFIG).is_file():
        return None
    nested = json_settings.read_object(directory / PROCESSOR_CONFIG).get("image_processor")
    return nested if isinstance(nested, dict) else None


def _class_name(
    raw: Mapping[str, Any], config: Mapping[str, Any], family: Family, origin: str
) -> str:
    """Return today's name of the class, without the suffix of a backend.

    Raises:
        VedError: the family may not have this class.
    """
    named = raw.get("image_processor_type") or raw.get("feature_extractor_type")
    named = named or config.get("image_processor_type")
    if not named and "auto_map" not in raw:
        named = family.image_processors[0]
    name = str(named).removesuffix("Fast").removesuffix("Pil")
    name = name.replace("FeatureExtractor", "ImageProcessor")
    if name in family.image_processors:
        return name
    reason = "VED does not know it for this family" if named else "it has only its own code"
    raise VedError(
        f"The image processor of {origin} has the class {quoted(str(named))}: {reason}.",
        "Use an encoder checkpoint whose image processor has one of these classes: "
        f"{', '.join(family.image_processors)}.",
        code=ErrorCode.PROCESSOR_NOT_USABLE,
    )


def _describe(name: str, raw: Mapping[str, Any]) -> ImageProcessorFiles:
    """Return all settings of an image processor."""
    notices = []
    known = json_settings.known_settings(raw, SETTINGS)
    if name in _REPLACEMENTS:
        notices.append(
            f"{name} needs torch, so the image processor is {_REPLACEMENTS[name].name} with the "
            "same settings. Its pixels differ by rounding to 256 values."
        )
        given = {key: value for key, value in known.items() if value is not None}
        name, known = _REPLACEMENTS[name].name, {**_REPLACEMENTS[name].defaults, **given}
    settings = CLASSES[name].complete(known)
    if "auto_map" in raw:
        notices.append(f"VED does not run the image processor's own code, and uses {name} instead.")
    return ImageProcessorFiles({**settings, "image_processor_type": name}, tuple(notices))


def not_usable(origin: str, error: Exception) -> VedError:
    """Return the error for an image processor that cannot be used.

    Args:
        origin: the source.
        error: the reason.
    """
    return VedError(
        f"The image processor of {origin} cannot be used: {first_line(error)}.",
        "Use an encoder checkpoint whose image processor works with transformers.",
        code=ErrorCode.PROCESSOR_NOT_USABLE,
    )
