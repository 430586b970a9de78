"""Find out which namespaces a token can publish to."""

import re

from huggingface_hub import (
    HfApi,
    get_token,
)

from ved.errors import ErrorCode, RequestError, VedError
from ved.hub.errors import translated_errors


def known_namespaces(api: HfApi) -> frozenset[str] | None:
    """Return what `writable_namespaces` does, or None where there is no token.

    Raises:
        RequestError: the token is not valid.
    """
    token = api.token or get_token()
    if token is None:
        return None
    return writable_namespaces(api, must_write=False)


def writable_namespaces(api: HfApi, *, must_write: bool = True) -> frozenset[str]:
    """Return the user and the organisations that the token can publish to, in lower case.

    Args:
        must_write: whether a token that can only read is refused; otherwise its account counts.

    Raises:
        RequestError: there is no token, or it is not valid, or can only read.
    """
    token = api.token or get_token()
    if not isinstance(token, str):
        raise RequestError(
            "There is no token, so nothing can be published.",
            "Give one that can write: the action's input token, or the variable HF_TOKEN.",
            code=ErrorCode.NO_TOKEN,
        )
    if not re.fullmatch("[!-~]+", token):
        raise RequestError(
            "The token has characters that no token has, such as a space or a line break.",
            "Paste it anew where it is kept.",
            code=ErrorCode.TOKEN_NOT_VALID,
        )
    try:
        with translated_errors("log in to the Hub"):
            account = api.whoami()
    except VedError as error:
        raise RequestError(error.cause, error.remedy, code=error.code) from error
    try:
        role = account["auth"]["accessToken"].get("role")
        writable = [each for each in account["orgs"] if each.get("roleInOrg") != "read"]
        names = frozenset(each["name"].lower() for each in (account, *writable))
    except (AttributeError, KeyError, TypeError) as error:
        raise RequestError(
            "The Hub does not say in its own form whose token this is.",
            "Check the endpoint.",
            code=ErrorCode.HUB_DOES_NOT_ANSWER,
        ) from error
    if role == "read" and must_write:
        raise RequestError(
            "The token can only read, so nothing can be published.",
            "Make one with the role 'write' in the Hub's settings.",
            code=ErrorCode.TOKEN_MAY_NOT_WRITE,
        )
    return names


def check_namespace(repo: str, namespaces: frozenset[str]) -> None:
    """Make sure that a repo is in a namespace that the token can publish to.

    Raises:
        VedError: it is not.
    """
    namespace = repo.partition("/")[0]
    if namespace.lower() not in namespaces:
        raise VedError(
            f"The token may not publish to {namespace}.",
            f"It may publish to {', '.join(sorted(namespaces))}: check the name in the manifest, "
            "or use a token of a member.",
            code=ErrorCode.TOKEN_MAY_NOT_WRITE,
        )


def check_allowed(repo: str, allowed: frozenset[str]) -> None:
    """Make sure that a repo is in a namespace that the user allows.

    Raises:
        VedError: it is not.
    """
    namespace = repo.partition("/")[0]
    if namespace.lower() not in allowed:
        raise VedError(
            f"Publishing to {namespace} is not allowed here.",
            f"The input allowed-namespaces has {', '.join(sorted(allowed))}.",
            code=ErrorCode.NAMESPACE_NOT_ALLOWED,
        )
