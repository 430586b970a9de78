"""Change collections of the Hub: add published repos, and sort them as the manifest does.

A missing collection is created. Nothing is ever removed, and items that no pair names keep their
order. A collection that is in sync is not written to. Several jobs may change one collection at the
same time, so each change starts from the state that the Hub reports then.
"""

import logging
from collections.abc import Sequence

from huggingface_hub import Collection, HfApi

from ved.errors import ErrorCode, VedError
from ved.hub.errors import translated_errors
from ved.hub.rate_limits import is_long_limit
from ved.manifest.pair_models import Pair
from ved.publishing.collections import (
    find_collection,
    model_ids,
    next_move,
    places_in_order,
    read_collection,
)

log = logging.getLogger("ved")

MOVES_PER_ITEM = 3
"""How many moves to make for each pair, at most. Sorting takes less than one for each. Another job
that sorts or adds at the same time can make more necessary."""


def sync_collection(repos: Sequence[str], pairs: Sequence[Pair], api: HfApi) -> dict[str, VedError]:
    """Add repos to the collection that they all name, and sort it.

    A collection that cannot be sorted is a warning in the log only.

    Args:
        repos: the repos to add.
        pairs: all pairs of the manifest that name the collection, in order.
        api: the client.

    Returns:
        the errors, by repo, of the repos that could not be added.
    """
    name = pairs[0].collection
    assert name is not None
    try:
        with translated_errors(f"change the collection {name}", writing=True):
            collection = find_collection(name, api) or _create_collection(name, pairs, api)
    except VedError as error:
        return dict.fromkeys(repos, error)
    present = model_ids(collection)
    missing = [repo for repo in repos if repo.lower() not in present]
    failed: dict[str, VedError] = {}
    for repo in missing:
        try:
            with translated_errors(f"add {repo} to the collection {name}", repo, writing=True):
                api.add_collection_item(collection.slug, repo, "model", exists_ok=True)
        except VedError as error:
            failed[repo] = error
            if is_long_limit(error):  # the Hub would refuse all others, too
                return failed | dict.fromkeys(missing[missing.index(repo) :], error)
    try:
        with translated_errors(f"sort the collection {name}", writing=True):
            if missing:
                collection = read_collection(collection.slug, api)
            _sort(collection, pairs, api)
    except VedError as error:
        log.warning("%s", error)
    return failed


def _sort(collection: Collection, pairs: Sequence[Pair], api: HfApi) -> None:
    """Move items one by one until the models of the pairs are in order.

    Reads the collection after each move, so the last job to write also sees the final order.

    Raises:
        VedError: the order is still wrong after many moves.
    """
    places = places_in_order(pairs)
    for _ in range(MOVES_PER_ITEM * len(pairs)):
        move = next_move(collection.items, places)
        if move is None:
            return
        item, position = move
        log.info("%s: Moving %s", collection.title, item.item_id)
        api.update_collection_item(collection.slug, item.item_object_id, position=position)
        collection = read_collection(collection.slug, api)
    if next_move(collection.items, places) is not None:
        raise VedError(
            f"The collection {pairs[0].collection} is still out of order after many moves.",
            "Another job seems to change it at the same time. Run again.",
            code=ErrorCode.COLLECTION_NOT_CHANGED,
        )


def _create_collection(name: str, pairs: Sequence[Pair], api: HfApi) -> Collection:
    """Create a collection, private if all its pairs are, and return it.

    Returns the existing collection if another job has created it meanwhile.
    """
    owner, _, title = name.partition("/")
    private = all(pair.private for pair in pairs)
    log.info("%s: Creating the collection", name)
    created = api.create_collection(title, namespace=owner, private=private, exists_ok=True)
    # Another job may have created one of this title at the same time.
    oldest = find_collection(name, api) or read_collection(created.slug, api)
    if oldest.slug != created.slug:
        log.warning("%s: Two jobs created it. Delete the empty one: %s", name, created.slug)
    return oldest
