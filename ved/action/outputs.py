"""Write the outputs and the job summary of a step.

Source of the format: https://docs.github.com/actions/reference/workflow-commands-for-github-actions#environment-files.
"""

import os
import secrets
from pathlib import Path

from ved.action.log import UNENCODABLE
from ved.errors import ErrorCode, RequestError, describe_os_error

SUMMARY_BYTES = 1_000_000
"""The longest summary in bytes: a little less than 1 MiB, from which on the runner rejects it."""

OUTPUT_BYTES = 900_000
"""The longest output in bytes: a little less than 1 MB, from which on the runner rejects it."""


def set_output(name: str, value: str) -> None:
    """Set an output of the step.

    Raises:
        RequestError: the runner's file cannot be written.
    """
    # Nobody can guess the delimiter, so the value cannot end early and begin another output.
    delimiter = f"ved-{secrets.token_hex(16)}"
    _append("GITHUB_OUTPUT", f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def write_summary(markdown: str) -> None:
    """Write the job summary; a longer one than the runner accepts is truncated after a line.

    Raises:
        RequestError: the runner's file cannot be written.
    """
    summary = f"## VED\n\n{markdown}\n"
    encoded = summary.encode(errors=UNENCODABLE)
    if len(encoded) > SUMMARY_BYTES:
        kept = encoded[:SUMMARY_BYTES].decode(errors="ignore")
        summary = kept.rpartition("\n")[0] + "\n\nThis summary is truncated; see the log.\n"
    _append("GITHUB_STEP_SUMMARY", summary)


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8", errors=UNENCODABLE) as file:
            file.write(text)
    except OSError as error:
        raise RequestError(
            f"The file that {variable} names cannot be written: {describe_os_error(error)}",
            "Run the action as the user that the runner starts it with: root, in a container.",
            code=ErrorCode.FILE_NOT_WRITABLE,
        ) from error
