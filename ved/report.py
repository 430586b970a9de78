"""What became of pairs, for people and for other programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ved.errors import RequestError
from ved.findings import Finding, Level
from ved.machine import size_in_words
from ved.manifest import Pair
from ved.manifest_types import is_repo
from ved.markdown import code, plain
from ved.timeline import Step
from ved.troubles import in_markdown, with_links

Action = Literal["build", "card-only", "skip", "refuse", "built", "skipped", "refused", "failed"]
BAD: tuple[Action, ...] = ("refuse", "refused", "failed")

_SHOWN: dict[Action, tuple[str, str]] = {
    "build": ("🔨", "to build"),
    "built": ("✅", "built"),
    "card-only": ("📝", "card only"),
    "skip": ("💤", "to skip"),
    "skipped": ("💤", "skipped"),
    "refuse": ("⛔", "refused"),
    "refused": ("⛔", "refused"),
    "failed": ("❌", "failed"),
}
"""A mark and words for each, in the order in which they are counted."""


@dataclass(frozen=True)
class Result:
    """What became of a pair, or would become of it.

    Attributes:
        pair: the pair.
        action: what was done; in a plan, what is to be done.
        reason: why.
        findings: what is wrong with it, or worth knowing.
        fingerprint: of what it is built from; empty where that is not known.
        commit: the commit that the repo is at then; None where that is not known.
        url: where a person can look at that commit.
        size: bytes of what was published, or of what is to be downloaded and published.
        seconds: how long it took.
        checksums: the sha256 of the weight files that were published, and of their record.
        steps: what was done when.
        see: the kind of what made it fail, in `troubles.TROUBLES`; empty where there is none.
        uploaded: how many of the bytes were sent, of large files that the Hub did not have; None
            where that is not known.
    """

    pair: Pair
    action: Action
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    fingerprint: str = ""
    commit: str | None = None
    url: str | None = None
    size: int = 0
    seconds: float = 0.0
    checksums: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    see: str = ""
    uploaded: int | None = None

    @property
    def is_bad(self) -> bool:
        """Whether it is not what the manifest's owner wants."""
        return self.action in BAD

    @property
    def warnings(self) -> list[str]:
        """What is likely to be a mistake."""
        return [found.message for found in self.findings if found.level == "warning"]

    @property
    def kinds(self) -> list[str]:
        """The kinds of all that is wrong, each once."""
        refused = [found.see for found in self.findings if found.level == "error"]
        return [kind for kind in dict.fromkeys([*refused, self.see]) if kind]

    def annotations(self) -> list[tuple[Level, str, str]]:
        """Return what to say at the manifest: how grave, at which key, and what.

        Not what is only good to know: GitHub shows ten annotations of a kind.
        """
        said: list[tuple[Level, str, str]] = [
            (found.level, found.key, found.text)
            for found in self.findings
            if found.level != "notice"
        ]
        failed = self.is_bad and not any(level == "error" for level, _, _ in said)
        if failed:
            said.append(("error", "", with_links(self.reason, self.kinds)))
        return said

    @property
    def row(self) -> "Row":
        """The result as other programs get it."""
        return Row(
            repo=self.pair.repo,
            encoder=self.pair.encoder.model,
            decoder=self.pair.decoder.model,
            action=self.action,
            reason=self.reason,
            see=self.kinds,
            warnings=self.warnings,
            commit=self.commit,
            url=self.url,
            fingerprint=self.fingerprint,
            bytes=self.size,
            uploaded=self.uploaded,
            seconds=round(self.seconds, 1),
        )


def _with_owner(repo: str) -> str:
    """Let nothing but a repo's id become part of a link."""
    if "/" not in repo or not is_repo(repo):
        raise ValueError("no repo id")
    return repo


def _encodable(text: str) -> str:
    """Spell out half a character, which a source's JSON can hold and UTF-8 cannot."""
    return text.encode(errors="backslashreplace").decode()


_Words = Annotated[str, AfterValidator(_encodable)]
_Bytes = Annotated[int, Field(ge=0, lt=2**63)]


class Row(BaseModel):
    """A result as other programs get it: one object of the output `results`."""

    model_config = ConfigDict(frozen=True)

    repo: Annotated[str, AfterValidator(_with_owner)]
    encoder: str
    decoder: str
    action: Action
    reason: _Words
    see: list[Annotated[str, Field(pattern="^[a-z-]+$")]] = []
    warnings: list[_Words]
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None
    url: str | None
    fingerprint: str
    bytes: _Bytes
    uploaded: _Bytes | None = None
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


