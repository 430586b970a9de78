"""Validate what huggingface_hub passes on unchecked from the answers of a Hub.

A server that is not a Hub, or a Hub with a bug, may answer anything. Code outside of this module
can rely on the types that these functions return.
"""

import re
from collections.abc import Iterable
from typing import Any, TypeGuard

from huggingface_hub import Collection, CollectionItem

from ved.errors import ErrorCode


class MalformedAnswerError(Exception):
    """An answer of a server does not have the form that the Hub documents."""


class RefusedAnswerError(Exception):
    """VED does not read an answer to its end, or does not go where it leads.

    Args:
        cause: what is wrong, as the rest of a sentence.
        remedy: what to do, as a sentence.
        code: the error code.
    """

    def __init__(self, cause: str, remedy: str, code: ErrorCode) -> None:
        super().__init__(cause, remedy, code)
        self.cause = cause
        self.remedy = remedy
        self.code = code


def too_slow() -> RefusedAnswerError:
    """Return the error of a server that takes too long to send or to receive."""
    return RefusedAnswerError(
        "the connection is too slow",
        "Check the endpoint and the network, and run again.",
        ErrorCode.HUB_DOES_NOT_ANSWER,
    )


def too_large(limit: int) -> RefusedAnswerError:
    """Return the error of an answer that is longer than it may be.

    Args:
        limit: bytes, after decompression.
    """
    return RefusedAnswerError(
        f"the answer is larger than {limit} bytes",
        "Check the endpoint. The Hub, or a proxy, sends more than it should.",
        ErrorCode.ANSWER_TOO_LARGE,
    )


def is_commit(value: object) -> TypeGuard[str]:
    """Return whether a value is a commit id: 40 hexadecimal digits."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{40}", value) is not None


def collection_titles(entries: Iterable[object]) -> list[tuple[str, str]]:
    """Return title and slug of each collection in a listing. Ignores malformed entries."""
    found = [(each.get("title"), each.get("slug")) for each in entries if isinstance(each, dict)]
    return [
        (title, slug) for title, slug in found if isinstance(title, str) if isinstance(slug, str)
    ]


def parse_collection(answer: Any) -> Collection:
    """Return the collection in an answer of ``GET /api/collections/{slug}``.

    A malformed item keeps its position, and has no type.

    Raises:
        MalformedAnswerError: the answer does not describe a collection.
    """
    try:
        items = [item if _is_item(item) else _NO_ITEM for item in answer["items"]]
        return Collection(**{**answer, "items": items, "position": 0})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedAnswerError("the answer does not describe a collection") from error


_NO_ITEM = {"_id": "", "id": "", "type": "", "position": 0}


def _is_item(item: object) -> bool:
    try:
        parsed = CollectionItem(**item)  # type: ignore[arg-type]
    except (AttributeError, KeyError, TypeError):
        return False
    values = (parsed.item_id, parsed.item_object_id, parsed.item_type)
    return all(isinstance(value, str) for value in values)


def commit_with(text: str, commits: Iterable[object]) -> str | None:
    """Return the id of the first commit whose description contains a text; None without one.

    Args:
        text: the text.
        commits: entries of ``GET /api/models/{repo}/commits/{revision}``. Malformed ones are
            ignored.
    """
    for each in commits:
        if isinstance(each, dict) and is_commit(each.get("id")):
            description = each.get("message")
            if isinstance(description, str) and text in description:
                return str(each["id"])
    return None
