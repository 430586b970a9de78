"""Validate what huggingface_hub passes on unchecked from the answers of a Hub.

A server that is not a Hub, or a Hub with a bug, may answer anything. Code outside of this module
can rely on the types that these functions return.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

from huggingface_hub import Collection, GitCommitInfo, ModelCardData
from huggingface_hub.hf_api import ModelInfo, RepoSibling


class MalformedAnswerError(Exception):
    """An answer of a server does not have the form that the Hub documents."""


@dataclass(frozen=True)
class Account:
    """The account of a token.

    Attributes:
        name: the name of the user.
        writable_organizations: the organizations that the user can publish to.
        role: the role of the token, such as "read" or "write".
    """

    name: str
    writable_organizations: tuple[str, ...]
    role: str | None


def is_commit(value: object) -> TypeGuard[str]:
    """Return whether a value is a commit id: 40 hexadecimal digits."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{40}", value) is not None


def repo_id(info: ModelInfo) -> str:
    """Return the id of a repo.

    Raises:
        MalformedAnswerError: the id is not text.
    """
    if not isinstance(info.id, str):
        raise MalformedAnswerError(f"{info.id!r} is not the id of a repo")
    return info.id


def repo_files(info: ModelInfo) -> list[RepoSibling]:
    """Return the files of a repo.

    Raises:
        MalformedAnswerError: a name is not text, or a size is not a number.
    """
    found = info.siblings or []
    for each in found:
        if not isinstance(each.rfilename, str) or not isinstance(each.size or 0, int):
            raise MalformedAnswerError(f"{each!r} is not a file")
    return found


def card_data(info: ModelInfo) -> ModelCardData | None:
    """Return the metadata of a repo's card; None without a card.

    Raises:
        MalformedAnswerError: the metadata is not an object.
    """
    if info.card_data is not None and not isinstance(info.card_data, ModelCardData):
        raise MalformedAnswerError(f"{info.card_data!r} is not the metadata of a card")
    return info.card_data


def parse_account(answer: Any) -> Account:
    """Return the account in an answer of ``GET /api/whoami-v2``.

    Raises:
        MalformedAnswerError: the answer does not describe an account.
    """
    try:
        role = answer["auth"]["accessToken"].get("role")
        writable = [each["name"] for each in answer["orgs"] if each.get("roleInOrg") != "read"]
        names = [answer["name"], *writable]
    except (AttributeError, KeyError, TypeError) as error:
        raise MalformedAnswerError("the answer does not describe an account") from error
    if not all(isinstance(each, str) for each in names):
        raise MalformedAnswerError(f"{names!r} are not the names of accounts")
    return Account(names[0], tuple(names[1:]), role)


def collection_titles(collections: Iterable[Collection]) -> list[tuple[str, Collection]]:
    """Return collections with their titles.

    Raises:
        MalformedAnswerError: a title is not text.
    """
    found = [(each.title, each) for each in collections]
    for title, _ in found:
        if not isinstance(title, str):
            raise MalformedAnswerError(f"{title!r} is not the title of a collection")
    return found


def check_collection_items(collection: Collection) -> Collection:
    """Return the collection.

    Raises:
        MalformedAnswerError: the id of an item is not text.
    """
    for item in collection.items:
        if not isinstance(item.item_id, str):
            raise MalformedAnswerError(f"{item!r} is not an item of a collection")
    return collection


def commit_with(text: str, commits: Iterable[GitCommitInfo]) -> str | None:
    """Return the id of the first commit whose description contains a text; None without one.

    Raises:
        MalformedAnswerError: a description is not text.
    """
    for each in commits:
        if not isinstance(each.message, str):
            raise MalformedAnswerError(f"{each!r} is not a commit")
        if text in each.message:
            return each.commit_id
    return None
