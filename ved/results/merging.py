"""Merge the results files of several jobs, for mode `report`."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from ved.errors import ErrorCode, RequestError
from ved.manifest.fields import MAX_PAIRS
from ved.results.rows import RESULTS_FILE_BYTES, Row, RowError, parse_rows

_FILES = 10_000
"""The most results files. A matrix has 256 jobs, and a job has several attempts."""

_NO_RESULTS = "The job for this pair produced no results; see its log."

_TOTAL_BYTES = 4 * RESULTS_FILE_BYTES
"""The most bytes of all results files together."""


def merge_results(folder: Path) -> list[Row]:
    """Return the rows of all JSON files in a folder and its subfolders.

    If several files have a row for a repo, the last file by name wins. Numbers in names are
    compared as numbers, so that attempt 10 comes after attempt 9. A pair that was planned and has
    no later row counts as failed, because the job that was to build it did not write its results.

    Raises:
        RequestError: the folder has no results or too many, or a file has other content.
    """
    found: dict[str, Row] = {}
    for path, content in _contents(folder):
        try:
            found |= {row.repo: row for row in parse_rows(content)}
        except ValidationError as error:
            raise _other_content(path) from error
        if len(found) > MAX_PAIRS:
            raise _too_much(f"more than {MAX_PAIRS} pairs")
    if not found:
        raise RequestError(
            f"There are no results in {folder}.",
            "Name the folder that has them.",
            code=ErrorCode.JOB_WITHOUT_RESULTS,
        )
    return [_ended(row) for row in found.values()]


def _contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield each JSON file and its content, in the order of their names.

    Raises:
        RequestError: the files are too many or too large, or one is not a regular file.
    """
    paths = []
    for path in folder.rglob("*.json"):
        paths.append(path)
        if len(paths) > _FILES:
            raise _too_much(f"more than {_FILES} files")
    total = 0
    for path in sorted(paths, key=_natural_key):
        try:
            content = _read(path)
        except OSError as error:
            raise _other_content(path) from error
        total += len(content)
        if len(content) > RESULTS_FILE_BYTES or total > _TOTAL_BYTES:
            raise _too_much(f"{path.name} is too large")
        yield path, content


def _read(path: Path) -> bytes:
    """Return the content of a file, or the beginning of a file that is too large.

    Raises:
        OSError: the file is not a regular file, or cannot be read.
    """
    # Another job wrote the folder. A link could lead to any file, and a pipe has no end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        return file.read(RESULTS_FILE_BYTES + 1)


def _other_content(path: Path) -> RequestError:
    return RequestError(
        f"{path.name} does not hold the output results of this action.",
        "Put only results files into the folder.",
        code=ErrorCode.JOB_WITHOUT_RESULTS,
    )


def _too_much(problem: str) -> RequestError:
    return RequestError(
        f"The folder has more results than one manifest: {problem}.",
        "Put only the results files of this run into the folder.",
        code=ErrorCode.JOB_WITHOUT_RESULTS,
    )


def _natural_key(path: Path) -> tuple[list[list[str | int]], Path]:
    """Return the sort key of a path that orders the numbers in it by their values."""
    parts = [
        # Text and digits alternate, so that only like is compared with like.
        [int(piece) if number % 2 else piece for number, piece in enumerate(pieces)]
        for pieces in (re.split("([0-9]+)", part) for part in path.parts)
    ]
    return parts, path


def _ended(row: Row) -> Row:
    """Return the outcome of a pair whose last row this is."""
    if row.action in ("skip", "refuse"):
        return row.model_copy(update={"action": "skipped" if row.action == "skip" else "refused"})
    if row.action == "build" or (row.action == "card-only" and row.commit is None):
        code, reason = ErrorCode.JOB_WITHOUT_RESULTS, _NO_RESULTS
        errors = [RowError(code=code, message=reason, place=row.place)] if row.place else []
        update = {
            **{"action": "failed", "reason": reason, "codes": [code], "errors": errors},
            "bytes": 0,
        }
        return row.model_copy(update=update)
    return row
