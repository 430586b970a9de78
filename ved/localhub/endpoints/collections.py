"""Endpoints for collections."""

from typing import Any

from starlette.responses import JSONResponse, Response

from ved.localhub import errors
from ved.localhub.call import Call
from ved.localhub.payloads import (
    CollectionItem,
    CollectionItemChange,
    NewCollection,
    NewCollectionItem,
)

_LISTED_ITEMS = 4
"""Maximum number of items of each collection in a listing, as on the real Hub."""


def create(call: Call) -> Response:
    """POST /api/collections: 409 if the owner has a collection with this title."""
    new = call.payload(NewCollection)
    if not call.user.may_change_collections(new.namespace):
        raise errors.forbidden(f"no right to create a collection in {new.namespace}")
    unique = call.hub.behavior.unique_collection_titles
    return JSONResponse(_rendered(call.hub.collections.create(new, unique=unique)))


def read(call: Call) -> Response:
    """GET /api/collections/{slug}."""
    found = call.hub.collections.get(call.parameter("slug"))
    if found["private"] and not call.sees_private_of(found["owner"]):
        raise errors.HubError(404, "Collection not found")
    return JSONResponse(_rendered(found))


def list_all(call: Call) -> Response:
    """GET /api/collections?owner=."""
    owners = call.request.query_params.getlist("owner")
    found = [
        known
        for known in call.hub.collections.all()
        if (not owners or known["owner"] in owners)
        and (not known["private"] or call.sees_private_of(known["owner"]))
    ]
    return call.page(found, _summary)


def add_item(call: Call) -> Response:
    """POST /api/collections/{slug}/items: 409 if it has the item, 404 if the repo is missing."""
    slug = _writable(call)
    new = call.payload(NewCollectionItem)
    _require_item(call, new.item)
    return JSONResponse(_rendered(call.hub.collections.add_item(slug, new)))


def change_item(call: Call) -> Response:
    """PATCH /api/collections/{slug}/items/{id}: change its position or its note."""
    slug = _writable(call)
    change = call.payload(CollectionItemChange)
    changed = call.hub.collections.change_item(slug, call.parameter("item"), change)
    return JSONResponse({"success": True, "data": changed})


def _summary(collection: dict[str, Any]) -> dict[str, Any]:
    # The client computes the positions of listed collections itself.
    listed = {key: value for key, value in collection.items() if key != "position"}
    return _rendered({**listed, "items": collection["items"][:_LISTED_ITEMS]})


def _rendered(collection: dict[str, Any]) -> dict[str, Any]:
    owner = collection["owner"]
    return {**collection, "owner": {"_id": owner, "name": owner, "fullname": owner}}


def _writable(call: Call) -> str:
    """Return the slug in the path, if the caller may change that collection."""
    slug = call.parameter("slug")
    if not call.user.may_change_collections(call.hub.collections.get(slug)["owner"]):
        raise errors.forbidden(f"no right to change the collection {slug}")
    return slug


def _require_item(call: Call, item: CollectionItem) -> None:
    """Refuse a repo that does not exist for the caller."""
    if item.type in ("model", "dataset", "space"):
        call.visible(call.hub.storage.find(f"{item.type}s", item.id))
