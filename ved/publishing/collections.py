"""Read collections of the Hub: which pairs are missing in theirs, and which items to move.

A pair names a collection by its owner and title. `ved.publishing.collection_sync` changes them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from urllib.parse import quote

from huggingface_hub import Collection, CollectionItem, HfApi

from ved.errors import ErrorCode, VedError
from ved.hub import pages
from ved.hub.access import HubAccess
from ved.hub.account import check_rights
from ved.hub.answers import collection_titles, parse_collection
from ved.hub.errors import translated_errors
from ved.hub.rights import COLLECTION_WRITE, Rights
from ved.manifest.pair_models import Pair

KEY = "collection"
"""The key of the manifest."""

_ID_LENGTH = 24
"""The hexadecimal digits at the end of a collection's slug, of which the first eight are a time."""


def check_collection(name: str, access: HubAccess, rights: Rights | None) -> None:
    """Check that this run may change a collection, as far as that is known beforehand.

    Args:
        name: owner/title.
        access: the clients of the run.
        rights: the rights of the token; None if they are unknown.

    Raises:
        VedError: the run may not change the collection.
    """
    if access.publisher is not None and not access.has_token:
        raise VedError(
            "A job's identity can publish to a repo, but cannot change a collection.",
            f"Set the input token as well, or remove {KEY} from the pair.",
            code=ErrorCode.COLLECTION_NOT_CHANGED,
        )
    if rights is not None:
        check_rights(name, rights, COLLECTION_WRITE)


def find_uncollected(pairs: Sequence[Pair], api: HfApi) -> set[str]:
    """Return the repos that are missing in their collections, or out of order there.

    Ignores a collection that cannot be read: its error is reported when the run changes it.

    Args:
        pairs: pairs whose repos are published, in the order of the manifest.
        api: the client.
    """
    repos: set[str] = set()
    for name, its_pairs in pairs_by_collection(pairs).items():
        with suppress(VedError), translated_errors(f"read the collection {name}"):
            repos |= _find_uncollected(its_pairs, find_collection(name, api))
    return repos


def _find_uncollected(pairs: Sequence[Pair], collection: Collection | None) -> set[str]:
    if collection is None:
        return {pair.repo for pair in pairs}
    present = model_ids(collection)
    missing = {pair.repo for pair in pairs if pair.repo.lower() not in present}
    # One pair whose job sorts the collection is enough.
    move = next_move(collection.items, places_in_order(pairs))
    to_move = {pair.repo for pair in pairs if move and pair.repo.lower() == move[0].item_id.lower()}
    return missing | to_move


def pairs_by_collection(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """Return the pairs of each collection in their order, by the collection's first spelling.

    Pairs whose collections differ in upper and lower case only name the same collection.
    """
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        if pair.collection:
            groups.setdefault(pair.collection.lower(), []).append(pair)
    return {group[0].collection or "": group for group in groups.values()}


def find_collection(name: str, api: HfApi) -> Collection | None:
    """Return a collection with all its items; None if its owner has none of that title.

    Prefers a title that is spelled exactly so over one that differs in upper and lower case. If an
    owner has two collections of one title, all jobs choose the oldest one.

    Args:
        name: owner/title.
        api: the client.

    Raises:
        HfHubHTTPError: the Hub refuses.
        MalformedAnswerError: the answer does not have the form of a Hub's answers.
    """
    owner, _, title = name.partition("/")
    url = f"{api.endpoint}/api/collections"
    found = collection_titles(pages.fetch_pages(url, {"owner": owner}, api))
    # The first part of a slug is the owner, and its end has an id that begins with a time.
    alike = [
        (its != title, slug[-_ID_LENGTH:], slug)
        for its, slug in found
        if its.lower() == title.lower() and slug.partition("/")[0].lower() == owner.lower()
    ]
    alike.sort()
    # A listing has only the first few items of each collection.
    return read_collection(alike[0][-1], api) if alike else None


def read_collection(slug: str, api: HfApi) -> Collection:
    """Return a collection with all its items, in order.

    Raises:
        HfHubHTTPError: the Hub refuses.
        MalformedAnswerError: the answer does not have the form of a Hub's answers.
    """
    url = f"{api.endpoint}/api/collections/{quote(slug)}"
    return parse_collection(pages.fetch_json(url, {}, api))


def model_ids(collection: Collection) -> set[str]:
    """Return the ids of the models in a collection, in lower case."""
    return {item.item_id.lower() for item in collection.items if item.item_type == "model"}


def places_in_order(pairs: Sequence[Pair]) -> dict[str, int]:
    """Return the place of each pair in the order of the manifest, by its repo in lower case."""
    return {pair.repo.lower(): place for place, pair in enumerate(pairs)}


def next_move(
    items: Sequence[CollectionItem], places: Mapping[str, int]
) -> tuple[CollectionItem, int] | None:
    """Return the next move that sorts a collection; None if its models are in order.

    A move is an item and its new position, which is always before the old one: the Hub does not
    document what a position behind it means. Items without a place keep their order.

    Args:
        items: the items of the collection, in order.
        places: the place in order of each repo, by its id in lower case.
    """
    placed = list(_placed(items, places))
    for (_, _, place), (_, item, following) in pairwise(placed):
        if following < place:
            # The first of the items before it that belongs behind it.
            return item, next(position for position, _, other in placed if other > following)
    return None


def _placed(
    items: Sequence[CollectionItem], places: Mapping[str, int]
) -> Iterator[tuple[int, CollectionItem, int]]:
    """Yield the position, the item and the place of each item that has a place."""
    for position, item in enumerate(items):
        place = places.get(item.item_id.lower()) if item.item_type == "model" else None
        if place is not None:
            yield position, item, place
