"""Read JSON of untrusted origin, and refuse what readers of JSON disagree on."""

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any, NoReturn

from ved.limits import INTEGER_BITS, JSON_DEPTH

_INTEGER_DIGITS = len(str(2**INTEGER_BITS)) + 1  # and a sign


def loads(content: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: the text is not JSON, an object has a key twice, a number is not finite or has
            more than `INTEGER_BITS` bits, a string has half of a surrogate pair, or values are
            nested more than `JSON_DEPTH` deep.
    """
    if not content.strip():
        raise ValueError("it is empty")
    try:
        value = json.loads(
            content.decode(),  # other readers do not guess the encoding, either
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except RecursionError as error:
        raise ValueError(f"it is nested more than {JSON_DEPTH} deep") from error
    _check_depth(value)
    if b"\\ud" in content.lower():  # only an escape can write half of a surrogate pair
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("a string has half of a surrogate pair") from error
    return value


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has a key twice")
    return members


def _integer(digits: str) -> int:
    # Converting thousands of digits takes time, and more of them raise an error anyway.
    if len(digits) > _INTEGER_DIGITS or (value := int(digits)).bit_length() > INTEGER_BITS:
        raise ValueError(f"a number has more than {INTEGER_BITS} bits")
    return value


def _float(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError("a number is not finite")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(JSON_DEPTH + 1):
        level = [
            member
            for each in level
            if isinstance(each, dict | list)
            for member in (each.values() if isinstance(each, dict) else each)
            if isinstance(member, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {JSON_DEPTH} deep")
