"""Endpoints for keyless publishing: the CI's issuer of id tokens, and the Hub's token exchange.

Refusals follow the Hub's documentation: status 400 and `invalid_grant`, for every failed check
(https://huggingface.co/docs/hub/trusted-publishers#api-reference).
"""

from dataclasses import replace

from pydantic import BaseModel, ValidationError
from starlette.responses import JSONResponse, Response

from ved.localhub import errors
from ved.localhub.call import Call
from ved.localhub.publishers import RESOURCE, find_publisher

_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:"  # noqa: S105 - a name
_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"


class _TokenExchange(BaseModel):
    """POST /oauth/token (RFC 8693, section 2.1)."""

    grant_type: str
    subject_token_type: str
    subject_token: str
    resource: str


def id_token(call: Call) -> Response:
    """GET /actions/{run}/idtoken: an id token of a job, for an audience."""
    bearer = call.bearer
    audience = call.request.query_params.get("audience")
    token = call.hub.issuer.id_token(call.parameter("run"), bearer, audience) if bearer else None
    if token is None:
        raise errors.HubError(401, "The job is unknown, or this is not its token")
    return JSONResponse({"value": token})


def exchange(call: Call) -> Response:
    """POST /oauth/token: exchange an id token for an access token.

    The access token writes to one repo, or reads the gated repos of one user.
    """
    wanted = _parsed_request(call)
    hub = call.hub
    identity = find_publisher(wanted.resource, hub.storage, hub.accounts)
    claims = hub.issuer.claims(wanted.subject_token, hub.endpoint)
    if (
        identity is None
        or claims is None
        or (rights := hub.publishers.find(wanted.resource, claims)) is None
        or not hub.issuer.mark_used(claims)
    ):
        raise errors.oauth("invalid_grant", "The token exchange was refused")
    if rights == "read":
        identity = replace(identity, role="read")
    return JSONResponse(
        {
            "access_token": hub.access_tokens.create(identity),
            "token_type": "bearer",
            "expires_in": hub.access_tokens.lifetime,
            "issued_token_type": f"{_TOKEN_TYPE}access_token",
        },
        headers={"Cache-Control": "no-store"},
    )


def _parsed_request(call: Call) -> _TokenExchange:
    try:
        wanted = _TokenExchange.model_validate_json(call.body.read())
    except ValidationError as error:
        problem = f"{'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}"
        raise errors.oauth("invalid_request", problem) from None
    if wanted.grant_type != _GRANT_TYPE:
        raise errors.oauth("unsupported_grant_type", f"grant_type must be {_GRANT_TYPE}")
    if wanted.subject_token_type != f"{_TOKEN_TYPE}id_token":
        raise errors.oauth("invalid_request", "subject_token_type must be the type of id tokens")
    if not RESOURCE.fullmatch(wanted.resource):
        raise errors.oauth("invalid_request", "resource must be a repo or a user name")
    return wanted
