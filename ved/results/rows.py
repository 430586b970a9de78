"""The output `results`: one JSON object for each pair."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

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


def parse_rows(content: bytes) -> list[Row]:
    """Return the rows in JSON that `to_json` wrote.

    Raises:
        ValidationError: the content has another form.
    """
    return _ROWS.validate_json(content)
