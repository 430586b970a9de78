"""The output `results`: one JSON object for each pair."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from ved.manifest.fields import is_repo_id
from ved.manifest.problems import Location
from ved.planning import ActionName
from ved.results.result import BAD, Outcome, Result
from ved.text import clean


def _with_owner(repo: str) -> str:
    """Accept nothing but a repo id, because it becomes part of a link."""
    if "/" not in repo or not is_repo_id(repo):
        raise ValueError("not a repo id")
    return repo


def _few_warnings(warnings: list[str]) -> list[str]:
    rest = len(warnings) - _MAX_WARNINGS
    return [*warnings[:_MAX_WARNINGS], f"There are {rest} more."] if rest > 0 else warnings


def _few_errors(errors: list["RowError"]) -> list["RowError"]:
    return errors[:_MAX_ERRORS]


_MAX_WARNINGS = 50
_MAX_ERRORS = 50
_MAX_NAME = 500
"""The most characters of a name. A local directory has one of any length."""

_MAX_CODES, _MAX_CODE = 50, 60
_DIGEST = 64
"""Characters of a sha256."""

_Code = Annotated[str, Field(pattern="^[a-z-]+$", max_length=_MAX_CODE)]
_Text = Annotated[str, AfterValidator(clean)]
_Name = Annotated[str, AfterValidator(partial(clean, limit=_MAX_NAME))]
_Bytes = Annotated[int, Field(ge=0, lt=2**63)]
_Count = Annotated[int, Field(ge=1, lt=2**31)]


class Place(BaseModel):
    """A place in the manifest; lines and columns count from 1."""

    model_config = ConfigDict(frozen=True)

    file: _Name
    line: _Count
    column: _Count

    @classmethod
    def of(cls, where: Location) -> "Place":
        """Return a place as data."""
        return cls(file=where.file, line=where.line, column=where.column)

    def shortened(self, characters: int) -> "Place":
        """Return the place with a shorter name of the file."""
        return self.model_copy(update={"file": clean(self.file, characters)})


class RowError(BaseModel):
    """An error of a failed or refused pair."""

    model_config = ConfigDict(frozen=True)

    code: _Code
    message: _Text
    place: Place


class Row(BaseModel):
    """One object of the output `results`; most attributes are those of `Result`.

    Attributes:
        place: where the pair begins in the manifest.
        errors: why the pair failed or was refused, each at the key that it is about.
    """

    model_config = ConfigDict(frozen=True)

    repo: Annotated[str, AfterValidator(_with_owner)]
    encoder: _Name
    decoder: _Name
    action: ActionName | Outcome
    reason: _Text
    codes: Annotated[list[_Code], Field(max_length=_MAX_CODES)] = []
    warnings: Annotated[list[_Text], AfterValidator(_few_warnings)]
    place: Place | None = None
    errors: Annotated[list[RowError], AfterValidator(_few_errors)] = []
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None
    url: _Name | None
    fingerprint: _Name
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
            codes=[*result.codes],
            warnings=result.warnings,
            place=Place.of(result.pair.where),
            errors=[
                RowError(code=code, message=message, place=Place.of(result.pair.location(key)))
                for key, code, message in result.errors
            ],
            commit=result.commit,
            url=result.url,
            fingerprint=result.fingerprint,
            bytes=result.size,
            uploaded=result.uploaded,
            seconds=round(result.seconds, 1),
        )


_ROWS = TypeAdapter(list[Row])

RESULTS_FILE_BYTES = 32 * 2**20
"""The longest results file: three kilobytes for each pair of the largest manifest."""

_SHORTER = ((1_000, 5), (300, 1), (80, 0), (20, 0))
"""Limits for rows that are too long together: characters of a text, and number of warnings."""

_FEWEST_CODES = 3


def fit_rows(rows: Sequence[Row], limit: int) -> list[Row]:
    """Return rows whose JSON is not too long: with shorter texts, and if need be not all of them.

    Args:
        rows: the rows.
        limit: bytes of the JSON.

    Returns:
        the rows, in their order. Failed and refused pairs are the last to be left out.
    """
    fitting = list(rows)
    for characters, warnings in _SHORTER:
        if len(to_json(fitting).encode()) <= limit:
            return fitting
        fitting = [_shortened(row, characters, warnings) for row in rows]
    kept, size = set(), len("[]")
    for number in sorted(range(len(fitting)), key=lambda each: fitting[each].action not in BAD):
        size += len(to_json([fitting[number]]).encode())
        if size > limit:
            break
        kept.add(number)
    return [row for number, row in enumerate(fitting) if number in kept]


def _shortened(row: Row, characters: int, warnings: int) -> Row:
    update = {
        "reason": clean(row.reason, characters),
        "warnings": [clean(text, characters) for text in row.warnings[:warnings]],
        "encoder": clean(row.encoder, characters),
        "decoder": clean(row.decoder, characters),
        "errors": [
            RowError(
                code=each.code,
                message=clean(each.message, characters),
                place=each.place.shortened(characters),
            )
            for each in row.errors[: max(warnings, 1)]
        ],
        "place": row.place and row.place.shortened(characters),
    }
    if not warnings:
        # A row of another job may have longer ones than VED writes.
        update["codes"] = row.codes[:_FEWEST_CODES]
        update["fingerprint"] = row.fingerprint[:_DIGEST]
    return row.model_copy(update=update)


def to_json(rows: Sequence[Row]) -> str:
    """Return rows as JSON, as in the output `results`."""
    return _ROWS.dump_json(list(rows)).decode()


def parse_rows(content: bytes) -> list[Row]:
    """Return the rows in JSON that `to_json` wrote.

    Raises:
        ValidationError: the content has another form.
    """
    return _ROWS.validate_json(content)
