"""The directory of a built checkpoint: replaced as a whole, and only if VED wrote all of it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ved.errors import ErrorCode, VedError
from ved.record import build_record
from ved.record.build_record import BuildRecord
from ved.sources.digests import file_sha256
from ved.text import join_limited


def read_output_directory(directory: Path) -> BuildRecord | None:
    """Return the build record in a directory; None if there is none that VED reads."""
    path = directory / build_record.FILE_NAME
    if not path.is_file():  # reading a pipe or a device could have no end
        return None
    try:
        with path.open("rb") as file:
            content = file.read(build_record.MAX_BYTES + 1)
        return build_record.parse_record(content, str(path))
    except (OSError, VedError):
        return None


def has_all_files(directory: Path, record: BuildRecord) -> bool:
    """Return whether a directory has every file of its record, by size."""
    paths = {name: directory / name for name in record.files}
    return all(
        path.is_file() and path.stat().st_size == record.files[name].size
        for name, path in paths.items()
    )


def check_output_directory(directory: Path) -> None:
    """Check that a directory may be replaced: it is missing, empty, or as VED wrote it.

    Raises:
        VedError: it is a link or a file, is below a file, or holds a file that VED did not write or
            that was changed since.
        OSError: a file cannot be read.
    """
    for parent in directory.parents:
        if os.path.lexists(parent) and not parent.is_dir():
            raise VedError(
                f"{directory} cannot be created: {parent} is not a directory.",
                "Move it, or name another directory.",
                code=ErrorCode.DIRECTORY_IN_USE,
            )
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise VedError(
            f"{directory} is a link or a file.",
            "Name a directory.",
            code=ErrorCode.DIRECTORY_IN_USE,
        )
    if not directory.exists() or not any(directory.iterdir()):
        return
    record = read_output_directory(directory)
    if record is None:
        raise VedError(
            f"{directory} is not empty, and VED did not create it.",
            f"Name another directory; VED replaces only those with its {build_record.FILE_NAME}.",
            code=ErrorCode.DIRECTORY_IN_USE,
        )
    foreign = _foreign_files(directory, record)
    if foreign:
        raise VedError(
            f"{directory} holds files that VED did not write, or that were changed since: "
            f"{join_limited(foreign)}.",
            "Move them, or name another directory.",
            code=ErrorCode.DIRECTORY_IN_USE,
        )


def replace_output_directory(built: Path, destination: Path) -> None:
    """Move a built checkpoint to its destination; an older checkpoint is removed after the move.

    Args:
        built: a directory on the same file system.
        destination: a directory that may be replaced; see `check_output_directory`.

    Raises:
        VedError: the destination may not be replaced.
        OSError: a file cannot be moved.
    """
    check_output_directory(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    if not destination.exists():
        built.replace(destination)
        return
    record = read_output_directory(destination)
    # Whenever the process ends, one of the two checkpoints is complete.
    aside = Path(tempfile.mkdtemp(prefix=".ved-", dir=destination.parent)) / "replaced"
    destination.replace(aside)
    try:
        built.replace(destination)
    except BaseException:  # an interrupt, too
        aside.replace(destination)
        aside.parent.rmdir()
        raise
    _remove_own_files(aside, record)


def _remove_own_files(directory: Path, record: BuildRecord | None) -> None:
    """Remove a checkpoint, but no file that somebody added after the check.

    Raises:
        VedError: there is such a file.
    """
    for name in (*record.files, build_record.FILE_NAME) if record else ():
        (directory / name).unlink(missing_ok=True)
    try:
        directory.rmdir()
        directory.parent.rmdir()
    except OSError as error:
        raise VedError(
            f"Somebody added files while the directory was replaced. They are in {directory}.",
            "Move them.",
            code=ErrorCode.DIRECTORY_IN_USE,
        ) from error


@contextmanager
def staging_directory(beside: Path | None) -> Iterator[Path]:
    """Yield an empty directory, and remove it with its content afterwards.

    Args:
        beside: the directory to create it in; None for the system's temporary one.
    """
    with tempfile.TemporaryDirectory(
        prefix=".ved-", dir=beside, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def _foreign_files(directory: Path, record: BuildRecord) -> list[str]:
    """Return the names of files that are not in the build record, or differ from it.

    The record itself is VED's only with the bytes that VED writes: its owner may have added to it.
    """
    own = set()
    written = directory / build_record.FILE_NAME
    if not written.is_symlink() and written.read_bytes() == record.encoded():
        own.add(build_record.FILE_NAME)
    for name, recorded in record.files.items():
        path = directory / name
        if not path.is_file() or path.is_symlink():
            continue
        if path.stat().st_size == recorded.size and file_sha256(path) == recorded.sha256:
            own.add(name)
    return sorted(path.name for path in directory.iterdir() if path.name not in own)
