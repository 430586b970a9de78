"""Collections on the Hub: published repos are put into those that their pairs name, in order.

A collection is found by its title, made where it is missing, and never emptied: nothing is removed
import logging
from it, and what else is in it keeps its order. Where all is as it should be, nothing is written.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from huggingface_hub import Collection, CollectionItem, HfApi

from ved.errors import ErrorCode, VedError
from ved.hub.access import HubAccess
from ved.hub.account import check_namespace
from ved.hub.errors import translated_errors
from ved.manifest.models import Pair

log = logging.getLogger("ved")

KEY = "collection"
"""The manifest's key."""


def check_collection(name: str, access: HubAccess, namespaces: frozenset[str] | None) -> None:
    """Make sure that a collection can be changed, as far as that is known beforehand.

    Args:
        name: owner/title.
        namespaces: those that may be published to, in lower case; None where nobody knows.

    Raises:
        VedError: it cannot.
    """
    if access.publisher is not None and not access.has_token:
        raise VedError(
            "A job's identity publishes to one repo, and cannot change a collection.",
            f"Give a token as well, or take {KEY} out.",
            code=ErrorCode.COLLECTION_NOT_CHANGED,
        )
    if namespaces is not None:
        check_namespace(name, namespaces)


def find_uncollected(pairs: Sequence[Pair], api: HfApi) -> set[str]:
    """Return those of some repos that are not in the collections that their pairs name.

    A collection that cannot be read has nothing missing: what is the matter with it is said when
    it is to be changed.
    """
    by_name: dict[str, list[Pair]] = {}
    for pair in pairs:
        if pair.collection:
            by_name.setdefault(pair.collection.lower(), []).append(pair)
    repos: set[str] = set()
    for wanted in by_name.values():
        name = wanted[0].collection or ""
        with suppress(VedError), translated_errors(f"read the collection {name}"):
            collection = _find(name, api)
            known = _known(collection) if collection else set()
            repos |= {pair.repo for pair in wanted if pair.repo.lower() not in known}
    return repos


def sync_collection(
    wanted: Sequence[str], pairs: Sequence[Pair], api: HfApi
) -> dict[str, VedError]:
    """Put repos into the one collection that they all name; return those that are not in it.

    Args:
        wanted: the repos.
        pairs: all of the manifest's that name it, in order.
    """
    name = pairs[0].collection
    assert name is not None
    try:
        with translated_errors(f"change the collection {name}", writing=True):
            collection = _find(name, api) or _create(name, pairs, api)
            known = _known(collection)
    except VedError as error:
        return dict.fromkeys(wanted, error)
    failed: dict[str, VedError] = {}
    for repo in wanted:
        if repo.lower() not in known:
            try:
                with translated_errors(f"add {repo} to the collection {name}", repo, writing=True):
                    collection = api.add_collection_item(
                        collection.slug, repo, "model", exists_ok=True
                    )
            except VedError as error:
                failed[repo] = error
    try:
        with translated_errors(f"put the collection {name} in order", writing=True):
            _put_in_order(collection, pairs, api)
    except VedError as error:
        log.warning("%s", error)
    return failed


def _put_in_order(collection: Collection, pairs: Sequence[Pair], api: HfApi) -> None:
    places = {pair.repo.lower(): place for place, pair in enumerate(pairs)}
    for item, position in _moves(collection.items, places):
        log.info("%s: Moving %s", collection.title, item.item_id)
        api.update_collection_item(collection.slug, item.item_object_id, position=position)


def _find(name: str, api: HfApi) -> Collection | None:
    """Return the collection that an owner has by a title, with all its items."""
    owner, _, title = name.partition("/")
    alike = [
        each for each in api.list_collections(owner=owner) if each.title.lower() == title.lower()
    ]
    if not alike:
        return None
    found = next((each for each in alike if each.title == title), alike[0])
    # A listing tells the first few items only.
    return api.get_collection(found.slug)


def _create(name: str, pairs: Sequence[Pair], api: HfApi) -> Collection:
    """Make a collection, private where all that is to be in it is said to be.

    Another job may be faster; then it is that job's.
    """
    owner, _, title = name.partition("/")
    private = all(pair.private for pair in pairs)
    log.info("%s: Making the collection", name)
    return api.create_collection(title, namespace=owner, private=private, exists_ok=True)


def _known(collection: Collection) -> set[str]:
    """Return the models in a collection, in lower case."""
    return {item.item_id.lower() for item in collection.items if item.item_type == "model"}


def _moves(
    items: Sequence[CollectionItem], places: Mapping[str, int]
) -> Iterator[tuple[CollectionItem, int]]:
    """Yield moves that put a collection's models into order, one after the other.

    Each is an item and the position to take, always before its own: the Hub does not document what
    a position behind it means. Items without a place keep their order among themselves.

    Args:
        places: the place in order of each repo, in lower case.
    """

    def place(item: CollectionItem) -> int | None:
        return places.get(item.item_id.lower()) if item.item_type == "model" else None

    now = list(items)
    placed = {at: item for item in items if (at := place(item)) is not None}
    start = 0
    for _, item in sorted(placed.items()):
        position = next(at for at in range(start, len(now)) if place(now[at]) is not None)
        if now[position] is not item:
            now.remove(item)
            now.insert(position, item)
            yield item, position
        start = position + 1
