"""Endpoints about collections."""

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
"""How many items of each collection a listing tells."""


def create(call: Call) -> Response:
    """POST /api/collections: 409 when the owner has one of that title."""
    new = call.payload(NewCollection)
    if not call.user.may_write_to(new.namespace):
        raise errors.forbidden(f"no right to create a collection in {new.namespace}")
    return JSONResponse(call.hub.collections.create(new))


def read(call: Call) -> Response:
    """GET /api/collections/{slug}."""
    found = call.hub.collections.get(call.parameter("slug"))
    if found["private"] and not call.sees_private_of(found["owner"]):
        raise errors.HubError(404, "Collection not found")
    return JSONResponse(found)


def list_all(call: Call) -> Response:
    """GET /api/collections?owner=."""
    owners = call.request.query_params.getlist("owner")
    found = [
        known
        for known in call.hub.collections.all()
        if (not owners or known["owner"] in owners)
        and (not known["private"] or call.sees_private_of(known["owner"]))
    ]
    return call.page(found, _listed)


def add_item(call: Call) -> Response:
    """POST /api/collections/{slug}/items: 409 when the item is there, 404 when it is nowhere."""
    slug = _writable(call)
    new = call.payload(NewCollectionItem)
    _require_item(call, new.item)
    return JSONResponse(call.hub.collections.add_item(slug, new))


def change_item(call: Call) -> Response:
    """PATCH /api/collections/{slug}/items/{id}: its position or its note."""
    slug = _writable(call)
    change = call.payload(CollectionItemChange)
    changed = call.hub.collections.change_item(slug, call.parameter("item"), change)
    return JSONResponse({"success": True, "data": changed})


def _listed(collection: dict[str, Any]) -> dict[str, Any]:
    # The client numbers the collections of a list itself.
    told = {key: value for key, value in collection.items() if key != "position"}
    return {**told, "items": collection["items"][:_LISTED_ITEMS]}


def _writable(call: Call) -> str:
    """Return the slug of the path's collection, which the caller has to have the right to."""
    slug = call.parameter("slug")
    if not call.user.may_write_to(call.hub.collections.get(slug)["owner"]):
        raise errors.forbidden(f"no right to change the collection {slug}")
    return slug


def _require_item(call: Call, item: CollectionItem) -> None:
    """Refuse a repo that is not there, or that the caller may not know of."""
    if item.type in ("model", "dataset", "space"):
        call.visible(call.hub.storage.find(f"{item.type}s", item.id))
