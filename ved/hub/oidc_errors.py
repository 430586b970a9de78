"""Why a job cannot publish without a stored token, in words that say what to do.

What servers say is shown shortened, on one line, and without the secret that they were sent.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import requests
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from ved.action.events import fork
from ved.errors import ErrorCode, RequestError, VedError

_SHOWN = 300  # characters of a text from outside

BAD_REQUEST, NOT_FOUND, NOT_ALLOWED, TOO_MANY = 400, 404, 405, 429


def not_offered(environ: Mapping[str, str]) -> RequestError:
    """Return why GitHub did not let a job ask for an id token."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return RequestError(
            "This is no job of GitHub Actions, so it has no identity to publish with.",
            "Give a token that can write: the action's input token, or the variable HF_TOKEN.",
            code=ErrorCode.NO_TOKEN,
        )
    origin = fork(environ)
    if origin:
        return RequestError(
            f"This run is for a pull request from a fork ({origin}), which gets neither secrets "
            "nor an identity, so nothing can be published.",
            "Publish once it is merged; for pull requests, use mode: plan, which needs neither.",
            code=ErrorCode.PULL_REQUESTS_NEVER_PUBLISH,
        )
    return RequestError(
        "The job may not ask GitHub for an id token, so nothing can be published without a token.",
        "Add to the job, and to a job that calls it as a reusable workflow: "
        "permissions: {id-token: write, contents: read}; or give a token that can write.",
        code=ErrorCode.ID_TOKEN_PERMISSION,
    )


def no_answer(who: str, reason: str) -> VedError:
    """Return that GitHub or the Hub could not be reached for a token."""
    return VedError(
        f"{who} does not answer when asked for a token ({reason}).",
        "Check the endpoint and the network, and run again.",
        code=ErrorCode.HUB_DOES_NOT_ANSWER,
    )


def no_id_token(response: requests.Response, request_token: str) -> VedError:
    """Return that GitHub gave something else than an id token."""
    return VedError(
        f"GitHub gives the job no id token: it answers with {_said(response, request_token)}.",
        "Run the job again; if it stays, see https://www.githubstatus.com.",
        code=ErrorCode.ID_TOKEN_PERMISSION,
    )


def refused(response: requests.Response, repo: str, endpoint: str, id_token: str) -> VedError:
    """Return why the Hub gave no token for a job's id token.

    The Hub does not tell which of its checks failed, so what can be found out here is said.
    """
    cannot = f"Cannot publish {repo} without a stored token: "
    said = _said(response, id_token)
    if response.status_code == BAD_REQUEST and members(response).get("error") == "invalid_grant":
        cause, remedy = _not_trusted(repo, endpoint, id_token)
        message = f"{cannot}{cause} (the Hub answers with {said})."
        return VedError(message, remedy, code=ErrorCode.TRUSTED_PUBLISHER)
    if response.status_code in (NOT_FOUND, NOT_ALLOWED):
        return VedError(
            f"{cannot}{endpoint} knows no trusted publishers; it answers with {said}.",
            "Check the endpoint, or give a token that can write.",
            code=ErrorCode.TRUSTED_PUBLISHER,
        )
    if response.is_redirect:
        return VedError(
            f"{cannot}{endpoint} sends elsewhere, where the job's identity is not sent.",
            "Give the endpoint as it is spelt there.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )
    message = f"{cannot}the Hub answers with {said}."
    if response.status_code == TOO_MANY:
        return VedError(message, "Wait a few minutes and run again.", code=ErrorCode.RATE_LIMIT)
    return VedError(
        message, "Run again; if it stays, the Hub is ill.", code=ErrorCode.HUB_DOES_NOT_ANSWER
    )


def members(response: requests.Response) -> dict[str, Any]:
    """Return the members of the JSON object that a server answers; none where it is no object."""
    try:
        found = response.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _not_trusted(repo: str, endpoint: str, id_token: str) -> tuple[str, str]:
    """Return why a repo does not trust this job, and what to do."""
    job = _described(id_token)
    settings = f"at {endpoint}/{repo}/settings, under Trusted Publishers, add GitHub Actions with "
    if _is_visible(repo, endpoint):
        return (
            f"none of the trusted publishers in its settings is this job: {job}",
            f"Look {settings}this repository, or correct what is there: each claim has to be "
            "exactly the job's, and those but the repository may be left out.",
        )
    return (
        "there is no such repo, or it is private and none of the trusted publishers in its "
        f"settings is this job: {job}",
        f"Create it at {endpoint}/new, or give a token too, with which VED creates it; then, "
        f"{settings}this repository and, if you like, the workflow.",
    )


def _is_visible(repo: str, endpoint: str) -> bool:
    """Tell whether everybody can see that a repo exists; where that is not known, it does."""
    try:
        return HfApi(endpoint, token=False).repo_exists(repo)
    except (HfHubHTTPError, OfflineModeIsEnabled, requests.RequestException):
        return True


def _described(id_token: str) -> str:
    """Return what a job's id token tells of it, as the form in a repo's settings has it."""
    claims = _claims(id_token)
    ref, path = claims.get("ref", ""), claims.get("workflow_ref", "").partition("@")[0]
    branch = ref.removeprefix("refs/heads/")
    told = {
        "repository": claims.get("repository", ""),
        "workflow": PurePosixPath(path).name,
        "ref" if branch == ref else "branch": branch,
        "environment": claims.get("environment", ""),
    }
    return ", ".join(f"{name} {_shown(value) or '(none)'}" for name, value in told.items())


def _claims(id_token: str) -> dict[str, str]:
    try:
        payload = id_token.split(".")[1]
        found = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    items = found.items() if isinstance(found, dict) else ()
    return {name: value for name, value in items if isinstance(value, str)}


def _said(response: requests.Response, secret: str) -> str:
    found = members(response)
    texts = (found.get("error"), found.get("error_description"))
    said = ": ".join(text for text in texts if isinstance(text, str))
    shown = _shown(said.replace(secret, "***"))
    return f"status {response.status_code}" + (f", {shown}" if shown else "")


def _shown(text: str) -> str:
    """Return a text from outside on one line, without what is not to be seen."""
    visible = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(visible[:_SHOWN].split())
