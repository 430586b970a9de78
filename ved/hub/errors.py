"""Translate errors of huggingface_hub and of the network into VED's: a cause and a remedy."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ved.errors import ErrorCode, VedError
from ved.hub import forbidden, rate_limits
from ved.hub.addresses import is_loopback
from ved.hub.answers import MalformedAnswerError, RefusedAnswerError
from ved.hub.xet_errors import StorageError
from ved.text import clean, quoted

UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 401, 403, 404
CONFLICT, PRECONDITION_FAILED, TOO_MANY = 409, 412, 429

RETRY_LATER = "Run again. If the error persists, check https://status.huggingface.co."


class UploadError(Exception):
    """A file could not be uploaded. The cause of this exception is the reason."""


_TRANSLATED = (
    HfHubHTTPError,
    FileMetadataError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    ConnectionError,
    StorageError,
    UploadError,
    MalformedAnswerError,
    RefusedAnswerError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
)

_BAD_ADDRESSES = (httpx2.TooManyRedirects, httpx2.UnsupportedProtocol, httpx2.InvalidURL)
"""Errors about an address that the Hub named: VED checks the endpoint before the first request."""

_CLIENT_ERRORS = (AttributeError, LookupError, OSError, TypeError, ValueError)
"""The exceptions of huggingface_hub for answers that it cannot parse, and for ids and cards that it
refuses. The same error of VED's own code is a programming error."""


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status of the answer; None if the error is another one."""
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def is_not_found(error: BaseException | None) -> bool:
    """Return whether the Hub answered that a repo, a revision or a file does not exist."""
    # huggingface_hub reports a failed download as a file that is missing in its cache.
    failed = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
    return status_of(failed) == NOT_FOUND


@contextmanager
def translated_errors(action: str, repo: str = "", *, writing: bool = False) -> Iterator[None]:
    """Raise errors of huggingface_hub and of the network inside the block as VedErrors.

    Programming errors of VED pass through as they are.

    Args:
        action: what the block does, as the rest of a sentence that begins "Cannot".
        repo: the repo that the block is about, for remedies that name it.
        writing: whether the block needs the right to write.

    Raises:
        VedError: the translated error.
    """
    try:
        yield
    except (*_TRANSLATED, *_CLIENT_ERRORS) as error:
        is_of_system = isinstance(error, OSError) and error.errno is not None
        if not isinstance(error, _TRANSLATED) and (is_of_system or not _is_raised_by_client(error)):
            raise
        why = _explain(error, repo, writing)
        raise VedError(f"Cannot {action}: {why.cause}.", why.remedy, code=why.code) from error


def _is_raised_by_client(error: Exception) -> bool:
    """Return whether huggingface_hub, or a library that it called, raised an error."""
    modules = [
        str(frame.f_globals.get("__name__")).partition(".")[0]
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    innermost = [name for name in modules if name in ("ved", "huggingface_hub")][-1:]
    return innermost == ["huggingface_hub"]


class _Why(NamedTuple):
    """The parts of a VedError. The cause is the rest of a sentence."""

    cause: str
    remedy: str
    code: ErrorCode


def _explain(error: BaseException, repo: str, writing: bool) -> _Why:
    if isinstance(error, LocalEntryNotFoundError | UploadError) and error.__cause__ is not None:
        if isinstance(error, UploadError) and isinstance(error.__cause__, BadRequestError):
            return _Why(
                "the Hub received other bytes of a file than VED sent",
                "Run again.",
                ErrorCode.HUB_DOES_NOT_ANSWER,
            )
        # huggingface_hub reports a failed download as a file that is missing in its cache.
        return _explain(error.__cause__, repo, writing)
    if isinstance(error, RefusedAnswerError | StorageError):
        return _Why(error.cause, error.remedy, error.code)
    if isinstance(error, _BAD_ADDRESSES):
        return _Why(
            f"the redirects of the Hub do not end, or lead to no address ({quoted(str(error))})",
            "Check the endpoint.",
            ErrorCode.UNSAFE_REDIRECT,
        )
    if isinstance(error, LocalTokenNotFoundError):
        return _Why(
            "there is no token",
            "Set the variable HF_TOKEN, or log in with hf auth login.",
            ErrorCode.NO_TOKEN,
        )
    if isinstance(error, OfflineModeIsEnabled):
        return _Why(
            "HF_HUB_OFFLINE is set",
            "Unset it: VED needs the Hub.",
            ErrorCode.HUB_DOES_NOT_ANSWER,
        )
    if isinstance(error, RepositoryNotFoundError | RevisionNotFoundError | EntryNotFoundError):
        return _explain_not_found(error, repo)
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error, error.response.status_code, writing)
    if isinstance(error, httpx2.HTTPError | ConnectionError):
        return _explain_connection(error)
    if isinstance(error, ValueError):
        return _explain_value(error)
    malformed = (MalformedAnswerError, FileMetadataError, AttributeError, LookupError, TypeError)
    if isinstance(error, malformed):
        return _malformed(error)
    if type(error) is OSError:  # huggingface_hub raises it for a file of another size
        return _Why(
            "the Hub sent another number of bytes than it reports",
            RETRY_LATER,
            ErrorCode.HUB_DOES_NOT_ANSWER,
        )
    return _explain_connection(error)


def _malformed(error: BaseException) -> _Why:
    detail = quoted(f"{type(error).__name__}: {error}")
    return _Why(
        f"the answer does not have the form of a Hub's answers ({detail})",
        "Check that the endpoint is the address of a Hub.",
        ErrorCode.HUB_DOES_NOT_ANSWER,
    )


def _explain_value(error: ValueError) -> _Why:
    """Explain a value that huggingface_hub refuses before it asks the Hub."""
    message = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, HFValidationError):
        return _Why(message, "Write the id as OWNER/NAME.", ErrorCode.NO_SUCH_REPO)
    if message.startswith("Invalid metadata in README.md"):
        return _Why(message, "Correct the manifest.", ErrorCode.MODEL_CARD_REFUSED)
    return _malformed(error)


def _explain_connection(error: BaseException) -> _Why:
    cause = "the Hub does not answer"
    if isinstance(error, httpx2.RemoteProtocolError):
        cause = "the connection was cut"
    remedy = "Check the endpoint and the network, and run again."
    if is_loopback(constants.ENDPOINT):
        remedy = (
            f"Check that a Hub runs at {quoted(constants.ENDPOINT)}. In a container, this address "
            "is the container itself, and not its host: from a bridge network, a container does "
            "not reach a Hub that listens on the loopback of its host."
        )
    return _Why(cause, remedy, ErrorCode.HUB_DOES_NOT_ANSWER)


def _explain_not_found(error: BaseException, repo: str) -> _Why:
    if isinstance(error, GatedRepoError):
        return _Why(
            "it is gated, and access to it is missing",
            f"Accept its terms on its page ({repo}), and use a token of the account that accepts.",
            ErrorCode.GATED_SOURCE,
        )
    if isinstance(error, RepositoryNotFoundError):
        return _Why(
            "there is no such repo, or it is private",
            f"Check the spelling of {repo!r}; a private repo needs a token with access to it.",
            ErrorCode.NO_SUCH_REPO,
        )
    if isinstance(error, RevisionNotFoundError):
        return _Why(
            "there is no such revision",
            "Name a branch, a tag or a commit of the repo.",
            ErrorCode.NO_SUCH_REVISION,
        )
    return _Why(
        "a file is missing",
        "The source may be incomplete, or somebody changed it meanwhile.",
        ErrorCode.DAMAGED_SOURCE,
    )


def _explain_status(error: HfHubHTTPError, status: int, writing: bool) -> _Why:
    message = clean(" ".join((error.server_message or "").split()), 1000)
    detail = f" ({message})" if message else ""
    if status == UNAUTHORIZED:
        return _Why(
            f"the token is not valid{detail}",
            "Create a new token in the settings of the Hub.",
            ErrorCode.TOKEN_NOT_VALID,
        )
    if status == FORBIDDEN and (writing or forbidden.is_disabled(message)):
        return _Why(*forbidden.explain(message))
    if status == FORBIDDEN:
        return _Why(
            f"the token may not do that{detail}",
            "Give the token the right to read it; a fine-grained token lists what it can read.",
            ErrorCode.GATED_SOURCE,
        )
    if status == CONFLICT:
        return _Why(
            "it exists: somebody created it meanwhile, or this token has no access to it",
            "Run again. If the error persists, choose another name, or use a token with access.",
            ErrorCode.CHANGED_MEANWHILE,
        )
    if status == PRECONDITION_FAILED:
        return _Why(
            "somebody else committed to it meanwhile",
            "Nothing was changed; run again.",
            ErrorCode.CHANGED_MEANWHILE,
        )
    if status == TOO_MANY:
        return _Why(*rate_limits.explain(error), ErrorCode.RATE_LIMIT)
    if isinstance(error, BadRequestError):
        return _Why(
            f"the Hub refuses it{detail}",
            "Correct the value that the Hub names, in the manifest.",
            ErrorCode.MODEL_CARD_REFUSED,
        )
    cause = f"the Hub answers with status {status}{detail}"
    return _Why(cause, RETRY_LATER, ErrorCode.HUB_DOES_NOT_ANSWER)
