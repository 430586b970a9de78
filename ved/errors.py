"""The errors that VED explains to users instead of printing a traceback.

Each error has a code, which is a heading of docs/troubleshooting.md.
"""

import errno
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from ved.text import MAX_MESSAGE, clean

TROUBLESHOOTING = "https://github.com/ved-action/ved/blob/main/docs/troubleshooting.md"

_MAX_PART = MAX_MESSAGE // 2 - 1
"""The most characters of an error's cause, and of its remedy."""


class ErrorCode(StrEnum):
    """The code of an error, and the anchor of its heading in docs/troubleshooting.md."""

    # Token and rights
    NO_TOKEN = "no-token"  # noqa: S105 - a heading, not a secret
    TOKEN_NOT_VALID = "token-not-valid"  # noqa: S105
    TOKEN_MAY_NOT_WRITE = "token-may-not-write"  # noqa: S105
    NAMESPACE_NOT_ALLOWED = "namespace-not-allowed"
    # Sources
    GATED_SOURCE = "gated-source"
    NO_SUCH_REPO = "no-such-repo"
    NO_SUCH_REVISION = "no-such-revision"
    NO_SUCH_DIRECTORY = "no-such-directory"
    LOCAL_FILE_REFUSED = "local-file-refused"
    NOT_A_CHECKPOINT = "not-a-checkpoint"
    CONFIG_NOT_USABLE = "config-not-usable"
    UNSUPPORTED_SETTINGS = "unsupported-settings"
    UNKNOWN_SETTINGS = "unknown-settings"
    UNSUPPORTED_FAMILY = "unsupported-family"
    TWIN_FAMILY = "twin-family"
    HALF_OF_A_MODEL = "half-of-a-model"
    UNSUPPORTED_WEIGHTS = "unsupported-weights"
    NO_USABLE_WEIGHTS = "no-usable-weights"
    SEVERAL_WEIGHT_FORMATS = "several-weight-formats"
    DAMAGED_SOURCE = "damaged-source"
    SOURCE_CHANGED = "source-changed"
    SOURCE_TOO_LARGE = "source-too-large"
    WEIGHTS_DO_NOT_FIT = "weights-do-not-fit"
    TOKEN_IDS = "token-ids"  # noqa: S105
    TOKEN_IDS_DIFFER = "token-ids-differ"  # noqa: S105
    PROCESSOR_NOT_USABLE = "processor-not-usable"
    EXAMINATION_FAILED = "examination-failed"
    NUMBER_TOO_LARGE = "number-too-large"
    RANDOM_PARAMETERS = "random-parameters"
    TIED_TENSORS = "tied-tensors"
    IMAGE_SIZE = "image-size"
    VOCABULARY_SIZE = "vocabulary-size"
    FEW_POSITIONS = "few-positions"
    LICENSE_UNCLEAR = "license-unclear"
    # Repo to publish to
    FOREIGN_REPO = "foreign-repo"
    REPO_MOVED = "repo-moved"
    REPO_DISABLED = "repo-disabled"
    STORAGE_REFUSED = "storage-refused"
    RESOURCE_GROUP = "resource-group"
    REPO_IS_ITS_OWN_SOURCE = "repo-is-its-own-source"
    CHANGED_SINCE = "changed-since"
    CHANGED_MEANWHILE = "changed-meanwhile"
    VISIBILITY_NOT_CHANGED = "visibility-not-changed"
    CHECK_FAILED = "check-failed"
    COLLECTION_NOT_CHANGED = "collection-not-changed"
    MODEL_CARD_REFUSED = "model-card-refused"
    SECRET_IN_CHECKPOINT = "secret-in-checkpoint"  # noqa: S105
    # The Hub
    HUB_DOES_NOT_ANSWER = "hub-does-not-answer"
    RATE_LIMIT = "rate-limit"
    ANSWER_TOO_LARGE = "answer-too-large"
    UNSAFE_REDIRECT = "unsafe-redirect"
    ENDPOINT_NOT_ENCRYPTED = "endpoint-not-encrypted"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    # The machine
    NOT_ENOUGH_DISK = "not-enough-disk"
    NOT_ENOUGH_MEMORY = "not-enough-memory"
    FILE_NOT_WRITABLE = "file-not-writable"
    DIRECTORY_IN_USE = "directory-in-use"
    # GitHub Actions
    EMPTY_TOKEN = "empty-token"  # noqa: S105
    ID_TOKEN_PERMISSION = "id-token-permission"  # noqa: S105
    TRUSTED_PUBLISHER = "trusted-publisher"
    PULL_REQUESTS_NEVER_PUBLISH = "pull-requests-never-publish"
    OUTSIDE_THE_WORKSPACE = "outside-the-workspace"
    JOB_WITHOUT_RESULTS = "job-without-results"
    RUN_ENDED_EARLY = "run-ended-early"
    # The request
    WRONG_INPUT = "wrong-input"
    NO_SUCH_PAIR = "no-such-pair"
    # The manifest
    WRONG_MANIFEST = "wrong-manifest"
    MANIFEST_NOT_READABLE = "manifest-not-readable"
    MANIFEST_TOO_LARGE = "manifest-too-large"
    YAML_SYNTAX = "yaml-syntax"
    DUPLICATE_KEY = "duplicate-key"
    UNKNOWN_KEY = "unknown-key"
    MISSING_KEY = "missing-key"
    WRONG_TYPE = "wrong-type"
    VALUE_NOT_ALLOWED = "value-not-allowed"
    REPO_WITHOUT_OWNER = "repo-without-owner"
    DUPLICATE_REPO = "duplicate-repo"
    TOO_MANY_PAIRS = "too-many-pairs"
    UNKNOWN_GRID_SOURCE = "unknown-grid-source"
    USELESS_GRID_ENTRY = "useless-grid-entry"
    SECRET_IN_MANIFEST = "secret-in-manifest"  # noqa: S105
    # Verification
    NO_BUILD_RECORD = "no-build-record"
    RECORD_NOT_READABLE = "record-not-readable"
    SOURCES_DIFFER = "sources-differ"
    LOCAL_SOURCE = "local-source"
    # VED itself
    LOCAL_HUB = "local-hub"
    VED_ITSELF_FAILED = "ved-itself-failed"

    @property
    def url(self) -> str:
        """The URL of the heading that explains the code."""
        return f"{TROUBLESHOOTING}#{self}"


