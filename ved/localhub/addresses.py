"""Signed addresses: URLs of data, for clients that send no token to them."""

import hashlib
import hmac
import time

from starlette.requests import Request

from ved.localhub import errors
from ved.localhub.call import Hub


def signed_url(hub: Hub, method: str, path: str) -> str:
    """Return the URL of some data on the hub's second origin. It expires.

    Args:
        hub: the hub.
        method: the only HTTP method that the signature allows.
        path: the path of the data.
    """
    expires = f"{time.time() + hub.address_lifetime:.3f}"
    return f"{hub.cdn}{path}?expires={expires}&signature={_signature(hub, method, path, expires)}"


def check_signature(hub: Hub, request: Request, method: str) -> None:
    """Refuse a request whose URL is not signed for a method, or has expired.

    Raises:
        HubError: 403.
    """
    expires = request.query_params.get("expires", "")
    given = request.query_params.get("signature", "")
    expected = _signature(hub, method, request.scope["path"], expires)
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise errors.HubError(403, "SignatureDoesNotMatch")
    if float(expires) < time.time():
        raise errors.HubError(403, "Request has expired")


def _signature(hub: Hub, method: str, path: str, expires: str) -> str:
    return hmac.new(hub.secret, f"{method} {path} {expires}".encode(), hashlib.sha256).hexdigest()
