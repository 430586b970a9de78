"""Endpoints about collections."""

from starlette.responses import JSONResponse, Response

from ved.localhub import errors
from ved.localhub.call import Call
from ved.localhub.payloads import NewCollection, NewCollectionItem


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
    # The client numbers the collections of a list itself.
    return call.page(found, lambda item: {k: v for k, v in item.items() if k != "position"})


def add_item(call: Call) -> Response:
    """POST /api/collections/{slug}/items: 409 when the item is there."""
    slug = call.parameter("slug")
    if not call.user.may_write_to(call.hub.collections.get(slug)["owner"]):
        raise errors.forbidden(f"no right to change the collection {slug}")
    new = call.payload(NewCollectionItem)
    return JSONResponse(call.hub.collections.add_item(slug, new))
