"""The endpoints of the Hub for Xet: tokens of the CAS, and facts about a file.

Source: https://huggingface.co/docs/xet/auth
"""

from starlette.responses import JSONResponse, Response

from ved.localhub.call import Call, Hub
from ved.localhub.errors import HubError
from ved.localhub.storage import Repository
from ved.localhub.xet import hashes
from ved.localhub.xet.access import Scope
from ved.localhub.xet.state import Xet


def read_token(call: Call) -> Response:
    """GET /api/{kind}/{id}/xet-read-token/{revision}: a token that downloads the repo's files."""
    call.require_read()
    return _token(call, "read")


def write_token(call: Call) -> Response:
    """GET /api/{kind}/{id}/xet-write-token/{revision}: a token that uploads files for the repo."""
    if call.flag("create_pr"):
        raise HubError(501, "The local Hub has no pull requests")
    call.require_write()
    return _token(call, "write")


def _token(call: Call, scope: Scope) -> Response:
    """Return a new token, in headers for client 0.36 and in the body for client 2."""
    repository, xet = call.repository, _xet(call.hub)
    repository.git.resolve(call.parameter("revision"))
    token, rights = xet.tokens.create(scope, repository.kind, repository.id)
    url = call.hub.cas + xet.path
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": token,
        "X-Xet-Token-Expiration": str(rights.expiry),
    }
    return JSONResponse(
        {"casUrl": url, "accessToken": token, "exp": rights.expiry}, headers=headers
    )


def xet_hash(hub: Hub, sha256: str) -> str | None:
    """Return the file hash of a large file in text, or None if Xet does not have the file."""
    file = hub.xet.cas.find_file(sha256=sha256) if hub.xet else None
    return hashes.to_text(file.hash) if file else None


def resolve_headers(hub: Hub, repository: Repository, commit: str, sha256: str) -> dict[str, str]:
    """Return the headers that tell clients to download a large file by Xet, if Xet has it."""
    digest = xet_hash(hub, sha256)
    if digest is None:
        return {}
    token = f"{hub.endpoint}/api/{repository.kind}/{repository.id}/xet-read-token/{commit}"
    terms = f"{hub.cas}{_xet(hub).path}/v1/reconstructions/{digest}"
    link = f'<{token}>; rel="xet-auth", <{terms}>; rel="xet-reconstruction-info"'
    return {"X-Xet-Hash": digest, "Link": link}


def _xet(hub: Hub) -> Xet:
    assert hub.xet is not None
    return hub.xet
