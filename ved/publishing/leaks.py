"""Keep the secrets of a run out of what it publishes."""

import os
from collections.abc import Iterable
from pathlib import Path

from ved.errors import ErrorCode, VedError
from ved.record import MAX_GIT_BLOB_BYTES
from ved.redaction import KNOWN, environment_secrets


def check_no_secret(directory: Path, message: str, tokens: Iterable[str | bool | None]) -> None:
    """Check that neither a small file nor the message has a secret.

    A Hub could repeat a token in a source's file.

    Args:
        directory: the files.
        message: the commit's message.
        tokens: the tokens that the commit needs; all other secrets of the process count, too.

    Raises:
        VedError: a file or the message has a secret.
    """
    for secret in (*environment_secrets(os.environ), *tokens):
        if isinstance(secret, str):
            KNOWN.add(secret)
    if KNOWN.is_in(message.encode()):
        raise _secret_error("The commit message")
    for path in sorted(directory.iterdir()):
        is_small = path.stat().st_size <= MAX_GIT_BLOB_BYTES
        if KNOWN.is_in(path.name.encode()) or (is_small and KNOWN.is_in(path.read_bytes())):
            raise _secret_error(path.name)


def _secret_error(place: str) -> VedError:
    return VedError(
        f"{place} contains a secret of this run, such as the token that it would be published "
        "with.",
        "Find out where the source got it, and revoke the secret.",
        code=ErrorCode.SECRET_IN_CHECKPOINT,
    )