class VedError(Exception):
    """An error that a user can fix. Its text is clean, whatever it quotes.

    Args:
        cause: what is wrong, and where, as one sentence.
        remedy: what to do, as one sentence; empty if the cause is enough.
        code: names the heading of docs/troubleshooting.md that explains the error.
    """

    def __init__(self, cause: str, remedy: str = "", *, code: ErrorCode) -> None:
        self.cause = clean(cause, _MAX_PART)
        self.remedy = clean(remedy, _MAX_PART)
        super().__init__(self.cause, self.remedy)
        self.code = code

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}".strip()

    @property
    def text(self) -> str:
        """Cause, remedy and the URL of the explanation, in one line."""
        return with_links(str(self), [self.code])


class RequestError(VedError):
    """The request is wrong, such as a bad manifest or an unknown repo name: exit status 2."""


def with_links(text: str, codes: Iterable[str]) -> str:
    """Append the URLs that explain the error codes to a message."""
    links = " and ".join(f"{TROUBLESHOOTING}#{code}" for code in codes if code)
    return f"{text} See {links}" if links else text


def describe_os_error(error: OSError) -> str:
    """Return the system's message for a failed read or write, with a file name but no path."""
    name = f" ({Path(error.filename).name})" if isinstance(error.filename, str) else ""
    return f"{str(error.strerror or error).rstrip('.')}{name}."


def as_ved_error(error: BaseException) -> VedError:
    """Convert an exception to an error with a cause, a remedy and a code.

    The caller logs the traceback of an unexpected exception.
    """
    if isinstance(error, VedError):
        return error
    if isinstance(error, FileExistsError | NotADirectoryError):
        return VedError(
            describe_os_error(error),
            "There is a file instead of a directory, or the reverse. Move it, or use another name.",
            code=ErrorCode.DIRECTORY_IN_USE,
        )
    if isinstance(error, OSError):
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        code = ErrorCode.NOT_ENOUGH_DISK if is_full else ErrorCode.FILE_NOT_WRITABLE
        return VedError(describe_os_error(error), code=code)
    return VedError(
        f"VED itself failed ({type(error).__name__}).",
        "Report it with this log.",
        code=ErrorCode.VED_ITSELF_FAILED,
    )
