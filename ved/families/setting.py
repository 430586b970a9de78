"""The kinds of settings of a config: how VED treats a setting.

A setting is computed, or refused with the reason, or it does not change what the model computes.
`ved.families.settings` says which settings each family has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

_LARGEST = 1000
"""The largest value of settings such as `layer_norm_eps`. Flax squares some of them."""


def _anything(_: object) -> bool:
    return True


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Setting:
    """One setting of the configs of a family.

    Attributes:
        accepts: whether Flax and PyTorch compute the same with a value. A value that is not
            accepted is refused.
        expected: the accepted values, for the error: the end of "it is X instead of".
        reason: why other values are refused, for the error; empty if that is plain.
        convert: returns the value that the checkpoint's config gets for an accepted value. The
            model computes the same with both.
        published: whether the checkpoint's config has the setting. A setting that is not published
            has the default of the class.
        flax_class_computes: whether transformers' own Flax class computes the same with an accepted
            value. `ved.modeling` does.
    """

    accepts: Callable[[Any], bool] = _anything
    expected: str = ""
    reason: str = ""
    convert: Callable[[Any], Any] = _unchanged
    published: bool = True
    flax_class_computes: Callable[[Any], bool] = _anything

    def problem(self, value: object) -> str:
        """Return why a value is refused, without the value; empty if it is accepted."""
        if self.accepts(value):
            return ""
        return f"instead of {self.expected}" + (f", because {self.reason}" if self.reason else "")


def only(value: object, reason: str, *, published: bool = True) -> Setting:
    """Return a setting with one supported value."""
    return Setting(
        lambda found: type(found) is type(value) and found == value,
        repr(value),
        reason,
        published=published,
    )


def flag(flax_class_computes: Callable[[Any], bool] = _anything) -> Setting:
    """Return a setting that is True or False; see `Setting` for the argument."""
    return Setting(
        lambda value: type(value) is bool,
        "True or False",
        flax_class_computes=flax_class_computes,
    )


def one_of(*values: str | None) -> Setting:
    """Return a setting with a few supported values."""
    return Setting(
        lambda found: (found is None or isinstance(found, str)) and found in values,
        f"one of {', '.join(filter(None, values))}",
    )


def _as_fraction(value: Any) -> Any:
    """Return 1 as 1.0, which transformers 5 requires for some settings."""
    return float(value) if type(value) is int else value


def _is_number(value: object, largest: float = _LARGEST) -> bool:
    return type(value) in (int, float) and 0 <= value <= largest  # type: ignore[operator]


def _is_square(value: object) -> bool:
    return not isinstance(value, list) or (len(value) == 2 and value[0] == value[1])


def _is_whole(value: object) -> bool:
    return value is not None and (not isinstance(value, float) or value.is_integer())


def _is_label_table(value: object) -> bool:
    return value is None or (isinstance(value, dict) and all(key.isdecimal() for key in value))


HARMLESS = Setting()
"""It does not change what the model computes: it is for training, generation or other heads."""

REMOVED = Setting(published=False)
"""It does not change the numbers, but what a class returns or how it loads; or VED sets it."""

SIZE = Setting(lambda value: value is not None, "a number")
"""A size, which `ved.sources.config_sizes` checks."""

SQUARE = Setting(
    _is_square,
    "a number",
    "PyTorch computes the positions of squares only",
    convert=lambda value: value[0] if isinstance(value, list) else value,
)
"""A height and width. The classes of PyTorch also take a list of two."""

SIDES = Setting(
    lambda value: type(value) is int or (isinstance(value, list) and len(value) == 2),
    "a number, or a list of height and width",
    convert=lambda value: value[0] if isinstance(value, list) and _is_square(value) else value,
    flax_class_computes=_is_square,
)
"""A height and width that may differ. `ved.sources.config_sizes` checks the numbers."""

SIZE_LIST = Setting(
    lambda value: isinstance(value, list) and bool(value), "a list of a number for each stage"
)
"""A number for each stage of an encoder, which `ved.sources.config_sizes` checks."""

RATIO = Setting(lambda value: value is not None, "a number", convert=_as_fraction)
"""A number that `ved.sources.config_sizes` checks."""

OPTIONAL_SIZE = Setting()
"""A size that may be null, which `ved.sources.config_sizes` checks."""

TOKEN_TYPES = Setting(
    lambda value: value not in (None, 0), "a positive number", "each token has the type 0"
)

FIRST_POSITION = Setting(
    lambda value: type(value) is int and value >= 0,
    "a token id",
    "the decoder counts positions from it",
)

FLAG = flag()

NUMBER = Setting(_is_number, f"a number from 0 to {_LARGEST}", convert=_as_fraction)

POSITIVE_NUMBER = Setting(
    lambda value: _is_number(value) and value > 0,
    f"a positive number up to {_LARGEST}",
    convert=_as_fraction,
)

OPTIONAL_NUMBER = Setting(
    lambda value: value is None or _is_number(value),
    f"None or {NUMBER.expected}",
    convert=_as_fraction,
)

OPTIONAL_POSITIVE_NUMBER = Setting(
    lambda value: value is None or not POSITIVE_NUMBER.problem(value),
    f"None or {POSITIVE_NUMBER.expected}",
    convert=_as_fraction,
)

RATE = Setting(lambda value: _is_number(value, 1), "a number from 0 to 1")
"""A probability of dropout. Training uses it."""

LAYER_RATE = replace(RATE, convert=_as_fraction)
"""A probability to leave out a layer. Training uses it."""

WHOLE_RATIO = Setting(
    _is_whole,
    "a whole number",
    "transformers 5 takes no fraction",
    convert=lambda value: int(value) if isinstance(value, float) else value,
)

INITIAL_VALUE = Setting(_is_number, NUMBER.expected, convert=lambda _: 1.0)
"""The initial value of parameters that every source has. Flax also multiplies by it."""

LABELS = Setting(_is_label_table, "a mapping of numbers")

MAPPING = Setting(lambda value: value is None or isinstance(value, dict), "a mapping")

_ACTIVATIONS = (
    *("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu"),
    *("relu", "silu", "swish", "tanh"),
)
"""The activations of Flax. Source: `ACT2FN` of transformers' modeling_flax_utils."""

_SAME_ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {
        "gelu_accurate": "gelu_new",
        "gelu_fast": "gelu_new",
        "gelu_python": "gelu",
        "gelu_python_tanh": "gelu_pytorch_tanh",
    }
)
"""Activations that Flax lacks, with those of the same formula. Source: transformers' activations,
whose code for them differs only in rounding."""

ACTIVATION = Setting(
    lambda value: isinstance(value, str) and value in (*_ACTIVATIONS, *_SAME_ACTIVATIONS),
    f"one of {', '.join(sorted((*_ACTIVATIONS, *_SAME_ACTIVATIONS)))}",
    "VED computes no others",
    convert=lambda value: _SAME_ACTIVATIONS.get(value, value),
)

ADAPTERS = Setting(
    lambda value: not value or (isinstance(value, dict) and not value.get("adapters")),
    "an empty mapping",
    "transformers has no code for adapters",
    published=False,
)
