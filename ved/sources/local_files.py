"""Find out which files of a local checkpoint may be read.

A checkpoint that is published contains files of its sources. So a link in a local directory could
publish any file that this process can read: `vocab.txt -> /proc/self/environ`. A file is read only
if it is regular, and in the directory that the user names, after all links are followed. The one
exception is the cache of huggingface_hub, in which files are links to `blobs/`.

Two things are not found: a hard link, which looks like any other name of its file, and a link that
somebody creates between the check and the reading.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from ved.errors import ErrorCode, VedError

MAX_ENTRIES = 10_000
"""The most entries of a directory that is a checkpoint. The largest checkpoints have hundreds."""

_MAX_SHOWN = 200
"""The most characters of a path that a message quotes: its end."""

_SHARED_BLOBS = ".huggingface-shared-blobs"
"""The file beside the files that repos in a cache of huggingface_hub share."""

_SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev")))
"""Their files are the state of the machine and of its processes, with all environment variables."""

_MEMORY = Path("/dev/shm")  # noqa: S108 - a file system like any other, except that it is in memory


def list_local_files(directory: Path, workspace: Path | None = None) -> dict[str, int]:
    """Return the files of a local checkpoint, which may not all be readable.

    Args:
        directory: the directory that the user names.
        workspace: the directory in which all files have to be; None for the whole machine.

    Returns:
        sizes in bytes, by name. Includes links that lead nowhere and special files, so that their
        use is an error.

    Raises:
        VedError: there is no such directory, its name is not UTF-8, it is outside the workspace or
            of the system, or has too many entries.
        OSError: the directory cannot be read.
    """
    if not directory.is_dir():
        raise VedError(
            f"There is no directory {_shown(directory)}.",
            "Check the path.",
            code=ErrorCode.NO_SUCH_DIRECTORY,
        )
    try:
        str(directory).encode()
    except UnicodeEncodeError as error:  # the name becomes JSON, here and in the build record
        raise VedError(
            f"The name of the directory {_shown(directory)} is not UTF-8.",
            "Rename the directory.",
            code=ErrorCode.LOCAL_FILE_REFUSED,
        ) from error
    _check_directory(directory, workspace)
    return {path.name: _size(path) for path in scan_directory(directory) if not path.is_dir()}


def scan_directory(directory: Path) -> Iterator[Path]:
    """Yield the entries of a directory of a checkpoint.

    Raises:
        VedError: there are more than `MAX_ENTRIES`.
        OSError: the directory cannot be read.
    """
    with os.scandir(directory) as entries:
        for count, entry in enumerate(entries):
            if count >= MAX_ENTRIES:
                raise VedError(
                    f"{_shown(directory)} has more than {MAX_ENTRIES} entries.",
                    "Name a directory that contains one checkpoint and nothing else.",
                    code=ErrorCode.LOCAL_FILE_REFUSED,
                )
            yield Path(entry.path)


def check_local_file(directory: Path, name: str, workspace: Path | None = None) -> Path:
    """Check that a file of a local checkpoint may be read.

    Args:
        directory: the directory that the user names.
        name: the file's name in the directory.
        workspace: the directory in which the file has to be; None for the whole machine.

    Returns:
        the path of the file, without links.

    Raises:
        VedError: the file is not regular, or not in the directory or in a cache of huggingface_hub.
    """
    real_directory = _check_directory(directory, workspace)
    path = directory / name
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(real_directory) and not _is_cached(real):
        _refuse(path, f"is a link to {_shown(real)}, which is outside of its directory")
    if workspace is not None and not _is_within(real, workspace):
        _refuse(path, f"is a link to {_shown(real)}, which is outside of the workspace")
    if _is_of_system(real) or ".git" in real.parts:
        _refuse(path, f"is {_shown(real)}, which is not a file of a checkpoint")
    try:
        mode = real.stat().st_mode
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            raise
        what = f"is a link to {_shown(real)}, which does not exist" if path.is_symlink() else ""
        _refuse(path, what or "does not exist")
    if not stat.S_ISREG(mode):
        target = "" if real.name == path.name else f" (it leads to {_shown(real)})"
        _refuse(path, f"is not a regular file{target}")
    return real


def _check_directory(directory: Path, workspace: Path | None) -> Path:
    """Return the path of a directory without links.

    Raises:
        VedError: it is outside the workspace, or of the system.
    """
    real = Path(os.path.realpath(directory))
    target = f" ({_shown(real)})" if real.name != directory.name else ""
    if workspace is not None and not _is_within(real, workspace):
        raise VedError(
            f"The directory {_shown(directory)}{target} is outside of the workspace.",
            "Name a directory inside the workspace.",
            code=ErrorCode.OUTSIDE_THE_WORKSPACE,
        )
    if _is_of_system(real) or ".git" in real.parts:
        _refuse(directory, f"is {_shown(real)}, which is not a directory of a checkpoint")
    return real


def _is_within(real: Path, workspace: Path) -> bool:
    return real.is_relative_to(os.path.realpath(workspace))


def _is_of_system(real: Path) -> bool:
    if real.is_relative_to(_MEMORY):
        return False
    return any(real.is_relative_to(each) for each in _SYSTEM)


def _is_cached(real: Path) -> bool:
    """Return whether a file is in the cache of huggingface_hub, which has only files of the Hub.

    It is `models--OWNER--NAME/blobs/DIGEST`, or `blobs/DI/DIGEST` for a file that repos share.
    Digests have 40 or 64 digits.
    """
    blobs = real.parent.parent if real.parent.name == real.name[:2] else real.parent
    is_shared = (blobs / _SHARED_BLOBS).is_file()
    return (
        re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", real.name) is not None
        and blobs.name == "blobs"
        and (is_shared or re.fullmatch("models--.+", blobs.parent.name) is not None)
    )


def _size(path: Path) -> int:
    """Return the size of a regular file, in bytes; 0 for everything else."""
    try:
        status = path.stat()
    except OSError:  # such as a link that leads nowhere
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _refuse(path: Path, why: str) -> NoReturn:
    raise VedError(
        f"{_shown(path)} {why}.",
        "Copy the files themselves into one directory, and name it.",
        code=ErrorCode.LOCAL_FILE_REFUSED,
    )


def _shown(path: Path) -> str:
    text = str(path)
    return repr(text if len(text) <= _MAX_SHOWN else f"…{text[-_MAX_SHOWN:]}")
