"""One request, as the endpoints see it: its body, its sender's rights, and its repo."""

import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any, TypeVar
from urllib.parse import quote, unquote

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ved.localhub import errors, restrictions
from ved.localhub.accounts import Accounts
from ved.localhub.behavior import Behavior
from ved.localhub.collections import Collections
from ved.localhub.identities import Identity
from ved.localhub.issuer import Issuer
from ved.localhub.limits import Counters
from ved.localhub.payloads import Payload
from ved.localhub.publishers import AccessTokens, Publishers
from ved.localhub.storage import Repository, Storage
from ved.localhub.xet.state import Xet

Model = TypeVar("Model", bound=Payload)


@dataclass(frozen=True)
class Hub:
    """The state that all endpoints share.

    Attributes:
        storage: all repos.
        accounts: all users, organizations and tokens.
        collections: all collections.
        issuer: signs id tokens of CI jobs.
        publishers: the trusted publishers.
        access_tokens: the access tokens of CI jobs.
        behavior: how the hub answers where Hubs differ.
        counters: what each account did, for limits.
        address_lifetime: of the URLs of data, in seconds.
        multipart_threshold: in bytes; larger LFS objects are uploaded in parts of this size.
        page_size: maximum number of items on one page of a listing.
        xet: the storage of Xet, or None if the hub has LFS only.
        endpoint: the URL of the hub. This and the next three are empty until the hub starts.
        cdn: the URL of data: LFS objects, and the xorbs of Xet. Its origin differs from the
            endpoint's, as on the real Hub, because clients take a redirect within one origin for
            a renamed repo.
        cas: the origin of the CAS of Xet, the third one.
        secret: signs the URLs of data.
    """

    storage: Storage
    accounts: Accounts
    collections: Collections
    issuer: Issuer
    publishers: Publishers
    access_tokens: AccessTokens
    behavior: Behavior
    address_lifetime: float
    multipart_threshold: int
    page_size: int
    xet: Xet | None
    endpoint: str = ""
    cdn: str = ""
    cas: str = ""
    secret: bytes = b""
    counters: Counters = field(default_factory=Counters)


