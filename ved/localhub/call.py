"""One request as the endpoints see it: its body, who makes it, and the repo it is about."""

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, TypeVar
from urllib.parse import unquote

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ved.localhub import errors
from ved.localhub.accounts import Accounts, Identity
from ved.localhub.collections import Collections
from ved.localhub.issuer import Issuer
from ved.localhub.payloads import Payload
from ved.localhub.publishers import AccessTokens, Publishers
from ved.localhub.storage import Repository, Storage

Model = TypeVar("Model", bound=Payload)


@dataclass(frozen=True)
class Hub:
    """What all endpoints share.

    Attributes:
        endpoint: the URL of the hub.
        cdn: the URL that LFS objects are at: a different origin than the endpoint's, as on the
            Hub, because clients take a redirect within one origin for a renamed repo.
        multipart_threshold: in bytes.
        page_size: in items.
    """

    endpoint: str
    cdn: str
    storage: Storage
    accounts: Accounts
    collections: Collections
    issuer: Issuer
    publishers: Publishers
    access_tokens: AccessTokens
    secret: bytes
    multipart_threshold: int
    page_size: int


class Call:
    """One request. Members raise HubError when the request does not bear them out."""

    def __init__(self, hub: Hub, request: Request, body: IO[bytes]) -> None:
        self.hub = hub
        self.request = request
        self.body = body

    def parameter(self, name: str) -> str:
        """Return a part of the path, unquoted."""
        return unquote(self.request.path_params[name])

    def flag(self, name: str) -> bool:
        """Tell whether a query parameter is set and true, as Python or JavaScript spell it."""
        return self.request.query_params.get(name, "").lower() in ("1", "true")

    def payload(self, model: type[Model]) -> Model:
        """Return the JSON body as a model."""
        try:
            return model.model_validate_json(self.body.read())
        except ValidationError as error:
            raise errors.bad_request(f"Malformed request: {error}") from error

    @property
    def bearer(self) -> str | None:
        """The token; None without one."""
        scheme, _, token = self.request.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else None

    @cached_property
    def identity(self) -> Identity | None:
        """Who bears the token; None without a token."""
        token = self.bearer
        if token is None:
            return None
        identity = self.hub.accounts.identify(token) or self.hub.access_tokens.identify(token)
        if identity is None:
            raise errors.HubError(401, "Invalid credentials in Authorization header")
        return identity

    @property
    def user(self) -> Identity:
        """Who bears the token; 401 without one."""
        if self.identity is None:
            raise errors.unauthenticated()
        return self.identity

    @property
    def kind(self) -> str:
        """The kind of repo the path names; a path without a kind names a model."""
        kind: str = self.request.path_params.get("kind", "models")
        return kind

    @cached_property
    def repository(self) -> Repository:
        """The repo the path names, if the caller may know of it."""
        return self.visible(self.hub.storage.find(self.kind, self.parameter("repository")))

    def visible(self, repository: Repository | None) -> Repository:
        """Return the repo; when it is missing, or private and not the caller's, say not found."""
        if repository is None or not self.may_see(repository):
            raise errors.repository_not_found(anonymous=self.identity is None)
        return repository

    def may_see(self, repository: Repository) -> bool:
        """Tell whether the caller may know that the repo exists."""
        return (
            self.sees_private_of(repository.namespace)  # first: a wrong token is never let pass
            or self.is_publisher(repository)
            or not repository.settings["private"]
        )

    def sees_private_of(self, namespace: str) -> bool:
        """Tell whether private repos or collections of a namespace are open to the caller."""
        return self.identity is not None and self.identity.sees_private_of(namespace)

    def is_publisher(self, repository: Repository) -> bool:
        """Tell whether the caller is a CI job with a token for the repo."""
        identity = self.identity
        return identity is not None and identity.publishes_to(repository.kind, repository.id)

    def require_access(self) -> None:
        """Refuse those to whom the repo's files are closed."""
        repository, identity = self.repository, self.identity
        is_member = identity is not None and identity.belongs_to(repository.namespace)
        if repository.settings["gated"] and not (is_member or self.is_publisher(repository)):
            raise errors.gated(repository.id, anonymous=identity is None)

    def require_ownership(self, repository: Repository) -> None:
        """Refuse those who may not change the repo as such: its settings, its existence."""
        if not self.user.may_write_to(repository.namespace):
            raise errors.forbidden("this takes a token of its owner")

    def require_write(self, repository: Repository) -> None:
        """Refuse those who may not change the repo's content."""
        if not self.user.may_write_to(repository.namespace) and not self.is_publisher(repository):
            raise errors.forbidden(
                "pass `create_pr=1` as a query parameter to create a Pull Request"
            )

    def require_proposal(self) -> None:
        """Refuse those who may not even open a pull request."""
        if self.user.role != "write":
            raise errors.forbidden("this token may only read")
        if self.user.repository and not self.is_publisher(self.repository):
            raise errors.forbidden("this token is for another repo")

    def require_commit(self, revision: str, *, create_pr: bool) -> None:
        """Refuse those who may not commit to the revision."""
        own = (
            f"refs/pr/{discussion['num']}"
            for discussion in self.repository.discussions()
            if discussion["author"] == self.user.name
        )
        if create_pr or revision in own:
            self.require_proposal()
        else:
            self.require_write(self.repository)

    def page(self, items: list[Any], render: Callable[[Any], Any]) -> Response:
        """Return one page of a list, with a link to the next if there is one."""
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
    """Make a handler that runs in a thread, once the body is in, an endpoint of Starlette."""

    async def run(request: Request) -> Response:
        with tempfile.SpooledTemporaryFile(max_size=2**20) as body:
            async for chunk in request.stream():
                body.write(chunk)
            body.seek(0)
            return await run_in_threadpool(handler, Call(request.app.state.hub, request, body))

    return run
