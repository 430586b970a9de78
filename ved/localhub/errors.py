"""The ways in which a Hub says no, as huggingface_hub reads them (its hf_raise_for_status)."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse


class HubError(Exception):
    """An answer other than success.

    Args:
        status: the HTTP status.
        message: what is wrong; goes into the body and into X-Error-Message.
        code: X-Error-Code, from which the client chooses its exception.
        commit: X-Repo-Commit, which lets a client remember that a file is missing there.
        details: further members of the JSON body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        commit: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.commit = commit
        self.details = details or {}


def error_response(_request: Request, error: Exception) -> JSONResponse:
    """Turn a HubError into the response it stands for."""
    assert isinstance(error, HubError)
    # The message may quote the request, so whatever cannot stand in a header line is replaced.
    one_line = "".join(c if c.isascii() and c.isprintable() else "?" for c in error.message)
    headers = {"X-Error-Message": one_line}
    if error.code:
        headers["X-Error-Code"] = error.code
    if error.commit:
        headers["X-Repo-Commit"] = error.commit
    return JSONResponse({"error": error.message, **error.details}, error.status, headers)


def bad_request(message: str) -> HubError:
    """Answer 400: the request is malformed or asks for something impossible."""
    return HubError(400, message)


def unauthenticated() -> HubError:
    """Answer 401: a token is needed and there is none."""
    return HubError(401, "Invalid username or password.")


def forbidden(message: str) -> HubError:
    """Answer 403: the token is good, but not for this."""
    return HubError(403, f"Forbidden: {message}")


def conflict(message: str, **details: Any) -> HubError:
    """Answer 409: what was to be created exists already."""
    return HubError(409, message, details=details)


def oauth(code: str, description: str) -> HubError:
    """Answer 400 in the form of OAuth (RFC 6749, section 5.2)."""
    return HubError(400, code, details={"error_description": description})


def repository_not_found(*, anonymous: bool) -> HubError:
    """Answer 404, or 401 to the anonymous: missing, or private and not theirs to know about."""
    return HubError(401 if anonymous else 404, "Repository not found", code="RepoNotFound")


def gated(repository_id: str, *, anonymous: bool) -> HubError:
    """Answer 403, or 401 to the anonymous: the files of a gated repo are not for everyone."""
    message = f"Access to {repository_id} is restricted and you are not in the authorized list."
    return HubError(401 if anonymous else 403, message, code="GatedRepo")


def revision_not_found(revision: str) -> HubError:
    """Answer 404: no such branch, tag, pull request or commit."""
    return HubError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(message: str, *, commit: str | None = None) -> HubError:
    """Answer 404: the revision has no such file or folder."""
    return HubError(404, message, code="EntryNotFound", commit=commit)