class Call:
    """One request. Its members raise HubError if the request is wrong or not allowed.

    Leaving its `with` block closes the repos that the request opened.

    Attributes:
        hub: the hub.
        request: the request of Starlette.
        body: the complete body, in a temporary file.
    """

    def __init__(self, hub: Hub, request: Request, body: IO[bytes]) -> None:
        self.hub = hub
        self.request = request
        self.body = body
        self._on_exit = ExitStack()

    def __enter__(self) -> "Call":
        return self

    def __exit__(self, *_error: object) -> None:
        self._on_exit.close()

    def parameter(self, name: str) -> str:
        """Return a parameter of the path, unquoted."""
        return unquote(self.request.path_params[name])

    def flag(self, name: str) -> bool:
        """Tell whether a query parameter is true, in the spelling of Python or JavaScript."""
        return self.request.query_params.get(name, "").lower() in ("1", "true")

    def payload(self, model: type[Model]) -> Model:
        """Return the JSON body as a model.

        Raises:
            HubError: 400, the body is malformed.
        """
        try:
            return model.model_validate_json(self.body.read())
        except ValidationError as error:
            raise errors.bad_request(f"Malformed request: {error}") from error

    @property
    def bearer(self) -> str | None:
        """The token, or None if the request has none."""
        scheme, _, token = self.request.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else None

    @cached_property
    def identity(self) -> Identity | None:
        """The owner of the token, or None if the request has no token.

        Raises:
            HubError: 401, the token is unknown.
        """
        token = self.bearer
        if token is None:
            return None
        identity = self.hub.accounts.identify(token) or self.hub.access_tokens.identify(token)
        if identity is None:
            raise errors.HubError(401, "Invalid credentials in Authorization header")
        return identity

    @property
    def user(self) -> Identity:
        """The owner of the token.

        Raises:
            HubError: 401, the request has no token, or an unknown one.
        """
        if self.identity is None:
            raise errors.unauthenticated()
        return self.identity

    @property
    def kind(self) -> str:
        """The kind of repos in the path; models if the path names none."""
        kind: str = self.request.path_params.get("kind", "models")
        return kind

    @cached_property
    def repository(self) -> Repository:
        """The repo in the path.

        Raises:
            HubError: 404 or 401, the repo is missing, or private and not the caller's; 307, it has
                another name now; 403, it is disabled.
        """
        name = self.parameter("repository")
        found = self.hub.storage.find(self.kind, name)
        moved = None if found else self.hub.storage.find_moved(self.kind, name)
        if moved is not None and self.may_see(moved):
            raise errors.moved(self._address_at(name, moved.id))
        repository = self.visible(found)
        if restrictions.applies(self.hub.behavior, repository, "disabled"):
            raise restrictions.refusal("disabled")
        return repository

    def visible(self, repository: Repository | None) -> Repository:
        """Return a repo if it exists and the caller may see it. The call closes it at the end.

        Raises:
            HubError: 404 or 401, the repo is missing, or private and not the caller's.
        """
        if repository is None or not self.may_see(repository):
            raise errors.repository_not_found(anonymous=self.identity is None)
        return self._on_exit.enter_context(repository)

    def may_see(self, repository: Repository) -> bool:
        """Tell whether the caller may know that the repo exists."""
        return (
            # First, so that a wrong token is refused.
            self.sees_private_of(repository.namespace, repository.id)
            or self.is_publisher(repository)
            or not repository.settings["private"]
        )

    def sees_private_of(self, namespace: str, repo_id: str = "") -> bool:
        """Tell whether the caller may see a private repo, or the collections of a namespace."""
        return self.identity is not None and self.identity.sees_private_of(namespace, repo_id)

    def _address_at(self, name: str, other: str) -> str:
        """Return the address of this request, relative to the hub, with another id of the repo."""
        path: str = self.request.scope["path"]
        query = self.request.url.query
        return path.replace(quote(name), other, 1) + (f"?{query}" if query else "")

    def is_publisher(self, repository: Repository) -> bool:
        """Tell whether the caller is a CI job with a token for the repo."""
        identity = self.identity
        return identity is not None and identity.publishes_to(repository.kind, repository.id)

    def require_read(self) -> None:
        """Refuse a caller who may not read the files of the repo, because it is gated.

        Raises:
            HubError: 403, or 401 without a token.
        """
        repository, identity = self.repository, self.identity
        is_member = identity is not None and identity.belongs_to(repository.namespace)
        if repository.settings["gated"] and not (is_member or self.is_publisher(repository)):
            raise errors.gated(repository.id, anonymous=identity is None)

    def require_ownership(self, repository: Repository) -> None:
        """Refuse a caller who may not change the settings of a repo or delete it.

        Raises:
            HubError: 403, or 401 without a token.
        """
        if not self.user.may_write(repository.id, repository.author):
            raise errors.forbidden("this needs a token of the owner")

    def require_write(self) -> None:
        """Refuse a caller who may not change the files and references of the repo.

        Raises:
            HubError: 403, or 401 without a token.
        """
        repository = self.repository
        user = self.user
        is_publisher = self.is_publisher(repository)
        if is_publisher and user.role == "read":
            raise errors.forbidden("this token is read-only")
        if not is_publisher and not user.may_write(repository.id, repository.author):
            raise errors.forbidden(
                "pass `create_pr=1` as a query parameter to create a Pull Request"
            )
        restrictions.check_write(self.hub.behavior, repository)

    def page(self, items: list[Any], render: Callable[[Any], Any]) -> Response:
        """Return one page of a list, with a link to the next page if there is one.

        Args:
            items: the whole list.
            render: returns the JSON value of an item.

        Raises:
            HubError: 400, `cursor` or `limit` in the query is not a number.
        """
        query = self.request.query_params
        try:
            start = max(0, int(query.get("cursor", 0)))
            size = min(self.hub.page_size, max(1, int(query.get("limit", self.hub.page_size))))
        except ValueError:
            raise errors.bad_request("cursor and limit must be numbers") from None
        headers = {}
        if start + size < len(items):
            url = self.request.url.include_query_params(cursor=start + size)
            path = self.request.scope["path"]
            headers["Link"] = f'<{self.hub.endpoint}{path}?{url.query}>; rel="next"'
        return JSONResponse([render(item) for item in items[start : start + size]], headers=headers)


def endpoint(handler: Callable[[Call], Response]) -> Callable[[Request], Awaitable[Response]]:
    """Return a Starlette endpoint that reads the whole body, then runs a handler in a thread."""

    async def run(request: Request) -> Response:
        with tempfile.SpooledTemporaryFile(max_size=2**20) as body:
            async for chunk in request.stream():
                body.write(chunk)
            body.seek(0)
            return await run_in_threadpool(_handle, handler, request, body)

    return run


def _handle(handler: Callable[[Call], Response], request: Request, body: IO[bytes]) -> Response:
    with Call(request.app.state.hub, request, body) as call:
        return handler(call)
