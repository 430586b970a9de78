"""Explain the errors of hf_xet, which transfers large files between this machine and the storage.

hf_xet raises Python's own exceptions. Only their texts have the reason. They are those of release
1.8.0: https://github.com/huggingface/xet-core, hf_xet/src and xet_pkg/src/error.rs.
"""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import hf_xet

from ved.errors import ErrorCode
from ved.text import join_limited, quoted

_STATUS = re.compile(r"HTTP status \w+ error \((\d{3})")
_URL = re.compile(r"https?://[^\s()\"']+")
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
_TRUNCATED = "error decoding response body"

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 401, 403, 404, 429


class Transfer(NamedTuple):
    """A transfer by hf_xet.

    Attributes:
        files: the names of the files.
        storage: the URL of the storage.
        is_upload: whether the files are sent, not received.
    """

    files: Sequence[str]
    storage: str
    is_upload: bool

    @property
    def host(self) -> str:
        """The host of the storage."""
        return host_of(self.storage)


class StorageError(Exception):
    """A transfer by hf_xet failed.

    Args:
        cause: why, as the rest of a sentence.
        remedy: what to do, as sentences.
        code: the error code.
        is_truncated: whether an answer was truncated, so that another attempt may succeed.
    """

    def __init__(
        self, cause: str, remedy: str, code: ErrorCode, *, is_truncated: bool = False
    ) -> None:
        super().__init__(cause, remedy, code)
        self.cause = cause
        self.remedy = remedy
        self.code = code
        self.is_truncated = is_truncated


def explain(error: Exception, transfer: Transfer) -> Exception:
    """Return the error to raise in place of one of hf_xet's.

    Returns:
        an OSError with its number if this machine failed, such as a full disk; otherwise a
        StorageError.
    """
    text = str(error)
    number = _SYSTEM_ERROR.search(text)
    if number and not isinstance(error, ConnectionError):
        code = int(number[1])
        return OSError(code, os.strerror(code), ", ".join(transfer.files))
    url = _URL.search(text)
    host = host_of(url[0]) if url else transfer.host
    files = join_limited(transfer.files)
    action = f"sending {files} to the storage" if transfer.is_upload else f"reading {files}"
    reason = _reason(error, text, host, is_upload=transfer.is_upload)
    return StorageError(
        f"{action} failed, because {reason.cause}",
        reason.remedy,
        reason.code,
        is_truncated=_TRUNCATED in text,
    )


def host_of(url: str) -> str:
    """Return the host of a URL, for messages; a URL of the storage may have a signature."""
    try:
        return urlsplit(url).hostname or "of an unknown name"
    except ValueError:
        return "of an unknown name"


class _Reason(NamedTuple):
    """The parts of a StorageError. The cause is the rest of a sentence."""

    cause: str
    remedy: str
    code: ErrorCode


def _reason(error: Exception, text: str, host: str, *, is_upload: bool) -> _Reason:
    status = _STATUS.search(text)
    if status:
        return _status_reason(int(status[1]), host, is_upload=is_upload)
    if isinstance(error, hf_xet.XetAuthenticationError):
        return _status_reason(_UNAUTHORIZED, host, is_upload=is_upload)
    if isinstance(error, hf_xet.XetObjectNotFoundError):
        return _status_reason(_NOT_FOUND, host, is_upload=is_upload)
    if isinstance(error, TimeoutError):
        cause = f"the storage {host} takes too long to answer"
    elif _TRUNCATED in text:
        cause = f"the answer of the storage {host} was truncated"
    elif isinstance(error, ConnectionError):
        cause = f"the storage {host} cannot be reached"
    else:
        # Neither a token nor a signature: hf_xet quotes at most the URL of a request.
        detail = quoted(" ".join(re.sub(r"\?\S+", "", text).split()))
        cause = f"hf_xet reports an error of the storage {host} ({detail})"
    return _Reason(cause, _allow(host), ErrorCode.HUB_DOES_NOT_ANSWER)


def _status_reason(status: int, host: str, *, is_upload: bool) -> _Reason:
    if status == _UNAUTHORIZED:
        return _Reason(
            f"the storage {host} does not accept the token (status {status})",
            "Run again. If the error persists, create a new token in the settings of the Hub.",
            ErrorCode.TOKEN_NOT_VALID,
        )
    if status == _TOO_MANY:
        return _Reason(
            f"the storage {host} asks for fewer requests (status {status})",
            "Wait a few minutes and run again.",
            ErrorCode.RATE_LIMIT,
        )
    if status == _FORBIDDEN and is_upload:
        return _Reason(
            f"the storage {host} does not allow it (status {status})",
            f"Use a token that can write to this repo. {_allow(host)}",
            ErrorCode.TOKEN_MAY_NOT_WRITE,
        )
    if status == _NOT_FOUND and not is_upload:
        return _Reason(
            f"the storage {host} does not have the content (status {status})",
            f"Run again. If the error persists, the file is damaged on the Hub. {_allow(host)}",
            ErrorCode.DAMAGED_SOURCE,
        )
    cause = f"the storage {host} answers with status {status}"
    return _Reason(cause, _allow(host), ErrorCode.HUB_DOES_NOT_ANSWER)


def _allow(host: str) -> str:
    return (
        f"Check that this machine may connect to {host}, and run again. With HF_HUB_DISABLE_XET=1, "
        "large files are transferred without this storage."
    )
