"""Write the files of a step: outputs, job summary, and files in the workspace."""

import os
import secrets
from pathlib import Path

from ved.action.workflow_commands import UNENCODABLE
from ved.errors import ErrorCode, RequestError, describe_os_error

SUMMARY_BYTES = 1_000_000
"""A little below the 1 MiB that the runner takes of a step."""


def path_in_workspace(what: str, name: str) -> Path:
    """Return the path that a file's name means.

    Raises:
        RequestError: it is outside the workspace.
    """
    path = Path(name).resolve()
    if not path.is_relative_to(Path.cwd().resolve()):
        raise RequestError(
            f"The {what} file {name!r} is outside the workspace.",
            "Name one inside of it.",
            code=ErrorCode.OUTSIDE_THE_WORKSPACE,
        )
    return path


def write_file(what: str, name: str, content: str) -> None:
    """Write a file of the workspace, where one is named.

    Raises:
        RequestError: it is outside the workspace, or cannot be written.
    """
    if not name:
        return
    path = path_in_workspace(what, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise RequestError(
            f"The {what} file cannot be written: {describe_os_error(error)}",
            code=ErrorCode.FILE_NOT_WRITABLE,
        ) from error


def set_output(name: str, value: str) -> None:
    """Set an output of the step; the value cannot end it early and begin another."""
    delimiter = f"ved-{secrets.token_hex(16)}"
    _append("GITHUB_OUTPUT", f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def write_summary(markdown: str) -> None:
    """Write the job summary, cut at a line where the runner would refuse the whole of it."""
    summary = f"## VED\n\n{markdown}\n"
    encoded = summary.encode(errors=UNENCODABLE)
    if len(encoded) > SUMMARY_BYTES:
        kept = encoded[:SUMMARY_BYTES].decode(errors="ignore")
        summary = kept.rpartition("\n")[0] + "\n\nThere is more; the log has it all.\n"
    _append("GITHUB_STEP_SUMMARY", summary)


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable)
    if path:
        with Path(path).open("a", encoding="utf-8", errors=UNENCODABLE) as file:
            file.write(text)
