"""Format and parse sizes in bytes."""

import re

from pydantic import ByteSize, TypeAdapter

from ved.errors import ErrorCode, RequestError
from ved.text import quoted

# Stricter than pydantic, which also accepts bits, and any text after the unit.
_SIZE = re.compile(r"(?ai)\s*(\d{1,18}|\d{1,18}(\.\d{1,15})?\s*([kmgtp]i?)?b)\s*")


def format_size(number: int) -> str:
    """Return a number of bytes in decimal units, such as ``1.2 GB``."""
    return ByteSize(number).human_readable(decimal=True, separator=" ")


def parse_size(text: str) -> int:
    """Return the number of bytes of a size such as ``10GB``, ``500 MB``, ``14 GiB`` or ``123``.

    Raises:
        RequestError: the text is not a size above zero.
    """
    if not _SIZE.fullmatch(text) or (size := TypeAdapter(ByteSize).validate_python(text)) < 1:
        raise RequestError(
            f"{quoted(text)} is not a size.",
            "Write a number above zero with a unit, such as 10GB, 500 MB or 14 GiB, or a whole"
            " number of bytes.",
            code=ErrorCode.WRONG_INPUT,
        )
    return size
