"""The routes of the Hub's HTTP API, as huggingface_hub 0.36.2 and 2.x use them."""

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ved.localhub.call import Hub, endpoint
from ved.localhub.endpoints import (
    collections,
    contents,
    keyless,
    lfs,
    references,
    repositories,
)
from ved.localhub.errors import HubError, error_response
from ved.localhub.limits import RateLimiter
from ved.localhub.xet import routes as xet


class _Kind(StringConvertor):
    regex = "models|datasets|spaces"


class _RepositoryId(StringConvertor):
    """A repo id with or without a namespace. Endpoints answer 404 to an id without one."""

    regex = "[^/]+(?:/[^/]+)?"


register_url_convertor("kind", _Kind())
register_url_convertor("id", _RepositoryId())

_REPO = "/api/{kind:kind}/{repository:id}"
_OBJECT = "/lfs/{kind:kind}/{repository:id}/{oid}"

_API = [
    ("GET", "/actions/{run}/idtoken", keyless.id_token),
    ("POST", "/oauth/token", keyless.exchange),
    ("GET", "/api/whoami-v2", repositories.whoami),
    ("POST", "/api/validate-yaml", repositories.validate_yaml),
    ("POST", "/api/repos/create", repositories.create),
    ("DELETE", "/api/repos/delete", repositories.delete),
    ("POST", "/api/repos/move", repositories.move),
    ("GET", "/api/collections", collections.list_all),
    ("POST", "/api/collections", collections.create),
    ("GET", "/api/collections/{slug:path}", collections.read),
    ("POST", "/api/collections/{slug:path}/items", collections.add_item),
    ("PATCH", "/api/collections/{slug:path}/items/{item}", collections.change_item),
    ("GET", "/api/{kind:kind}", repositories.list_all),
    ("GET", _REPO, repositories.info),
    ("GET", _REPO + "/revision/{revision}", repositories.info),
    ("PUT", _REPO + "/settings", repositories.change_settings),
    ("GET", _REPO + "/auth-check", contents.auth_check),
    ("POST", _REPO + "/preupload/{revision}", contents.preupload),
    ("POST", _REPO + "/commit/{revision}", contents.commit),
    ("GET", _REPO + "/tree/{revision}", contents.tree),
    ("GET", _REPO + "/tree/{revision}/{path:path}", contents.tree),
    ("POST", _REPO + "/paths-info/{revision}", contents.paths_info),
    ("GET", _REPO + "/refs", references.list_references),
    ("POST", _REPO + "/branch/{name}", references.create_branch),
    ("DELETE", _REPO + "/branch/{name}", references.delete_branch),
    ("POST", _REPO + "/tag/{revision}", references.create_tag),
    ("DELETE", _REPO + "/tag/{name}", references.delete_tag),
    ("GET", _REPO + "/commits/{revision}", references.list_commits),
    (
        "GET",
        "/api/resolve-cache/{kind:kind}/{repository:id}/{revision}/{path:path}",
        contents.resolve_cache,
    ),
]

# These paths begin with the kind, except for models.
_FILES = [
    ("GET", "/{repository:id}/resolve/{revision}/{path:path}", contents.resolve),
    ("POST", "/{repository:id}.git/info/lfs/objects/batch", lfs.batch),
    ("POST", "/{repository:id}.git/info/lfs/objects/verify", lfs.verify),
]

_OBJECTS = [
    Route(_OBJECT, endpoint(lfs.download), methods=["GET"]),
    Route(_OBJECT + "/{size:int}", lfs.upload, methods=["PUT"]),
    Route(_OBJECT + "/{size:int}/{upload}", endpoint(lfs.complete), methods=["POST"]),
    Route(_OBJECT + "/{size:int}/{upload}/{part:int}", lfs.upload_part, methods=["PUT"]),
]


def create_app(hub: Hub) -> ASGIApp:
    """Return the ASGI application of a hub."""
    of_kinds = [(method, "/{kind:kind}" + path, handler) for method, path, handler in _FILES]
    routes = [
        Route(path, endpoint(handler), methods=[method])
        for method, path, handler in [*_API, *_FILES, *of_kinds]
    ]
    handlers = {HubError: error_response, ClientDisconnect: _client_closed_request}
    xet_routes = xet.routes() if hub.xet else []
    app = Starlette(routes=[*routes, *_OBJECTS, *xet_routes], exception_handlers=handlers)
    app.add_middleware(RateLimiter)
    app.router.redirect_slashes = False
    app.state.hub = hub
    return _RawPath(app)


class _RawPath:
    """ASGI middleware that routes by the quoted path: `refs%2Fpr%2F1` is one segment of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "path": scope["raw_path"].decode("ascii")}, receive, send)


def _client_closed_request(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # only for the log of requests
