"""One request to the CAS."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from ved.localhub import errors
from ved.localhub.call import Call, endpoint
from ved.localhub.storage import Repository
from ved.localhub.xet import hashes
from ved.localhub.xet.access import Scope, XetToken
from ved.localhub.xet.state import Xet


class CasCall:
    """One request to the CAS. Its members raise HubError if the request is wrong or not allowed.

    Attributes:
        call: the request, as to any other endpoint of the hub.
        xet: the storage.
        token: the rights of the sender.
    """

    def __init__(self, call: Call, token: XetToken) -> None:
        assert call.hub.xet is not None
        self.call = call
        self.xet: Xet = call.hub.xet
        self.token = token

    @property
    def digest(self) -> bytes:
        """The hash in the path.

        Raises:
            HubError: 400, it is not a hash.
        """
        return hashes.from_text(self.call.parameter("hash"))

    @property
    def repository(self) -> Repository:
        """The repo that the token is for.

        Raises:
            HubError: 404, it has been deleted.
        """
        found = self.call.hub.storage.find(self.token.kind, self.token.repo_id)
        if found is None:
            raise errors.repository_not_found(anonymous=False)
        return found


def cas_endpoint(
    scope: Scope, handler: Callable[[CasCall], Response]
) -> Callable[[Request], Awaitable[Response]]:
    """Return a Starlette endpoint that checks the token of the CAS, then runs a handler.

    Args:
        scope: the scope that the token needs.
        handler: returns the response.
    """

    def check(call: Call) -> Response:
        assert call.hub.xet is not None
        token = call.hub.xet.tokens.identify(call.bearer)
        if token is None:
            raise errors.HubError(401, "The token is missing, unknown or expired")
        if scope == "write" and token.scope != "write":
            raise errors.forbidden("this needs a token that writes")
        return handler(CasCall(call, token))

    return endpoint(check)
