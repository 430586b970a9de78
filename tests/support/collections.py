"""Repos and collections for tests: both are called by short names, in order."""

from huggingface_hub import Collection

from tests.support.publishing import client, manifest, pair
from ved.localhub import LocalHub
from ved.manifest.pair_models import Pair

TITLE = "Warm starts"
PUBLIC, PRIVATE = "abcd", ("secret", "internal")


def create_repos(hub: LocalHub) -> None:
    """Create the repos `owner/a` to `owner/d`, and two private ones; clear the log."""
    api = client(hub)
    for name in (*PUBLIC, *PRIVATE):
        api.create_repo(f"owner/{name}", private=name in PRIVATE)
    hub.requests.clear()


def create_collection(hub: LocalHub, names: str, title: str = TITLE) -> str:
    """Create a collection with repos of `owner`, clear the log, and return its slug."""
    api = client(hub)
    slug = api.create_collection(title, namespace="owner").slug
    for name in names.split():
        api.add_collection_item(slug, f"owner/{name}", "model")
    hub.requests.clear()
    return slug


def collected_pairs(names: str, title: str = TITLE) -> tuple[Pair, ...]:
    """Return pairs whose repos belong into one collection, in order."""
    return manifest(*(pair(f"owner/{name}", collection=title) for name in names.split())).pairs


def read_collection(hub: LocalHub, title: str = TITLE) -> Collection:
    """Return the collection of `owner` that has a title."""
    api = client(hub)
    (found,) = (each for each in api.list_collections(owner="owner") if each.title == title)
    return api.get_collection(found.slug)


def names_in(collection: Collection) -> str:
    """Return the items of a collection in order, each without its owner."""
    return " ".join(item.item_id.rpartition("/")[2] for item in collection.items)
