"""What huggingface_hub raises, in words that say what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import requests
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetAuthorizationError,
    XetRefreshTokenError,
)

from ved.errors import ErrorCode, VedError

UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 401, 403, 404
CONFLICT, PRECONDITION_FAILED, TOO_MANY = 409, 412, 429


def status_of(error: requests.RequestException) -> int | None:
    """Return the status that the Hub answered with; None where it did not answer."""
    return None if error.response is None else error.response.status_code


MALFORMED = (AttributeError, LookupError, TypeError)
"""What comes of reading an answer that is not in the Hub's form."""


def is_not_found(error: BaseException | None) -> bool:
    """Whether the Hub has answered that a repo, a revision or a file is not there."""
    # A failed download is reported as a file missing from the cache; what failed is its cause.
    failed = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
    return isinstance(failed, requests.RequestException) and status_of(failed) == NOT_FOUND


class UploadError(Exception):
    """A file could not be uploaded; its cause says why."""


@contextmanager
def translated_errors(action: str, repo: str = "", *, writing: bool = False) -> Iterator[None]:
    """Turn what huggingface_hub raises inside into a VedError.

    Args:
        action: what is being done, as the rest of a sentence that begins "Cannot".
        repo: the repo it is done to, for remedies that name it.
        writing: whether it takes the right to write.
    """
    try:
        yield
    except (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        XetAuthorizationError,
        XetRefreshTokenError,
        ConnectionError,  # from the uploads of hf_xet
        UploadError,
        ValueError,  # ids that cannot be, metadata of a card that the Hub refuses
        requests.RequestException,
        *MALFORMED,
    ) as error:
        why = _explain(error, repo, writing)
        raise VedError(f"Cannot {action}: {why.cause}.", why.remedy, code=why.code) from error


class _Why(NamedTuple):
    """The parts of a VedError, of which the cause is the end of its sentence."""

    cause: str
    remedy: str = ""
    code: ErrorCode = ErrorCode.HUB_DOES_NOT_ANSWER


def _explain(error: Exception, repo: str, writing: bool) -> _Why:
    # A failed download is reported as a file missing from the cache; what failed is its cause.
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return _explain(error.__cause__, repo, writing)
    if isinstance(error, UploadError):
        return _explain_upload(error, repo, writing)
    if isinstance(error, GatedRepoError):
        return _Why(
            "it is gated, and this token has no access",
            f"Accept its terms at its page ({repo}) with the account that owns the token.",
            code=ErrorCode.GATED_SOURCE,
        )
    if isinstance(error, RepositoryNotFoundError):
        return _Why(
            "there is no such repo, or it is private and this token may not see it",
            f"Check the spelling of {repo!r}; a private repo needs a token with access to it.",
            code=ErrorCode.NO_SUCH_REPO,
        )
    if isinstance(error, RevisionNotFoundError):
        return _Why(
            "there is no such revision",
            "Name a branch, a tag or a commit of the repo.",
            code=ErrorCode.NO_SUCH_REVISION,
        )
    if isinstance(error, EntryNotFoundError):
        return _Why(
            "a file is not there",
            "The source may be incomplete, or have changed meanwhile.",
            code=ErrorCode.DAMAGED_SOURCE,
        )
    if isinstance(error, LocalTokenNotFoundError):
        remedy = "Give one with the input token or the variable HF_TOKEN."
        return _Why("there is no token", remedy, code=ErrorCode.NO_TOKEN)
    if isinstance(error, MALFORMED):
        return _Why(
            "the answer is not in the Hub's form",
            "Check that the endpoint is a Hub.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        )
    if isinstance(error, ValueError) and not isinstance(error, requests.RequestException):
        return _Why(" ".join(str(error).split()).rstrip("."), code=ErrorCode.HUB_DOES_NOT_ANSWER)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _explain_status(error, error.response.status_code, writing)
    if isinstance(error, OfflineModeIsEnabled):
        remedy = "Unset it; publishing needs the Hub."
        return _Why("HF_HUB_OFFLINE is set", remedy, code=ErrorCode.HUB_DOES_NOT_ANSWER)
    remedy = "Check the endpoint and the network, and run again."
    answered = re.search(r"HTTP status \w+ error \((\d{3})", str(error))
    if answered and isinstance(error, ConnectionError):  # hf_xet has no error of its own for it
        cause = f"the Hub's storage answers with status {answered[1]}"
        return _Why(
            cause, "Run again; if it stays, the Hub is ill.", code=ErrorCode.HUB_DOES_NOT_ANSWER
        )
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return _Why("the connection breaks off", remedy, code=ErrorCode.HUB_DOES_NOT_ANSWER)
    return _Why("the Hub does not answer", remedy, code=ErrorCode.HUB_DOES_NOT_ANSWER)


def _explain_upload(error: UploadError, repo: str, writing: bool) -> _Why:
    cause = error.__cause__
    if isinstance(cause, BadRequestError):
        return _Why(
            "a file did not arrive as it was sent", "Run again.", ErrorCode.HUB_DOES_NOT_ANSWER
        )
    assert isinstance(cause, Exception)
    return _explain(cause, repo, writing)


def _explain_status(error: requests.HTTPError, status: int, writing: bool) -> _Why:
    message = " ".join((getattr(error, "server_message", None) or "").split())
    said = f" ({message})" if message else ""
    if status == UNAUTHORIZED:
        remedy = "Make a new one in the Hub's settings."
        return _Why(f"the token is not valid{said}", remedy, code=ErrorCode.TOKEN_NOT_VALID)
    if status == FORBIDDEN:
        remedy = (
            "Use a token that can write to this namespace."
            if writing
            else "Give the token the right to read it; a fine-grained token names what it can read."
        )
        return _Why(
            f"the token may not do that{said}",
            remedy,
            code=ErrorCode.TOKEN_MAY_NOT_WRITE if writing else ErrorCode.GATED_SOURCE,
        )
    if status == CONFLICT:
        return _Why(
            "it exists: somebody made it meanwhile, or this token may not see it",
            "Run again; if it stays, choose another name, or use a token with access to it.",
            code=ErrorCode.CHANGED_MEANWHILE,
        )
    if status == PRECONDITION_FAILED:
        return _Why(
            "somebody else committed to it meanwhile",
            "Nothing was changed; run again.",
            code=ErrorCode.CHANGED_MEANWHILE,
        )
    if status == TOO_MANY:
        remedy = "Wait a few minutes and run again."
        return _Why("the Hub asks for fewer requests", remedy, code=ErrorCode.RATE_LIMIT)
    if isinstance(error, BadRequestError):
        remedy = "Correct what it names in the manifest."
        return _Why(f"the Hub refuses it{said}", remedy, code=ErrorCode.MODEL_CARD_REFUSED)
    return _Why(
        f"the Hub answers with status {status}{said}",
        "Run again; if it stays, the Hub is ill.",
        code=ErrorCode.HUB_DOES_NOT_ANSWER,
    )
