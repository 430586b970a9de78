"""The routes of Xet: on the Hub, on the CAS and on the bucket."""

from collections.abc import Callable

from starlette.responses import Response
from starlette.routing import Route

from ved.localhub.call import endpoint
from ved.localhub.xet import downloads, tokens, uploads
from ved.localhub.xet.access import Scope
from ved.localhub.xet.endpoint import CasCall, cas_endpoint

_REPO = "/api/{kind:kind}/{repository:id}"
_CAS = "/cas/{storage}"
_XORB = "{prefix}/{hash}"

_CAS_ENDPOINTS: list[tuple[Scope, str, str, Callable[[CasCall], Response]]] = [
    ("read", "GET", f"/v1/chunks/{_XORB}", uploads.query_chunk),
    ("read", "GET", "/v1/reconstructions/{hash}", downloads.reconstruction_1),
    ("read", "GET", "/v2/reconstructions/{hash}", downloads.reconstruction_2),
    ("read", "POST", "/v1/telemetry", uploads.telemetry),
    ("write", "POST", f"/v1/xorb-grants/{_XORB}", uploads.create_grant),
    ("write", "POST", f"/v1/xorb-commits/{_XORB}/grant/{{grant}}", uploads.commit_grant),
    ("write", "POST", f"/v1/xorbs/{_XORB}", uploads.upload_xorb),
    ("write", "POST", "/v1/shards", uploads.register_shard),
    ("write", "POST", "/v2/shards", uploads.register_shard_with_progress),
]


def routes() -> list[Route]:
    """Return all routes. Only a hub with Xet has them."""
    return [
        Route(_REPO + "/xet-read-token/{revision}", endpoint(tokens.read_token)),
        Route(_REPO + "/xet-write-token/{revision}", endpoint(tokens.write_token)),
        *(
            Route(_CAS + path, cas_endpoint(scope, handler), methods=[method])
            for scope, method, path, handler in _CAS_ENDPOINTS
        ),
        Route("/xet/bucket/{grant}", uploads.send_to_bucket, methods=["PUT"]),
        Route("/xet/xorbs/{hash}", endpoint(downloads.download_xorb)),
    ]
