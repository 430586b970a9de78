"""Format values for messages, and clean text from outside before anybody sees it."""

import textwrap
import unicodedata
from collections.abc import Sequence

from ved.redaction import KNOWN

MAX_QUOTED = 80
"""The most characters of a text that a message quotes."""

MAX_MESSAGE = 4_000
"""The most characters of a message about a pair or a run."""

_MAX_JOINED = 8
_MAX_REASON = 500


def clean(text: str, limit: int = MAX_MESSAGE, keep: str = "") -> str:
    """Return a text from outside that is safe to display: no secret, not too long, all visible.

    White space becomes spaces. Other characters that are not printable are written as escapes:
    control characters, bidirectional overrides, zero-width characters and lone surrogates.

    Args:
        text: the text.
        limit: the most characters. A longer text is truncated, with a note of its length.
        keep: characters that stay as they are, such as a newline.
    """
    text = KNOWN.redact(text)  # first: an escape or the end of the text could hide a secret
    visible = text[:limit]
    if not visible.isprintable():
        visible = "".join(_visible(char, keep) for char in visible)
    return _truncated(visible, limit, len(text))


def shorten(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters; a longer one ends with a note of its length."""
    return _truncated(text, limit, len(text))


def wrap_words(text: str, width: int, indent: int = 0) -> list[str]:
    """Return a text as lines that end between words only: addresses and paths can be copied.

    Args:
        text: the text.
        width: the most characters of a line. A longer word has a line of its own.
        indent: how many spaces begin each line but the first.
    """
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _truncated(text: str, limit: int, length: int) -> str:
    """Return a text of at most `limit` characters, with a note if it was longer.

    Args:
        text: the text, of which the end may be missing already.
        limit: the most characters.
        length: the characters of the whole text, for the note.
    """
    if max(length, len(text)) <= limit:
        return text
    note = f"… ({length:,} characters)"
    return text[: max(limit - len(note), 0)] + note


def _visible(char: str, keep: str) -> str:
    if char.isprintable() or char in keep:
        return char
    if char in "\t\n\r" or unicodedata.category(char) == "Zs":
        return " "
    return printable(char)


def quoted(text: str) -> str:
    """Return a text in quotation marks, on one line.

    A text of more than `MAX_QUOTED` characters is truncated. Characters that are not printable are
    written as escapes.
    """
    text = KNOWN.redact(text)
    return repr(text if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 1]}…")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text without its period, for a place in a sentence.

    The text is of a library, and may quote a file: characters that are not printable are removed,
    and it is truncated.
    """
    line = KNOWN.redact(str(error)).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    printable = "".join(each for each in line if each.isprintable())
    return printable if len(printable) <= _MAX_REASON else f"{printable[:_MAX_REASON]}…"


def join_limited(items: Sequence[str], separator: str = ", ") -> str:
    """Join the first eight items, and add the number of the others: `a, b and 3 more`."""
    rest = len(items) - _MAX_JOINED
    return separator.join(items[:_MAX_JOINED]) + (f" and {rest} more" if rest > 0 else "")


def printable(text: str) -> str:
    """Return a text with escapes for all characters that could control a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def quoted_value(value: object) -> str:
    """Return a value of JSON on one line, truncated after `MAX_QUOTED` characters."""
    if isinstance(value, str):
        return quoted(value)
    text = KNOWN.redact(repr(value))
    return text if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 1]}…"
