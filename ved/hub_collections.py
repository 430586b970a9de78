"""Collections on the Hub: published repos are put into those that their pairs name, in order.

A collection is found by its title, made where it is missing, and never emptied: nothing is removed
from it, and what else is in it keeps its order. Where all is as it should be, nothing is written.
"""

import logging
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from huggingface_hub import Collection, CollectionItem, HfApi

from ved.access import Access
from ved.errors import VedError
from ved.findings import Finding, Findings
from ved.hub import check_namespace
from ved.hub_errors import explained
from ved.manifest import Pair
from ved.report import Action, Result

log = logging.getLogger("ved")

KEY = "collection"
"""The manifest's key."""

PUBLISHED: tuple[Action, ...] = ("built", "card-only", "skipped")
"""What became of pairs whose repos are on the Hub as they should be."""


def check(name: str, access: Access, namespaces: frozenset[str] | None) -> None:
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
            see="collection-not-changed",
        )
    if namespaces is not None:
        check_namespace(name, namespaces)


def keep(pairs: Sequence[Pair], results: Sequence[Result], api: HfApi) -> list[Result]:
    """Put what is published into its collections; return the results, with what failed at that.

    Args:
        pairs: all of the manifest, by which the items are put in order.
        results: what became of those of them that were asked for.
    """
    orders: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.collection:
            orders.setdefault(pair.collection.lower(), []).append(pair.repo)
    entries: dict[str, list[Result]] = {}
    for result in results:
        if result.pair.collection and result.action in PUBLISHED:
            entries.setdefault(result.pair.collection.lower(), []).append(result)
    failed: dict[str, Result] = {}
    for name, wanted in entries.items():
        findings = Findings()
        with findings.about(KEY):
            _keep_one(wanted, orders[name], api)
        for found in findings:
            failed |= {result.pair.repo: _failure(result, found) for result in wanted}
    return [failed.get(result.pair.repo, result) for result in results]


def _failure(result: Result, found: Finding) -> Result:
    published = f"Published as {result.commit}" if result.commit else "Published"
    reason = f"{published}, but not in its collection: {found.message}"
    log.error("%s: Failed: %s", result.pair.repo, reason)
    finding = Finding("error", KEY, reason, "collection-not-changed")
    return replace(result, action="failed", reason=reason, findings=(*result.findings, finding))


def _keep_one(wanted: Sequence[Result], order: Sequence[str], api: HfApi) -> None:
    """Put repos into the one collection that they all name.

    Raises:
        VedError: the Hub refuses, or does not answer.
    """
    name = wanted[0].pair.collection
    assert name is not None
    repos = [result.pair.repo for result in wanted]
    with explained(f"change the collection {name}", writing=True):
        collection = _find(name, api) or _make(name, repos, api)
        known = {item.item_id.lower() for item in _models(collection)}
        missing = [repo for repo in repos if repo.lower() not in known]
        for repo in missing:
            collection = api.add_collection_item(collection.slug, repo, "model", exists_ok=True)
        places = {repo.lower(): place for place, repo in enumerate(order)}
        moves = [*_moves(collection.items, places)]
        for item, position in moves:
            api.update_collection_item(collection.slug, item.item_object_id, position=position)
    if missing or moves:
        log.info("%s: %d added, %d moved.", name, len(missing), len(moves))


def _find(name: str, api: HfApi) -> Collection | None:
    """Return the collection that an owner has by a title, with all its items."""
    owner, _, title = name.partition("/")
    for collection in api.list_collections(owner=owner):
        if collection.title.lower() == title.lower():
            # A listing tells the first few items only.
            return api.get_collection(collection.slug)
    return None


def _make(name: str, repos: Sequence[str], api: HfApi) -> Collection:
    """Make a collection, private where nobody else could see anything in it.

    Another job may be faster; then it is that job's.
    """
    owner, _, title = name.partition("/")
    private = all(api.model_info(repo, expand=["private"]).private for repo in repos)
    log.info("%s: Making the collection", name)
    return api.create_collection(title, namespace=owner, private=private, exists_ok=True)


def _models(collection: Collection) -> list[CollectionItem]:
    return [item for item in collection.items if item.item_type == "model"]


def _moves(
    items: Sequence[CollectionItem], places: Mapping[str, int]
) -> Iterator[tuple[CollectionItem, int]]:
    """Yield the fewest moves that put a collection's models into order, one after the other.

    Each is an item and the position to take, where those that follow make way. Items without a
    place are not moved.

    Args:
        places: the place in order of each repo, in lower case.
    """

    def place(item: CollectionItem) -> int | None:
        return places.get(item.item_id.lower()) if item.item_type == "model" else None

    now = list(items)
    found = {at: item for item in items if (at := place(item)) is not None}
    staying = {found[at].item_object_id for at in _longest_rise([*found])}
    before: CollectionItem | None = None
    for _, item in sorted(found.items()):
        if item.item_object_id not in staying:
            now.remove(item)
            first = next(at for at, each in enumerate(now) if place(each) is not None)
            position = first if before is None else now.index(before) + 1
            now.insert(position, item)
            yield item, position
        before = item


def _longest_rise(numbers: Sequence[int]) -> list[int]:
    """Return the longest run of rising numbers that is left when others are struck out."""
    ends: list[int] = []  # the least number that a run of each length ends in
    runs: dict[int, int | None] = {}  # the number before each in its run
    for number in numbers:
        length = bisect_left(ends, number)
        runs[number] = ends[length - 1] if length else None
        ends[length : length + 1] = [number]
    rise: list[int] = []
    last = ends[-1] if ends else None
    while last is not None:
        rise.append(last)
        last = runs[last]
    return rise
