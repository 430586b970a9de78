"""What huggingface_hub raises, in words that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

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

from ved.errors import VedError

UNAUTHORIZED, FORBIDDEN, CONFLICT, PRECONDITION_FAILED, TOO_MANY = 401, 403, 409, 412, 429


def status_of(error: requests.RequestException) -> int | None:
    """Return the status that the Hub answered with; None where it did not answer."""
    return None if error.response is None else error.response.status_code


@contextmanager
def explained(action: str, repo: str = "", *, writing: bool = False) -> Iterator[None]:
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
        ValueError,  # ids that cannot be, metadata of a card that the Hub refuses
        requests.RequestException,
    ) as error:
        cause, remedy = _explain(error, repo, writing)
        raise VedError(f"Cannot {action}: {cause}.", remedy) from error


def _explain(error: Exception, repo: str, writing: bool) -> tuple[str, str]:
    """Return a cause and a remedy."""
    # A failed download is reported as a file missing from the cache; what failed is its cause.
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return _explain(error.__cause__, repo, writing)
    if isinstance(error, GatedRepoError):
        return (
            "it is gated, and this token has no access",
            f"Accept its terms at its page ({repo}) with the account that owns the token.",
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            "there is no such repo, or it is private and this token may not see it",
            f"Check the spelling of {repo!r}; a private repo needs a token with access to it.",
        )
    if isinstance(error, RevisionNotFoundError):
        return "there is no such revision", "Name a branch, a tag or a commit of the repo."
    if isinstance(error, EntryNotFoundError):
        return "a file is not there", "The source may be incomplete, or have changed meanwhile."
    if isinstance(error, LocalTokenNotFoundError):
        return "there is no token", "Give one with the input token or the variable HF_TOKEN."
    if isinstance(error, ValueError) and not isinstance(error, requests.RequestException):
        return " ".join(str(error).split()).rstrip("."), ""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _explain_status(error, error.response.status_code, writing)
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set", "Unset it; publishing needs the Hub."
    return "the Hub does not answer", "Check the endpoint and the network, and run again."


def _explain_status(error: requests.HTTPError, status: int, writing: bool) -> tuple[str, str]:
    message = getattr(error, "server_message", None)
    said = f" ({message.strip()})" if message else ""
    if status == UNAUTHORIZED:
        return f"the token is not valid{said}", "Make a new one in the Hub's settings."
    if status == FORBIDDEN:
        remedy = (
            "Use a token that can write to this namespace."
            if writing
            else "Give the token the right to read it; a fine-grained token names what it can read."
        )
        return f"the token may not do that{said}", remedy
    if status == CONFLICT:
        return (
            "it exists: somebody made it meanwhile, or this token may not see it",
            "Run again; if it stays, choose another name, or use a token with access to it.",
        )
    if status == PRECONDITION_FAILED:
        return "somebody else committed to it meanwhile", "Nothing was changed; run again."
    if status == TOO_MANY:
        return "the Hub asks for fewer requests", "Wait a few minutes and run again."
    if isinstance(error, BadRequestError):
        return f"the Hub refuses it{said}", "Correct what it names in the manifest."
    return f"the Hub answers with status {status}{said}", "Run again; if it stays, the Hub is ill."
