"""Keyless publishing: exchange the identity of a CI job for a token that writes to one repo.

A GitHub Actions job asks GitHub for an id token, which states the job's identity. The Hub exchanges
the id token for an access token if the settings of the repo list the job as a trusted publisher.
Nobody has to store a secret.

Protocol: https://huggingface.co/docs/hub/trusted-publishers and
https://docs.github.com/actions/reference/security/oidc.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock
from time import monotonic
from typing import Any, TypeGuard

import httpx2
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import get_session

from ved.errors import ErrorCode, RequestError, VedError
from ved.hub import oidc_errors
from ved.hub.addresses import is_address, is_encrypted_or_loopback
from ved.hub.answers import RefusedAnswerError

REQUEST_URL, _REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"

LIFETIME = 3600
"""Seconds that a token is valid if the Hub does not say how long."""

LEFT_FOR_PUBLISHING = 300
"""Seconds that a token is still valid when it is given out, at least. A token that is valid for a
short time only is renewed after four fifths of that time."""

_OK = 200


def offers_identity(environ: Mapping[str, str]) -> bool:
    """Return whether this job may ask for an id token. GitHub sets two variables if so."""
    return bool(environ.get(REQUEST_URL) and environ.get(_REQUEST_TOKEN))


@dataclass(frozen=True)
class _AccessToken:
    value: str = field(repr=False)
    renew_at: float  # on the clock of time.monotonic


class Publisher:
    """A trusted publisher: gets tokens that write to one repo each. Threads may share it.

    Args:
        endpoint: the address of the Hub.
        environ: the environment variables of the job.
        on_secret: called with each new secret before its first use, to mask it in logs.

    Raises:
        RequestError: the job may not ask for an id token, or an address is not safe for one.
    """

    def __init__(
        self,
        endpoint: str,
        environ: Mapping[str, str],
        on_secret: Callable[[str], None],
    ) -> None:
        if not offers_identity(environ):
            raise oidc_errors.not_offered(environ)
        self._endpoint = endpoint.rstrip("/")
        self._request_url = environ[REQUEST_URL]
        self._request_token = environ[_REQUEST_TOKEN]
        _check_address(self._request_url, f"The variable {REQUEST_URL}")
        _check_address(self._endpoint, "The endpoint of the Hub")
        if not _is_token(self._request_token):
            raise RequestError(
                f"The variable {_REQUEST_TOKEN} contains characters that no token has.",
                "Do not change this variable: GitHub sets it.",
                code=ErrorCode.ID_TOKEN_PERMISSION,
            )
        self._on_secret = on_secret
        self._tokens: dict[str, _AccessToken] = {}
        self._lock = Lock()

    def token(self, repo: str) -> str:
        """Return a token that can write to `repo`. Reuses a token until shortly before it expires.

        Raises:
            VedError: GitHub gives no id token, or the Hub gives no token for it.
        """
        with self._lock:
            token = self._tokens.get(repo)
            if token is None or monotonic() >= token.renew_at:
                token = self._tokens[repo] = self._new_token(repo)
            return token.value

    def _new_token(self, repo: str) -> _AccessToken:
        id_token = self._id_token()
        requested_at = monotonic()
        payload = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "subject_token": id_token,
            "resource": repo,
        }
        response = _send(
            "The Hub",
            "POST",
            f"{self._endpoint}/oauth/token",
            # With HF_DEBUG, the client logs the body of a request unless it is a file. It removes
            # the token only if that is short.
            content=BytesIO(json.dumps(payload).encode()),
            headers={"Content-Type": "application/json"},
        )
        if response.status_code != _OK:
            raise oidc_errors.refused(response, repo, self._endpoint, id_token)
        answer = oidc_errors.json_object(response)
        value, lifetime = answer.get("access_token"), answer.get("expires_in")
        if not _is_token(value) or str(answer.get("token_type")).lower() != "bearer":
            raise VedError(
                f"Cannot publish {repo}: the Hub's answer to the job's id token has no token.",
                "Check that the endpoint is the address of a Hub.",
                code=ErrorCode.HUB_DOES_NOT_ANSWER,
            )
        self._on_secret(value)
        if not isinstance(lifetime, int | float) or not lifetime >= 0:
            lifetime = LIFETIME
        return _AccessToken(value, requested_at + lifetime - min(LEFT_FOR_PUBLISHING, lifetime / 5))

    def _id_token(self) -> str:
        """Return a new id token. The Hub accepts each only once."""
        response = _send(
            "GitHub",
            "GET",
            self._request_url,
            params={"audience": self._endpoint},
            headers={"Authorization": f"Bearer {self._request_token}"},
        )
        value = oidc_errors.json_object(response).get("value")
        if response.status_code != _OK or not _is_token(value):
            raise oidc_errors.no_id_token(response, self._request_token)
        self._on_secret(value)
        return value


def _send(server: str, method: str, url: str, **options: Any) -> httpx2.Response:
    """Send a request that contains a secret, and return the answer. Follows no redirect."""
    try:
        return get_session().request(method, url, follow_redirects=False, **options)
    except HfHubHTTPError as error:
        # The transport raises the last of several retryable answers. Its error has the response.
        return error.response
    except (httpx2.HTTPError, RefusedAnswerError, OfflineModeIsEnabled) as error:
        reason = type(error).__name__
    # Raised outside of the except clause: that error holds the request, which holds the secret.
    raise oidc_errors.no_answer(server, reason)


def _check_address(url: str, name: str) -> None:
    """Check that nobody on the network can read what is sent to an address.

    Raises:
        RequestError: the connection would not be encrypted.
    """
    if not (is_address(url) and is_encrypted_or_loopback(url)):
        raise RequestError(
            f"{name} is not a plain https address, so VED does not send the job's identity there.",
            "Correct the address. Only a loopback address may begin with http.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )


def _is_token(value: object) -> TypeGuard[str]:
    """Return whether a value can be a header's token: visible ASCII characters only."""
    return isinstance(value, str) and re.fullmatch("[!-~]+", value) is not None
