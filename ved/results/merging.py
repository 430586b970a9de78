"""Merge the results files of several jobs, for mode `report`."""

import re
from pathlib import Path

from pydantic import ValidationError

from ved.errors import ErrorCode, RequestError
from ved.results.rows import Row, parse_rows


def merge_results(folder: Path) -> list[Row]:
    """Return the rows of all JSON files in a folder and its subfolders.

    If several files have a row for a repo, the last file by name wins. Numbers in names are
    compared as numbers, so that attempt 10 comes after attempt 9. A pair that was planned and has
    no later row counts as failed, because the job that was to build it did not write its results.

    Raises:
        RequestError: the folder has no results, or a file has other content.
    """
    found: dict[str, Row] = {}
    for path in sorted(folder.rglob("*.json"), key=_natural_key):
        try:
            found |= {row.repo: row for row in parse_rows(path.read_bytes())}
        except (ValidationError, OSError) as error:
            raise RequestError(
                f"{path.name} does not hold the output results of this action.",
                "Put only results files into the folder.",
                code=ErrorCode.JOB_WITHOUT_RESULTS,
            ) from error
    if not found:
        raise RequestError(
            f"There are no results in {folder}.",
            "Name the folder that has them.",
            code=ErrorCode.JOB_WITHOUT_RESULTS,
        )
    return [_ended(row) for row in found.values()]


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
        update = {
            "action": "failed",
            "reason": "The job for this pair produced no results; see its log.",
            "codes": [ErrorCode.JOB_WITHOUT_RESULTS],
            "bytes": 0,
        }
        return row.model_copy(update=update)
    return row
