"""GitHub Actions: inputs, outputs, annotations, masks, job summary.

Source of the formats: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
"""

import io
import json
import logging
import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ved import environment, events, process
from ved.errors import RequestError, VedError, as_ved_error, describe
from ved.findings import Level
from ved.manifest import Location, ManifestError, Problem, load
from ved.markdown import plain
from ved.troubles import in_markdown

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from ved.build import Options
    from ved.report import Result, Row

log = logging.getLogger("ved")

FAILED, WRONG_REQUEST = 1, 2

SUMMARY_BYTES = 1_000_000
"""A little below the 1 MiB that the runner takes of a step."""

UNENCODABLE = "backslashreplace"
"""What becomes of half a character, which a server's JSON can hold and UTF-8 cannot."""

_secrets: list[str] = []
"""What the runner is told to mask. It does so in the log, and what else is written may go on."""


@dataclass(frozen=True)
class Inputs:
    """The action's inputs; action.yml says what each means."""

    manifest: Path
    token: str
    only: tuple[str, ...]
    endpoint: str
    mode: str
    shards: str
    shard: str
    max_disk: str
    results: str
    results_file: str
    allowed_namespaces: tuple[str, ...]
    checksums_file: str

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Inputs":
        """Read them from a runner's environment variables."""

        def value(name: str) -> str:
            return variables.get(f"INPUT_{name}", "").strip()

        def listed(name: str) -> tuple[str, ...]:
            return tuple(value(name).replace(",", " ").split())

        return cls(
            manifest=Path(value("MANIFEST") or "pairs.yaml"),
            token=value("TOKEN"),
            only=listed("ONLY"),
            endpoint=value("ENDPOINT").rstrip("/"),
            mode=value("MODE") or "build",
            shards=value("SHARDS") or "1",
            shard=value("SHARD"),
            max_disk=value("MAX-DISK"),
            results=value("RESULTS"),
            results_file=value("RESULTS-FILE"),
            allowed_namespaces=listed("ALLOWED-NAMESPACES"),
            checksums_file=value("CHECKSUMS-FILE"),
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        rows: what became of each pair.
        results: the same with the places in the manifest; none where rows come from other jobs.
        matrix: the pairs that a plan would build, dealt out to jobs.
    """

    rows: "Sequence[Row]" = ()
    results: "Sequence[Result]" = ()
    matrix: Mapping[str, Any] = field(default_factory=lambda: {"include": []})


def run() -> NoReturn:
    """Run the action, and end the process."""
    process.heed_termination()
    process.end(main())


def main() -> int:
    """Run the action, and return its exit status: 0 well, 1 a pair failed, 2 a wrong request."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = sys.stderr = _Log(sys.stdout.detach(), "utf-8", UNENCODABLE)
    inputs = Inputs.read(os.environ)
    if inputs.token:
        _command("add-mask", inputs.token)
        _secrets.append(inputs.token)
    environment.prepare(progress_bars=False, endpoint=inputs.endpoint)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    problems: list[VedError] = []
    outcome, status = Outcome(), WRONG_REQUEST
    try:
        with _Unheeded() as unheeded:
            outcome = _run(inputs, unheeded.mask)
    except ManifestError as error:
        problems = [VedError(str(problem), see=error.see) for problem in error.problems]
        for problem in error.problems:
            _annotate(problem.message, problem)
    except RequestError as error:
        problems = [error]
        _annotate(error.text)
    except Exception as error:
        with _Unheeded():
            log.exception("Unexpected error")
        problems, status = [as_ved_error(error)], FAILED
        _annotate(problems[0].text)
    except KeyboardInterrupt:
        problems, status = [VedError("The job was cancelled.")], process.INTERRUPTED
        print(problems[0])
    return _tell(inputs, outcome, problems, status)


def _run(inputs: Inputs, mask: Callable[[str], None]) -> Outcome:
    """Do what the mode says.

    Args:
        inputs: the action's.
        mask: has the runner hide a secret.
    """
    modes = {"build": _build, "plan": _plan, "report": _report}
    if inputs.mode not in modes:
        raise RequestError(
            f"There is no mode {inputs.mode!r}.", f"It is one of {', '.join(modes)}."
        )
    _in_workspace("results", inputs.results_file)
    _in_workspace("checksums", inputs.checksums_file)
    return modes[inputs.mode](inputs, mask)


def _build(inputs: Inputs, mask: Callable[[str], None]) -> Outcome:
    manifest = load(inputs.manifest)
    # Imported after the environment is prepared, and only for a manifest that is right.
    from ved import keyless
    from ved.access import Access
    from ved.build import build

    events.check_may_publish(os.environ)
    api = _api(inputs)
    publisher = None
    # Where there is no token either, why there is no identity is what a job's author has to know.
    is_job = os.environ.get("GITHUB_ACTIONS") == "true"
    if keyless.offered(os.environ) or (is_job and not Access(api).has_token):
        publisher = keyless.Publisher(api.endpoint, os.environ, mask)
    results = build(manifest, _options(inputs), api, publisher)
    return Outcome([result.row for result in results], results)


def _plan(inputs: Inputs, _: Callable[[str], None]) -> Outcome:
    manifest = load(inputs.manifest)
    from ved import shards
    from ved.build import preview
    from ved.report import lines

    count = shards.read_count(inputs.shards)
    api = _api(inputs)
    planned = preview(manifest, _options(inputs), api)
    results = [each.as_result(api) for each in planned]
    print(lines(results, findings=True))
    dealt = shards.deal([each.job for each in planned if each.pending], count)
    return Outcome([result.row for result in results], results, shards.matrix(dealt))


def _report(inputs: Inputs, _: Callable[[str], None]) -> Outcome:
    from ved.report import collect

    if not inputs.results:
        raise RequestError(
            "Mode report has no results.",
            "Name their folder in the input results.",
            see="job-without-results",
        )
    rows = collect(Path(inputs.results))
    for row in rows:
        log.info("%s: %s: %s", row.repo, row.action, row.reason)
    return Outcome(rows)


def _options(inputs: Inputs) -> "Options":
    from ved import shards
    from ved.build import Options
    from ved.machine import read_size

    only = shards.read(inputs.shard) if inputs.shard else inputs.only
    return Options(
        only=only,
        max_disk=read_size(inputs.max_disk) if inputs.max_disk else None,
        allowed_namespaces=inputs.allowed_namespaces,
    )


def _api(inputs: Inputs) -> "HfApi":
    from ved.connection import connect
    from ved.keyless import REQUEST_URL

    return connect(inputs.token or None, *filter(None, [os.environ.get(REQUEST_URL)]))


def _tell(inputs: Inputs, outcome: Outcome, problems: Sequence[VedError], status: int) -> int:
    """Annotate the manifest, set the outputs, write the summary, and return the exit status."""
    from ved.report import BAD, table, to_json
    from ved.timeline import gantt

    rows = [_without_secrets(row) for row in outcome.rows]
    for result in outcome.results:
        for level, key, message in result.annotations():
            _annotate(message, result.pair.location(key), result.pair.repo, level)
    counts = Counter(row.action for row in rows)
    failed = sum(counts[action] for action in BAD)
    results = to_json(rows)
    values = {
        "results": results,
        "matrix": json.dumps(outcome.matrix),
        "pending": str(sum(len(shard["repos"]) for shard in outcome.matrix["include"])),
        "built": str(counts["built"]),
        "failed": str(failed),
    }
    for name, value in values.items():
        _output(name, value)
    try:
        _write_file("results", inputs.results_file, results + "\n")
        _write_file("checksums", inputs.checksums_file, _checksums(outcome.results))
    except RequestError as error:
        if str(error) not in map(str, problems):
            _annotate(error.text)
            problems = [*problems, error]
    told = [] if rows else ["Nothing was done."]
    if problems:
        told.append("\n".join(f"- {plain(_hidden(str(problem)))}" for problem in problems))
        told.append(in_markdown(dict.fromkeys(problem.see for problem in problems)))
    if rows:
        told.append(table(rows, inputs.endpoint or "https://huggingface.co"))
        told.append(gantt({result.pair.repo: result.steps for result in outcome.results}))
    _summarize("\n\n".join(filter(None, told)))
    return status if problems else FAILED if failed else 0


def _checksums(results: "Sequence[Result]") -> str:
    """Return what was published as sha256sum has it, for actions/attest to make a statement of."""
    return "".join(
        f"{digest}  {result.pair.repo}/{name}\n"
        for result in results
        for name, digest in result.checksums.items()
    )


def _in_workspace(what: str, name: str) -> Path:
    """Return the path that a file's name means.

    Raises:
        RequestError: it is outside the workspace.
    """
    path = Path(name).resolve()
    if not path.is_relative_to(Path.cwd().resolve()):
        raise RequestError(
            f"The {what} file {name!r} is outside the workspace.",
            "Name one inside of it.",
            see="outside-the-workspace",
        )
    return path


def _write_file(what: str, name: str, content: str) -> None:
    """Write a file of the workspace, where one is named.

    Raises:
        RequestError: it is outside the workspace, or cannot be written.
    """
    if not name:
        return
    path = _in_workspace(what, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise RequestError(f"The {what} file cannot be written: {describe(error)}") from error


class _Log(io.TextIOWrapper):
    """What is printed, without secrets, and errors where they happen.

    The runner reads standard error by itself: it could come to the end of stop-commands before it
    comes to what was printed there within.
    """

    def write(self, text: str) -> int:
        """Write a text, and everything before it."""
        written = super().write(_hidden(text))
        self.flush()
        return written


class _Unheeded:
    """Has the runner take nothing that is printed within its block for a workflow command."""

    def __init__(self) -> None:
        self._stop = secrets.token_hex(16)
        self._is_over = False

    def __enter__(self) -> "_Unheeded":
        print(f"::stop-commands::{self._stop}", flush=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is KeyboardInterrupt:
            # Nobody waits for the other threads, and what they say would be heeded from here on.
            logging.disable()
        self._is_over = True
        print(f"::{self._stop}::", flush=True)

    def mask(self, secret: str) -> None:
        """Have a secret masked, within the block; after it, what is left has no need of it."""
        if not self._is_over:
            # In one write, so that nothing another thread prints comes between.
            sys.stdout.write(
                f"::{self._stop}::\n::add-mask::{_data(secret)}\n::stop-commands::{self._stop}\n"
            )
            sys.stdout.flush()
        _secrets.append(secret)


def _annotate(
    message: str,
    where: Location | Problem | None = None,
    title: str = "",
    level: Level = "error",
) -> None:
    """Say what is wrong at its place, in the log and beside the file."""
    properties = {"title": title} if title else {}
    if where is not None:
        place = {"file": where.file, "line": str(where.line), "col": str(where.column)}
        properties = place | properties
    _command(level, message, properties)


def _command(name: str, message: str, properties: Mapping[str, str] | None = None) -> None:
    escaped = ",".join(f"{key}={_property(value)}" for key, value in (properties or {}).items())
    print(f"::{name}{' ' if escaped else ''}{escaped}::{_data(message)}", flush=True)


def _hidden(text: str) -> str:
    """Return a text without the secrets that are known, such as one that a server repeats."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text


def _without_secrets(row: "Row") -> "Row":
    hidden = {
        name: _hidden(value) for name, value in row if isinstance(value, str) and name != "action"
    }
    warnings = [_hidden(warning) for warning in row.warnings]
    return row.model_copy(update={**hidden, "warnings": warnings})


def _data(text: str) -> str:
    return _hidden(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _output(name: str, value: str) -> None:
    """Set an output of the step; the value cannot end it early and begin another."""
    delimiter = f"ved-{secrets.token_hex(16)}"
    _append("GITHUB_OUTPUT", f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def _summarize(markdown: str) -> None:
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
