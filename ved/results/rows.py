"""The output `results`: one JSON object for each pair."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ved.errors import ErrorCode, RequestError
from ved.manifest.fields import is_repo_id
from ved.planning import ActionName
from ved.results.result import Outcome, Result


def _with_owner(repo: str) -> str:
    """Accept nothing but a repo id, because it becomes part of a link."""
    if "/" not in repo or not is_repo_id(repo):
        raise ValueError("not a repo id")
    return repo


def _encodable(text: str) -> str:
    """Escape lone surrogates, which a source's JSON can hold and UTF-8 cannot."""
    return text.encode(errors="backslashreplace").decode()


_Text = Annotated[str, AfterValidator(_encodable)]
_Bytes = Annotated[int, Field(ge=0, lt=2**63)]


class Row(BaseModel):
    """One object of the output `results`; the attributes are those of `Result`."""

    model_config = ConfigDict(frozen=True)

    repo: Annotated[str, AfterValidator(_with_owner)]
    encoder: str
    decoder: str
    action: ActionName | Outcome
    reason: _Text
    codes: list[Annotated[str, Field(pattern="^[a-z-]+$")]] = []
    warnings: list[_Text]
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None
    url: str | None
    fingerprint: str
    bytes: _Bytes
    uploaded: _Bytes | None = None
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]

    @classmethod
    def of(cls, result: Result) -> "Row":
        """Return a result as a row."""
        return cls(
            repo=result.pair.repo,
            encoder=result.pair.encoder.model,
            decoder=result.pair.decoder.model,
            action=result.action,
            reason=result.reason,
            codes=result.codes,
            warnings=result.warnings,
            commit=result.commit,
            url=result.url,
            fingerprint=result.fingerprint,
            bytes=result.size,
            uploaded=result.uploaded,
            seconds=round(result.seconds, 1),
        )


_ROWS = TypeAdapter(list[Row])


def to_json(rows: Sequence[Row]) -> str:
    """Return rows as JSON, as in the output `results`."""
    return _ROWS.dump_json(list(rows)).decode()


def collect(folder: Path) -> list[Row]:
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
            found |= {row.repo: row for row in _ROWS.validate_json(path.read_bytes())}
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
