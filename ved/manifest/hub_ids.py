"""The ids of licenses and languages that the Hub accepts in a card, and the nearest right one.

The lists are in the files beside this module, which name their sources.
"""

import difflib
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files

SPECIAL_LANGUAGES = ("code", "multilingual")
"""Values that the Hub accepts in place of a language code."""

_NO_PART_OF_LICENSE_IDS = frozenset(
    ("the", "gnu", "license", "version", "v", "only", "or", "later")
)


@cache
def licenses() -> tuple[str, ...]:
    """Return the license ids of the Hub, in its order."""
    return tuple(_lines("licenses.txt"))


@cache
def languages() -> dict[str, str]:
    """Return the language codes of the Hub, each with the English name if that is in the list."""
    codes = dict.fromkeys(SPECIAL_LANGUAGES, "")
    for line in _lines("languages.txt"):
        of_line = [word for word in line.split(" ") if word.islower()]
        name = line.removeprefix(" ".join(of_line)).strip()
        codes |= dict.fromkeys(of_line, name)
    return codes


@lru_cache(maxsize=100)  # a manifest may have one mistake in each of its pairs
def nearest_license(value: str) -> str | None:
    """Return the license id that an unknown one is most like; None if it is like none."""
    lowered = value[:100].lower().replace(" ", "-").replace("_", "-")
    if lowered in licenses():
        return lowered
    # Such as "MIT License", "GPLv3", "The Apache License, Version 2.0" and SPDX's "GPL-3.0-only".
    parts = re.findall(r"\d+(?:\.\d+)*|[a-z]+", lowered)
    name = "-".join(part for part in parts if part not in _NO_PART_OF_LICENSE_IDS)
    with_version = re.compile(rf"{re.escape(name)}(?:[-.\d]*|-clause)")
    versions = [each for each in licenses() if name and with_version.fullmatch(each)]
    return max(versions, default=None) or _nearest(name, licenses())


@lru_cache(maxsize=100)
def nearest_language(value: str) -> str | None:
    """Return the language code that a name, a tag such as en-US or a wrong code may mean."""
    lowered = value.lower()
    first = lowered.replace("_", "-").partition("-")[0]
    if first in languages():
        return first
    names: dict[str, str] = {}
    for code, name in languages().items():
        names.setdefault(name.lower(), code)  # the code of two letters comes first
    named = _nearest(lowered, [name for name in names if name])
    if named is not None:
        return names[named]
    return _nearest(lowered, [code for code, name in languages().items() if name])


def _nearest(value: str, known: Sequence[str]) -> str | None:
    found = difflib.get_close_matches(value[:100], known, n=1)
    return found[0] if found else None


def _lines(name: str) -> list[str]:
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
