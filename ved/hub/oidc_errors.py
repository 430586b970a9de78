"""Explain why a job cannot publish without a stored token.

Texts of servers are shortened, put on one line, and stripped of the secret that VED sent.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import OfflineModeIsEnabled

from ved.errors import ErrorCode, RequestError, VedError
from ved.hub.answers import RefusedAnswerError

_MAX_LENGTH = 300  # characters of a server's text

BAD_REQUEST, NOT_FOUND, NOT_ALLOWED, TOO_MANY = 400, 404, 405, 429


def not_offered(environ: Mapping[str, str]) -> RequestError:
    """Return the error of a job that may not ask GitHub for an id token."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return RequestError(
            "This is not a GitHub Actions job, so it has no identity to publish with.",
            "Set the input token of the action to a token that can write.",
            code=ErrorCode.NO_TOKEN,
        )
    return RequestError(
        "The job may not ask GitHub for an id token, so it cannot publish without a token.",
        "Add permissions: {id-token: write, contents: read} to the job, and to a job that calls it "
        "as a reusable workflow; or set the input token.",
        code=ErrorCode.ID_TOKEN_PERMISSION,
    )


def empty_token(cause: str, otherwise: str = "") -> RequestError:
    """Return the error of a job that should have a stored token and has none.

    Args:
        cause: the sentence that says so.
        otherwise: a sentence, with a space before it, on how to publish without such a token.
    """
    return RequestError(
        cause,
        "If you pass a secret such as secrets.HF_TOKEN, no secret of that name reaches this job: "
        "check its name and where it is stored. A reusable workflow has only the secrets that its "
        f"caller passes to it.{otherwise}",
        code=ErrorCode.EMPTY_TOKEN,
    )


def no_answer(server: str, reason: str) -> VedError:
    """Return the error of a request for a token that GitHub or the Hub did not answer."""
    return VedError(
        f"{server} does not answer a request for a token ({reason}).",
        "Check the endpoint and the network, and run again.",
        code=ErrorCode.HUB_DOES_NOT_ANSWER,
    )


def no_id_token(response: httpx2.Response, request_token: str) -> VedError:
    """Return the error of an answer by GitHub that has no id token."""
    return VedError(
        f"GitHub gives the job no id token: it answers {_describe(response, request_token)}.",
        "Run the job again. If the error persists, check https://www.githubstatus.com.",
        code=ErrorCode.ID_TOKEN_PERMISSION,
    )


def refused(response: httpx2.Response, repo: str, endpoint: str, id_token: str) -> VedError:
    """Return the error of a Hub that gives no token for an id token.

    The Hub does not say which of its checks failed, so VED finds out what it can.
    """
    cannot = f"Cannot publish {repo} without a stored token: "
    answer = _describe(response, id_token)
    is_refusal = json_object(response).get("error") == "invalid_grant"
    if response.status_code == BAD_REQUEST and is_refusal:
        cause, remedy = _not_trusted(repo, endpoint, id_token)
        message = f"{cannot}{cause} (the Hub answers {answer})."
        return VedError(message, remedy, code=ErrorCode.TRUSTED_PUBLISHER)
    if response.status_code in (NOT_FOUND, NOT_ALLOWED):
        return VedError(
            f"{cannot}{endpoint} does not support trusted publishers; it answers {answer}.",
            "Check the endpoint, or set the input token.",
            code=ErrorCode.TRUSTED_PUBLISHER,
        )
    if response.has_redirect_location:
        return VedError(
            f"{cannot}{endpoint} redirects to another address. VED does not send the job's "
            "identity there.",
            "Set the endpoint to the address that it redirects to.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )
    message = f"{cannot}the Hub answers {answer}."
    if response.status_code == TOO_MANY:
        return VedError(message, "Wait a few minutes and run again.", code=ErrorCode.RATE_LIMIT)
    return VedError(
        message,
        "Run again. If the error persists, check https://status.huggingface.co.",
        code=ErrorCode.HUB_DOES_NOT_ANSWER,
    )


def json_object(response: httpx2.Response) -> dict[str, Any]:
    """Return the JSON object that a server answers; {} if the answer is something else."""
    try:
        found = response.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _not_trusted(repo: str, endpoint: str, id_token: str) -> tuple[str, str]:
    """Return the cause and the remedy of a repo that does not trust this job."""
    job = _describe_job(id_token)
    settings = f"{endpoint}/{repo}/settings"
    if _is_visible(repo, endpoint):
        return (
            f"its settings list no trusted publisher that matches this job: {job}",
            f"Add this repository at {settings}, under Trusted Publishers, or correct its entry: "
            "each claim must equal the job's. Only the repository is required.",
        )
    return (
        "there is no such repo, or it is private and its settings list no trusted publisher that "
        f"matches this job: {job}",
        f"Create it at {endpoint}/new, or set the input token, so that VED can create it. Then "
        f"add this repository at {settings}, under Trusted Publishers.",
    )


def _is_visible(repo: str, endpoint: str) -> bool:
    """Return whether the public can see a repo; True if the Hub does not answer."""
    try:
        return HfApi(endpoint, token=False).repo_exists(repo)
    except (OfflineModeIsEnabled, RefusedAnswerError, httpx2.HTTPError):
        return True


def _describe_job(id_token: str) -> str:
    """Return the claims of an id token by the labels of the form in a repo's settings."""
    claims = _claims(id_token)
    ref, path = claims.get("ref", ""), claims.get("workflow_ref", "").partition("@")[0]
    branch = ref.removeprefix("refs/heads/")
    values = {
        "repository": claims.get("repository", ""),
        "workflow": PurePosixPath(path).name,
        "ref" if branch == ref else "branch": branch,
        "environment": claims.get("environment", ""),
    }
    return ", ".join(f"{name} {_sanitize(value) or '(none)'}" for name, value in values.items())


def _claims(id_token: str) -> dict[str, str]:
    """Return the claims that are text. VED does not check the signature: the Hub does."""
    try:
        payload = id_token.split(".")[1]
        found = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    items = found.items() if isinstance(found, dict) else ()
    return {name: value for name, value in items if isinstance(value, str)}


def _describe(response: httpx2.Response, secret: str) -> str:
    """Return the status and the error text of an answer, without the secret."""
    answer = json_object(response)
    texts = (answer.get("error"), answer.get("error_description"))
    joined = ": ".join(text for text in texts if isinstance(text, str))
    detail = _sanitize(joined.replace(secret, "***"))
    return f"status {response.status_code}" + (f", {detail}" if detail else "")


def _sanitize(text: str) -> str:
    """Return a server's text on one line, shortened, without unprintable characters."""
    visible = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(visible[:_MAX_LENGTH].split())
