"""Keyless publishing: a GitHub Actions job's identity, exchanged for a token to write to one repo.

The job asks GitHub for an id token, which says who it is, and the Hub gives a token for it if the
repo's settings name that job as a trusted publisher. No secret has to be stored for that.

Protocol: https://huggingface.co/docs/hub/trusted-publishers and
https://docs.github.com/actions/reference/security/oidc.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock
from time import monotonic
from typing import Any, TypeGuard, cast
from urllib.parse import urlsplit

import requests
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import get_session

from ved.errors import ErrorCode, RequestError, VedError
from ved.hub import oidc_errors

REQUEST_URL, _REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"

TIMEOUT = 60
"""Seconds to wait for an answer."""

LIFETIME = 3600
"""Seconds for which a token is good where the Hub does not say."""

LEFT_FOR_PUBLISHING = 300
"""Seconds for which a token is to be good when it is given out, or a fifth of its lifetime."""

_OK = 200


def offers_identity(environ: Mapping[str, str]) -> bool:
    """Tell whether this job may ask for an id token: GitHub sets two variables if so."""
    return bool(environ.get(REQUEST_URL) and environ.get(_REQUEST_TOKEN))


@dataclass(frozen=True)
class _AccessToken:
    value: str = field(repr=False)
    renew_at: float


class Publisher:
    """Gives tokens that write to one repo each; may be shared between threads.

    Args:
        endpoint: the address of the Hub.
        environ: the job's environment variables.
        on_secret: is given every new secret before it is used, so that logs can be told to hide it.

    Raises:
        RequestError: the job may not ask for an id token, or the addresses are not safe for one.
    """

    def __init__(
        self, endpoint: str, environ: Mapping[str, str], on_secret: Callable[[str], None]
    ) -> None:
        if not offers_identity(environ):
            raise oidc_errors.not_offered(environ)
        self._endpoint = endpoint.rstrip("/")
        self._request_url = environ[REQUEST_URL]
        self._request_token = environ[_REQUEST_TOKEN]
        _check_address(self._request_url, f"The variable {REQUEST_URL}")
        _check_address(self._endpoint, "The Hub's endpoint")
        if not _is_token(self._request_token):
            raise RequestError(
                f"The variable {_REQUEST_TOKEN} has characters that no token has.",
                "GitHub sets it; leave it as it is.",
                code=ErrorCode.ID_TOKEN_PERMISSION,
            )
        self._on_secret = on_secret
        self._tokens: dict[str, _AccessToken] = {}
        self._lock = Lock()

    def token(self, repo: str) -> str:
        """Return a token that may write to a repo; the same one until it is soon to expire.

        Raises:
            VedError: GitHub gives no id token, or the Hub nothing for it.
        """
        with self._lock:
            token = self._tokens.get(repo)
            if token is None or monotonic() >= token.renew_at:
                token = self._tokens[repo] = self._new_token(repo)
            return token.value

    def _new_token(self, repo: str) -> _AccessToken:
        id_token = self._id_token()
        asked_at = monotonic()
        wanted = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "subject_token": id_token,
            "resource": repo,
        }
        response = _send(
            "The Hub",
            "POST",
            f"{self._endpoint}/oauth/token",
            # With HF_DEBUG, the client logs what is sent unless that is a file.
            data=BytesIO(json.dumps(wanted).encode()),
            headers={"Content-Type": "application/json"},
        )
        if response.status_code != _OK:
            raise oidc_errors.refused(response, repo, self._endpoint, id_token)
        answer = oidc_errors.members(response)
        value, lifetime = answer.get("access_token"), answer.get("expires_in")
        if not _is_token(value) or str(answer.get("token_type")).lower() != "bearer":
            raise VedError(
                f"Cannot publish {repo}: the Hub's answer to the job's id token is no token.",
                "Check the endpoint.",
                code=ErrorCode.HUB_DOES_NOT_ANSWER,
            )
        self._on_secret(value)
        if not isinstance(lifetime, int | float) or not lifetime >= 0:
            lifetime = LIFETIME
        return _AccessToken(value, asked_at + lifetime - min(LEFT_FOR_PUBLISHING, lifetime / 5))

    def _id_token(self) -> str:
        """Return a new id token for the Hub; each is good for one exchange."""
        response = _send(
            "GitHub",
            "GET",
            self._request_url,
            params={"audience": self._endpoint},
            headers={"Authorization": f"Bearer {self._request_token}"},
        )
        value = oidc_errors.members(response).get("value")
        if response.status_code != _OK or not _is_token(value):
            raise oidc_errors.no_id_token(response, self._request_token)
        self._on_secret(value)
        return value


def _send(who: str, method: str, url: str, **options: Any) -> requests.Response:
    """Return the answer to a request with a secret, which no redirect takes elsewhere."""
    try:
        return get_session().request(method, url, timeout=TIMEOUT, allow_redirects=False, **options)
    except requests.HTTPError as error:
        # The last of several that might have been others; an error of this kind always has one.
        return cast(requests.Response, error.response)
    except (requests.RequestException, OfflineModeIsEnabled) as error:
        reason = type(error).__name__
    # Raised out here, because that error holds the request, and so the secret.
    raise oidc_errors.no_answer(who, reason)


def _check_address(url: str, name: str) -> None:
    """Make sure that what is sent to an address can be read there alone.

    Raises:
        RequestError: it would go through a network in the clear.
    """
    try:
        address = urlsplit(url)
        is_safe = address.scheme == "https" or (
            address.scheme == "http" and _is_loopback(address.hostname or "")
        )
    except ValueError:
        is_safe = False
    if not is_safe:
        raise RequestError(
            f"{name} does not begin with https, so the job's identity is not sent there.",
            "Correct the address; only a loopback address may begin with http.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def _is_token(value: object) -> TypeGuard[str]:
    """Tell whether a value can be a header's token: visible ASCII characters and no others."""
    return isinstance(value, str) and re.fullmatch("[!-~]+", value) is not None
