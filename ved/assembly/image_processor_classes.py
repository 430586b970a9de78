"""The classes of image processors: their settings, with defaults, and what a size without names is.

Source: the classes of these names in transformers 4.57. Releases have other defaults, so a
checkpoint states all settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

_STANDARD = [0.5, 0.5, 0.5]
_CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
_CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
_BILINEAR, _BICUBIC = 2, 3  # of PIL.Image.Resampling

_COMMON: Mapping[str, Any] = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": _STANDARD,
    "image_std": _STANDARD,
    "resample": _BILINEAR,
    "rescale_factor": 1 / 255,
}
_BOTH_SIDES = frozenset(("height", "width"))


@dataclass(frozen=True)
class ImageProcessorClass:
    """One class of image processors.

    Attributes:
        defaults: its settings; None for one that has no effect unless it is given.
        one_side: what one number means as a size.
        two_sides: what two numbers mean as a size.
    """

    defaults: Mapping[str, Any]
    one_side: Literal["square", "shortest_edge"] = "square"
    two_sides: tuple[str, str] = ("height", "width")

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings.

        Args:
            given: those that a source states, all of known types.

        Raises:
            ValueError: the sides of a size do not belong together.
        """
        known = {name: given[name] for name in self.defaults if name in given}
        values = {**self.defaults, **known}
        for name, one_side, used in (
            ("size", self.one_side, values["do_resize"]),
            ("crop_size", "square", values.get("do_center_crop")),
        ):
            if name in values:
                values[name] = size = self._named_size(values[name], one_side)
                may_be_edge = one_side == "shortest_edge" and "shortest_edge" in size
                if used and not may_be_edge and size.keys() != _BOTH_SIDES:
                    raise ValueError(f"{name} has the sides {', '.join(size) or 'none'}")
        return {name: value for name, value in values.items() if value is not None}

    def _named_size(self, value: Any, one_side: str) -> dict[str, int]:
        if isinstance(value, int):
            names = ("height", "width") if one_side == "square" else (one_side,)
            return dict.fromkeys(names, value)
        if isinstance(value, list):
            return dict(sorted(zip(self.two_sides, value, strict=True)))
        return dict(value)


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


_CLIP = ImageProcessorClass(
    {
        **_COMMON,
        "crop_size": _square(224),
        "do_center_crop": True,
        "do_convert_rgb": True,
        "image_mean": _CLIP_MEAN,
        "image_std": _CLIP_STD,
        "resample": _BICUBIC,
        "size": {"shortest_edge": 224},
    },
    one_side="shortest_edge",
)
_CROPPED = {
    **_COMMON,
    "crop_size": _square(224),
    "do_center_crop": True,
    "resample": _BICUBIC,
    "size": _square(256),
}

CLASSES: Mapping[str, ImageProcessorClass] = {
    "BeitImageProcessor": ImageProcessorClass({**_CROPPED, "do_reduce_labels": False}),
    "BitImageProcessor": _CLIP,
    "CLIPImageProcessor": _CLIP,
    "ChineseCLIPImageProcessor": _CLIP,
    "DeiTImageProcessor": ImageProcessorClass(_CROPPED),
    "DonutImageProcessor": ImageProcessorClass(
        {
            **_COMMON,
            "do_align_long_axis": False,
            "do_pad": True,
            "do_thumbnail": True,
            "size": {"height": 2560, "width": 1920},
        },
        two_sides=("width", "height"),
    ),
    "SiglipImageProcessor": ImageProcessorClass(
        {**_COMMON, "do_convert_rgb": None, "resample": _BICUBIC, "size": _square(224)}
    ),
    "ViTImageProcessor": ImageProcessorClass(
        {**_COMMON, "do_convert_rgb": None, "size": _square(224)}
    ),
}
"""The classes by their names."""
