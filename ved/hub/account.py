"""Read the rights of a token, and check repos against them."""

import json
import logging
import re

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError

from ved.errors import ErrorCode, RequestError, VedError
from ved.hub.answers import MalformedAnswerError
from ved.hub.connections import NoAnswerError
from ved.hub.errors import translated_errors
from ved.hub.rights import WRITE, Rights, parse_rights

log = logging.getLogger("ved")


def known_rights(api: HfApi) -> Rights | None:
    """Return the rights of the token; None without a token, or if the Hub does not report them.

    Raises:
        RequestError: the token is not valid, or the Hub cannot be reached.
    """
    token = api.token or get_token()
    if token is None:
        return None
    return _read_rights(api, token)


def writing_rights(api: HfApi) -> Rights | None:
    """Return the rights of a token that has to write; None if the Hub does not report them.

    Raises:
        RequestError: there is no token, it is not valid, or it can only read; or the Hub cannot be
            reached.
    """
    rights = _read_rights(api, api.token or get_token())
    if rights is not None and rights.role == "read":
        raise RequestError(
            "The token can only read, so nothing can be published.",
            "Create a token with the role 'write' in the settings of the Hub.",
            code=ErrorCode.TOKEN_MAY_NOT_WRITE,
        )
    return rights


def _read_rights(api: HfApi, token: str | bool | None) -> Rights | None:
    """Return the rights of a token; None, with a warning, if the Hub has no useful answer."""
    if not isinstance(token, str):
        raise RequestError(
            "There is no token, so nothing can be published.",
            "Set the variable HF_TOKEN to a token that can write, or log in with hf auth login.",
            code=ErrorCode.NO_TOKEN,
        )
    if not re.fullmatch("[!-~]+", token):
        raise RequestError(
            "The token contains characters that no token has, such as a space or a line break.",
            "Copy the token again into the secret or variable that stores it.",
            code=ErrorCode.TOKEN_NOT_VALID,
        )
    try:
        with translated_errors("log in to the Hub"):
            return parse_rights(api.whoami())
    except VedError as error:
        if not _is_only_this_request(error):
            raise RequestError(error.cause, error.remedy, code=error.code) from error
        log.warning("%s The rights of the token are not checked.", error.cause)
        return None


def _is_only_this_request(error: VedError) -> bool:
    """Return whether other requests may succeed: the token may be valid, and the Hub answers."""
    cause = error.__cause__
    # If the endpoint is not a Hub at all, the next request says so.
    if isinstance(cause, MalformedAnswerError | json.JSONDecodeError):
        return True
    if isinstance(cause, NoAnswerError):
        return not cause.is_unreachable
    if isinstance(cause, HfHubHTTPError):
        return error.code != ErrorCode.TOKEN_NOT_VALID
    return False


def check_rights(repo: str, rights: Rights, permission: str = WRITE) -> None:
    """Check that the token may write to a repo, as far as the Hub reports it.

    Args:
        repo: owner/name.
        rights: the rights of the token.
        permission: the permission that a fine-grained token needs.

    Raises:
        VedError: the token certainly may not.
    """
    refusal = rights.refusal(repo, permission)
    if refusal is None:
        return
    namespace = repo.partition("/")[0]
    if namespace.lower() in rights.namespaces:  # a token for some repos, or not for collections
        raise VedError(
            f"The token may not write to {repo}: {refusal}.",
            f"Give the token the permission {permission} for {repo} or for all of {namespace}, or "
            "correct the name in the manifest.",
            code=ErrorCode.TOKEN_MAY_NOT_WRITE,
        )
    others = ", ".join(sorted(rights.namespaces))
    remedy = f"use a token that can write to {namespace}."
    if others:
        remedy = f"It may publish to {others}. Correct the name in the manifest, or {remedy}"
    raise VedError(
        f"The token may not publish to {namespace}: {refusal}.",
        remedy[0].upper() + remedy[1:],
        code=ErrorCode.TOKEN_MAY_NOT_WRITE,
    )


def check_allowed(repo: str, allowed: frozenset[str]) -> None:
    """Check that a repo is in a namespace that the user allows.

    Args:
        repo: owner/name.
        allowed: the namespaces of the input `allowed-namespaces`, in lower case.

    Raises:
        VedError: the repo is in another namespace.
    """
    namespace = repo.partition("/")[0]
    if namespace.lower() not in allowed:
        raise VedError(
            f"The input allowed-namespaces does not list {namespace}.",
            f"It lists {', '.join(sorted(allowed))}. Add {namespace}, or correct the manifest.",
            code=ErrorCode.NAMESPACE_NOT_ALLOWED,
        )
