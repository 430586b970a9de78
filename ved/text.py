"""Format values for messages."""


def quoted(text: str) -> str:
    """Return text for a message: on one line, shortened, nothing unprintable left raw."""
    return repr(text if len(text) <= 80 else f"{text[:79]}…")


_LISTED_ITEMS = 8


def join_limited(items: list[str], separator: str = ", ") -> str:
    """Return the first few items in words, and how many more there are."""
    rest = len(items) - _LISTED_ITEMS
    return separator.join(items[:_LISTED_ITEMS]) + (f" and {rest} more" if rest > 0 else "")
