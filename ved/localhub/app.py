"""The routes of the Hub's HTTP API, as huggingface_hub 0.36.2 and 2.x ask for them."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ved.localhub.call import Call, Hub, endpoint
from ved.localhub.endpoints import contents, lfs, references, repositories
from ved.localhub.errors import HubError, error_response


class _Kind(StringConvertor):
    regex = "models|datasets|spaces"


class _RepositoryId(StringConvertor):
    """An id with its namespace, or without one, so that such a request is told not found."""

    regex = "[^/]+(?:/[^/]+)?"

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("kind", _Kind())
register_url_convertor("repository", _RepositoryId())


def create_app(hub: Hub) -> ASGIApp:
    """Return the application that serves a hub."""
    handlers = {HubError: error_response, ClientDisconnect: _nobody_is_there}
    app = Starlette(routes=_routes(), exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.hub = hub
    return _RawPath(app)


class _RawPath:
    """ASGI middleware that routes by the path as sent: `refs%2Fpr%2F1` is one part of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "path": scope["raw_path"].decode("ascii")}, receive, send)


def _routes() -> list[Route]:
    r, c, f = repositories, references, contents
    repo = "/api/{kind:kind}/{repository:repository}"
    routes = [
        _route("GET", "/api/whoami-v2", r.whoami),
        _route("POST", "/api/validate-yaml", r.validate_yaml),
        _route("POST", "/api/repos/create", r.create),
        _route("DELETE", "/api/repos/delete", r.delete),
        _route("GET", "/api/{kind:kind}", r.list_repositories),
        _route("PUT", repo + "/settings", r.change_settings),
        _route("GET", repo + "/auth-check", f.auth_check),
        _route("POST", repo + "/preupload/{revision}", f.preupload),
        _route("POST", repo + "/commit/{revision}", f.commit),
        _route("GET", repo + "/tree/{revision}", f.tree),
        _route("GET", repo + "/tree/{revision}/{path:path}", f.tree),
        _route("POST", repo + "/paths-info/{revision}", f.paths_info),
        _route("GET", repo + "/refs", c.references),
        _route("POST", repo + "/branch/{name}", c.create_branch),
        _route("DELETE", repo + "/branch/{name}", c.delete_branch),
        _route("POST", repo + "/tag/{revision}", c.create_tag),
        _route("DELETE", repo + "/tag/{name}", c.delete_tag),
        _route("GET", repo + "/commits/{revision}", c.commits),
        _route("GET", repo + "/discussions", c.list_discussions),
        _route("POST", repo + "/discussions", c.create_discussion),
        _route("GET", repo + "/discussions/{number}", c.discussion),
        _route("GET", repo + "/revision/{revision}", r.info),
        _route("GET", repo, r.info),
        _route("GET", "/api/collections", r.list_collections),
        _route("POST", "/api/collections", r.create_collection),
        _route("GET", "/api/collections/{slug:path}", r.collection),
        _route("POST", "/api/collections/{slug:path}/items", r.add_collection_item),
    ]
    for prefix in ("", "/{kind:kind}"):
        routes += [
            _route(
                "GET", prefix + "/{repository:repository}/resolve/{revision}/{path:path}", f.resolve
            ),
            _route(
                "POST", prefix + "/{repository:repository}.git/info/lfs/objects/batch", lfs.batch
            ),
            _route(
                "POST", prefix + "/{repository:repository}.git/info/lfs/objects/verify", lfs.verify
            ),
        ]
    stored = "/lfs/{kind:kind}/{repository:repository}/{oid}"
    return [
        *routes,
        _route("GET", stored, lfs.download),
        Route(stored + "/{size:int}", lfs.upload, methods=["PUT"]),
        Route(stored + "/{size:int}/{upload}/{part:int}", lfs.upload_part, methods=["PUT"]),
        _route("POST", stored + "/{size:int}/{upload}", lfs.complete),
    ]


def _route(method: str, path: str, handler: Callable[[Call], Response]) -> Route:
    return Route(path, endpoint(handler), methods=[method])


def _nobody_is_there(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # goes into the log; the client has left
