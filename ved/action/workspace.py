"""Write files to the workspace, for later steps of the job."""

from pathlib import Path

from ved.errors import ErrorCode, RequestError, describe_os_error


def check_in_workspace(kind: str, name: str) -> None:
    """Check that a file is inside the workspace, which is the working directory.

    Args:
        kind: the purpose of the file, such as "results".
        name: its path; symbolic links in it are followed.

    Raises:
        RequestError: the file is outside the workspace, or links in its path form a circle.
    """
    path = _resolve(Path(name))
    if path is None:
        raise RequestError(
            f"The {kind} file {name!r} cannot be written: its symbolic links form a circle.",
            "Give another path inside the workspace.",
            code=ErrorCode.FILE_NOT_WRITABLE,
        )
    if not path.is_relative_to(Path.cwd().resolve()):
        raise RequestError(
            f"The {kind} file {name!r} is outside the workspace.",
            "Give a path inside the workspace.",
            code=ErrorCode.OUTSIDE_THE_WORKSPACE,
        )


def write_file(kind: str, name: str, content: str) -> None:
    """Write a file and its directories to the workspace; do nothing if the name is empty.

    Raises:
        RequestError: the file is outside the workspace or cannot be written.
    """
    if not name:
        return
    check_in_workspace(kind, name)
    path = Path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise RequestError(
            f"The {kind} file cannot be written: {describe_os_error(error)}",
            "Give another path inside the workspace.",
            code=ErrorCode.FILE_NOT_WRITABLE,
        ) from error


def _resolve(path: Path) -> Path | None:
    """Return a path without symbolic links, or None if links form a circle."""
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError):  # up to Python 3.12
        return None
    # Newer versions leave the links of a circle.
    return None if any(each.is_symlink() for each in (resolved, *resolved.parents)) else resolved
