"""Error responses, in the form that huggingface_hub reads (see its hf_raise_for_status)."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse


class HubError(Exception):
    """An error response.

    Args:
        status: the HTTP status.
        message: the cause, for the body and for X-Error-Message.
        code: X-Error-Code, by which the client chooses its exception.
        commit: X-Repo-Commit. Clients cache that a file is missing in this commit.
        details: more members of the JSON body.
        location: where a redirect leads.
        retry_after: Retry-After, in seconds.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        commit: str | None = None,
        details: dict[str, Any] | None = None,
        location: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.commit = commit
        self.details = details or {}
        self.location = location
        self.retry_after = retry_after


def error_response(request: Request, error: Exception) -> JSONResponse:
    """Return the response of a HubError."""
    assert isinstance(error, HubError)
    # The message may quote the request, so replace characters that a header cannot contain.
    one_line = "".join(c if c.isascii() and c.isprintable() else "?" for c in error.message)
    headers = {"X-Error-Message": one_line}
    if error.code and request.app.state.hub.behavior.error_codes:
        headers["X-Error-Code"] = error.code
    if error.location:
        headers["Location"] = error.location
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.commit:
        headers["X-Repo-Commit"] = error.commit
    return JSONResponse({"error": error.message, **error.details}, error.status, headers)


def bad_request(message: str) -> HubError:
    """Return a 400: the request is malformed or impossible."""
    return HubError(400, message)


def unauthenticated() -> HubError:
    """Return a 401: the request needs a token and has none."""
    return HubError(401, "Invalid username or password.")


def forbidden(message: str) -> HubError:
    """Return a 403: the token does not allow the request."""
    return HubError(403, f"Forbidden: {message}")


def conflict(message: str, **details: Any) -> HubError:
    """Return a 409: the thing to create exists."""
    return HubError(409, message, details=details)


def moved(address: str) -> HubError:
    """Return a 307: the repo has another name now.

    Args:
        address: the same address with the new name, relative to the hub.
    """
    return HubError(307, f"Temporary Redirect. Redirecting to {address}", location=address)


def oauth(code: str, description: str) -> HubError:
    """Return a 400 in the form of OAuth (RFC 6749, section 5.2)."""
    return HubError(400, code, details={"error_description": description})


def repository_not_found(*, anonymous: bool) -> HubError:
    """Return a 404, or a 401 without a token: the repo is missing, or private and not theirs."""
    return HubError(401 if anonymous else 404, "Repository not found", code="RepoNotFound")


def gated(repository_id: str, *, anonymous: bool) -> HubError:
    """Return a 403, or a 401 without a token: the repo is gated."""
    message = f"Access to {repository_id} is restricted and you are not in the authorized list."
    return HubError(401 if anonymous else 403, message, code="GatedRepo")


def revision_not_found(revision: str) -> HubError:
    """Return a 404: there is no such branch, tag or commit."""
    return HubError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(message: str, *, commit: str | None = None) -> HubError:
    """Return a 404: the revision has no such file or folder."""
    return HubError(404, message, code="EntryNotFound", commit=commit)