_ROWS = TypeAdapter(list[Row])


def to_json(rows: Sequence[Row]) -> str:
    """Return rows as the output `results` has them."""
    return _ROWS.dump_json(list(rows)).decode()


def collect(folder: Path) -> list[Row]:
    """Return the rows of every JSON file in a folder, and of the folders in it.

    What comes later by a file's name replaces what was said of a repo before. What was planned and
    nobody did has failed: the job that was to do it has died.

    Raises:
        RequestError: there are none, or a file holds something else.
    """
    found: dict[str, Row] = {}
    for path in sorted(folder.rglob("*.json")):
        try:
            found |= {row.repo: row for row in _ROWS.validate_json(path.read_bytes())}
        except (ValidationError, OSError) as error:
            raise RequestError(
                f"{path.name} does not hold the output results of this action.",
                "Put nothing else into the folder.",
                see="job-without-results",
            ) from error
    if not found:
        raise RequestError(
            f"There are no results in {folder}.",
            "Name the folder that has them.",
            see="job-without-results",
        )
    return [_ended(row) for row in found.values()]


def _ended(row: Row) -> Row:
    """Return what became of a pair for which this was the last word."""
    if row.action in ("skip", "refuse"):
        return row.model_copy(update={"action": "skipped" if row.action == "skip" else "refused"})
    if row.action == "build" or (row.action == "card-only" and row.commit is None):
        reason = "The job that was to do it told nothing; its log may."
        told = {"action": "failed", "reason": reason, "see": ["job-without-results"], "bytes": 0}
        return row.model_copy(update=told)
    return row


def counted(rows: Sequence[Row]) -> str:
    """Return how many pairs came to what, in words."""
    counts = Counter(row.action for row in rows)
    return ", ".join(f"{counts[action]} {_SHOWN[action][1]}" for action in _SHOWN if counts[action])


def table(rows: Sequence[Row], endpoint: str) -> str:
    """Return rows as Markdown, those that need somebody first."""
    urgent = sorted(rows, key=lambda row: (row.action not in BAD, row.action[:4] == "skip"))
    lines = [
        f"**{counted(rows) or 'No pairs'}.**",
        "",
        "| checkpoint | action | reason | sources | size | time |",
        "| --- | --- | --- | --- | ---: | ---: |",
        *(_line(row, endpoint) for row in urgent),
    ]
    warned = [row for row in rows if row.warnings]
    if warned:
        lines += ["", "### Warnings", ""]
        lines += [f"- {code(row.repo)}: {plain(text)}" for row in warned for text in row.warnings]
    return "\n".join(lines)


def _line(row: Row, endpoint: str) -> str:
    name = code(row.repo)
    if row.commit:
        # Not the address in the row: that may have come from another job.
        name = f"[{name}]({quote(endpoint, safe=':/[]')}/{row.repo}/commit/{row.commit})"
    cells = (
        name,
        " ".join(_SHOWN[row.action]),
        f"{plain(row.reason)} {in_markdown(row.see)}".rstrip(),
        f"{code(row.encoder)} + {code(row.decoder)}",
        _size(row),
        f"{row.seconds:.0f} s" if row.seconds else "",
    )
    return f"| {' | '.join(cells)} |"


def _size(row: Row) -> str:
    sent = "" if row.uploaded is None else f", {size_in_words(row.uploaded)} sent"
    return f"{size_in_words(row.bytes)}{sent}" if row.bytes else ""


def lines(results: Sequence[Result], *, findings: bool = False) -> str:
    """Return results as lines for a terminal or a log, with what was found of each if wanted."""
    said = []
    for result in results:
        found = [_placed(result.pair, each) for each in result.findings if findings]
        # A refusal's reason is what was found.
        reason = with_links(result.reason, result.kinds)
        if found and result.is_bad:
            reason = ""
        detail = " ".join(filter(None, (reason, result.url)))
        said += [f"{result.action:<9}  {result.pair.repo}  {detail}".rstrip(), *found]
    return "\n".join(said)


def _placed(pair: Pair, finding: Finding) -> str:
    return f"  {pair.location(finding.key)}: {finding.level}: {finding.text}"
