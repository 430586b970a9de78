"""Read settings of a source as JSON, and check their types and sizes.

Everything in a source is untrusted. A setting that VED does not know could name a file, a repo or
code, so only known settings are kept, and only with values of the expected type.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ved.limits import small_file_bytes

Check = Callable[[object], Any]
"""Return a setting in its usual form, or raise ValueError with what was expected."""

MAX_TOKEN_LENGTH = 2_000
"""The most characters of a token."""

_MAX_TOKENS = 100_000
_MAX_TEXT = 1_000_000
_MAX_NUMBER = 1e31  # transformers writes 1e30 for a text of unlimited length
_MAX_TOKEN_ID = 10_000_000
_FLAGS = ("lstrip", "normalized", "rstrip", "single_word", "special")
TOKEN_FIELDS = ("content", *_FLAGS)
"""The fields of an added token."""


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Args:
        path: the file.

    Raises:
        ValueError: the file is too large, or does not contain a JSON object.
        OSError: the file cannot be read.
    """
    limit = small_file_bytes(path.name)
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path.name} has more than {limit} bytes")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} does not contain a JSON object")
    return value


def known_settings(settings: Mapping[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """Return the settings that have a check, in their usual form. Null means unset.

    Raises:
        ValueError: a setting has another type than expected, or is too large.
    """
    known = {}
    for name, check in checks.items():
        if settings.get(name) is not None:
            try:
                known[name] = check(settings[name])
            except ValueError as error:
                raise ValueError(f"{name} is not {error}") from error
    return known


def boolean(value: object) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def number(value: object) -> int | float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number")
    if not -_MAX_NUMBER <= value <= _MAX_NUMBER or math.isnan(value):
        raise ValueError("a number below 1e31")
    return value


def integer(low: int, high: int) -> Check:
    """Return a check for an integer of a range."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return value

    return check


def one_of(*choices: str) -> Check:
    """Return a check for one of several texts."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(" or ".join(choices))
        return value

    return check


def some_of(*choices: str) -> Check:
    """Return a check for a list of some of several texts."""
    check_one = one_of(*choices)

    def check(value: object) -> list[str]:
        if not isinstance(value, list) or len(value) > len(choices):
            raise ValueError(f"a list of {', '.join(choices)}")
        return [check_one(each) for each in value]

    return check


def text(value: object) -> str:
    """Return a text of limited length."""
    if not isinstance(value, str) or len(value) > _MAX_TEXT or not _is_unicode(value):
        raise ValueError(f"a text of at most {_MAX_TEXT} characters")
    return value


def token_text(value: object) -> str:
    """Return the text of a token."""
    if not isinstance(value, str) or len(value) > MAX_TOKEN_LENGTH or not _is_unicode(value):
        raise ValueError(f"a token of at most {MAX_TOKEN_LENGTH} characters")
    return value


def token_texts(value: object) -> list[str]:
    """Return a list of the texts of tokens."""
    if not isinstance(value, list) or len(value) > _MAX_TOKENS:
        raise ValueError(f"a list of at most {_MAX_TOKENS} tokens")
    return [token_text(each) for each in value]


def added_token(value: object) -> dict[str, Any]:
    """Return the content and the flags of an added token."""
    if not isinstance(value, dict):
        raise ValueError("an added token")
    flags = {name: boolean(value[name]) for name in _FLAGS if value.get(name) is not None}
    # The default of the library.
    flags.setdefault("normalized", not flags.get("special", False))
    return {**dict.fromkeys(_FLAGS, False), **flags, "content": token_text(value.get("content"))}


def token(value: object) -> str | dict[str, Any]:
    """Return a token as its text, or as content and flags."""
    return added_token(value) if isinstance(value, dict) else token_text(value)


def tokens(value: object) -> list[str | dict[str, Any]]:
    """Return a list of tokens. transformers 4 and 5 also have them as an object, by name."""
    values = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(values, list) or len(values) > _MAX_TOKENS:
        raise ValueError(f"a list of at most {_MAX_TOKENS} tokens")
    return [token(each) for each in values]


def added_tokens(value: object) -> dict[int, dict[str, Any]]:
    """Return added tokens by id, in the order of the ids."""
    if not isinstance(value, dict) or len(value) > _MAX_TOKENS:
        raise ValueError(f"an object of at most {_MAX_TOKENS} added tokens")
    return {token_id(key): added_token(each) for key, each in value.items()}


def token_id(value: object) -> int:
    """Return the id of a token, which is a text as the key of a JSON object."""
    digits = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10
    return int(integer(0, _MAX_TOKEN_ID)(int(str(value)) if digits else value))


def _is_unicode(value: str) -> bool:
    """Return whether a text can be encoded; JSON may have single halves of surrogate pairs."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
