"""Explain why the Hub refuses a write with 403: not every reason is the token.

The Hub has no code for these reasons, so the words of its answer decide. Source: answers that its
users quote in issues of huggingface_hub.
"""

import re

from ved.errors import ErrorCode

_DISABLED = r"\bdisabled\b"

_REASONS = (
    (
        r"storage",
        "the Hub refuses to store more",
        "Do what the Hub says: free storage, ask for more, or make the repo public.",
        ErrorCode.STORAGE_REFUSED,
    ),
    (
        r"resource[ -]?group",
        "the organization demands a resource group",
        "Create the repo on the Hub's website, in a resource group, and run again.",
        ErrorCode.RESOURCE_GROUP,
    ),
    (
        _DISABLED,
        "the Hub has disabled the repo",
        "Read the reason on the repo's page, or choose another name.",
        ErrorCode.REPO_DISABLED,
    ),
    (
        r"read[ -]?only",
        "the token can only read",
        "Use a token that can write to this namespace. If the workflow publishes without a stored "
        "token, its trusted publisher must not be read-only.",
        ErrorCode.TOKEN_MAY_NOT_WRITE,
    ),
)


def is_disabled(message: str) -> bool:
    """Return whether the Hub says that a repo is disabled, which refuses reads, too."""
    return re.search(_DISABLED, message, re.IGNORECASE) is not None


def explain(message: str) -> tuple[str, str, ErrorCode]:
    """Return cause, remedy and code of a refused write.

    Args:
        message: the text of the answer, which may be empty. It is part of the cause.
    """
    detail = f" ({message})" if message else ""
    for pattern, cause, remedy, code in _REASONS:
        if re.search(pattern, message, re.IGNORECASE):
            return f"{cause}{detail}", remedy, code
    return (
        f"the token may not do that{detail}",
        "Use a token that can write to this namespace.",
        ErrorCode.TOKEN_MAY_NOT_WRITE,
    )
