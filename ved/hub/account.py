"""Find out which namespaces a token can publish to, and check repos against them."""

import re

from huggingface_hub import HfApi, get_token

from ved.errors import ErrorCode, RequestError, VedError
from ved.hub.answers import parse_account
from ved.hub.errors import translated_errors


def known_namespaces(api: HfApi) -> frozenset[str] | None:
    """Return the namespaces of the token's account; None without a token.

    Includes the namespaces of a token that can only read.

    Raises:
        RequestError: the token is not valid, or the Hub does not answer.
    """
    token = api.token or get_token()
    if token is None:
        return None
    return writable_namespaces(api, must_write=False)


def writable_namespaces(api: HfApi, *, must_write: bool = True) -> frozenset[str]:
    """Return the user and the organizations that the token can publish to, in lower case.

    Args:
        api: the client.
        must_write: whether to refuse a token that can only read.

    Raises:
        RequestError: there is no token, it is not valid, or it can only read; or the Hub does not
            answer.
    """
    token = api.token or get_token()
    if not isinstance(token, str):
        raise RequestError(
            "There is no token, so nothing can be published.",
            "Set the action's input token or the variable HF_TOKEN to a token that can write.",
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
            account = parse_account(api.whoami())
    except VedError as error:
        raise RequestError(error.cause, error.remedy, code=error.code) from error
    if account.role == "read" and must_write:
        raise RequestError(
            "The token can only read, so nothing can be published.",
            "Create a token with the role 'write' in the settings of the Hub.",
            code=ErrorCode.TOKEN_MAY_NOT_WRITE,
        )
    return frozenset(name.lower() for name in (account.name, *account.writable_organizations))


def check_namespace(repo: str, namespaces: frozenset[str]) -> None:
    """Check that a repo is in a namespace that the token can publish to.

    Args:
        repo: owner/name.
        namespaces: as `writable_namespaces` returns them.

    Raises:
        VedError: the repo is in another namespace.
    """
    namespace = repo.partition("/")[0]
    if namespace.lower() not in namespaces:
        raise VedError(
            f"The token may not publish to {namespace}.",
            f"It may publish to {', '.join(sorted(namespaces))}. Correct the name in the manifest, "
            f"or use the token of a member of {namespace}.",
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
