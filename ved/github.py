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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ved import environment
from ved.errors import RequestError, describe, describe_unexpected
from ved.findings import Level
from ved.manifest import Location, ManifestError, Problem, load
from ved.markdown import plain

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

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Inputs":
        """Read them from a runner's environment variables."""

        def value(name: str) -> str:
            return variables.get(f"INPUT_{name}", "").strip()

        return cls(
            manifest=Path(value("MANIFEST") or "pairs.yaml"),
            token=value("TOKEN"),
            only=tuple(value("ONLY").replace(",", " ").split()),
            endpoint=value("ENDPOINT").rstrip("/"),
            mode=value("MODE") or "build",
            shards=value("SHARDS") or "1",
            shard=value("SHARD"),
            max_disk=value("MAX-DISK"),
            results=value("RESULTS"),
            results_file=value("RESULTS-FILE"),
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


def main() -> int:
    """Run the action, and return its exit status: 0 well, 1 a pair failed, 2 a wrong request."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors=UNENCODABLE)
    inputs = Inputs.read(os.environ)
    if inputs.token:
        _command("add-mask", inputs.token)
    environment.prepare(progress_bars=False, endpoint=inputs.endpoint)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    problems, outcome, status = [], Outcome(), WRONG_REQUEST
    try:
        with _unheeded():
            outcome = _run(inputs)
    except ManifestError as error:
        problems = [str(problem) for problem in error.problems]
        for problem in error.problems:
            _annotate(problem.message, problem)
    except RequestError as error:
        problems = [str(error)]
        _annotate(str(error))
    except Exception as error:
        with _unheeded():
            log.exception("Unexpected error")
        problems, status = [describe_unexpected(error)], FAILED
        _annotate(problems[0])
    return _tell(inputs, outcome, problems, status)


def _run(inputs: Inputs) -> Outcome:
    """Do what the mode says."""
    modes = {"build": _build, "plan": _plan, "report": _report}
    if inputs.mode not in modes:
        raise RequestError(
            f"There is no mode {inputs.mode!r}.", f"It is one of {', '.join(modes)}."
        )
    return modes[inputs.mode](inputs)


def _build(inputs: Inputs) -> Outcome:
    manifest = load(inputs.manifest)
    # Imported after the environment is prepared, and only for a manifest that is right.
    from ved.build import build

    results = build(manifest, _options(inputs), _api(inputs))
    return Outcome([result.row for result in results], results)


def _plan(inputs: Inputs) -> Outcome:
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


def _report(inputs: Inputs) -> Outcome:
    from ved.report import collect

    if not inputs.results:
        raise RequestError("Mode report has no results.", "Name their folder in the input results.")
    rows = collect(Path(inputs.results))
    for row in rows:
        log.info("%s: %s: %s", row.repo, row.action, row.reason)
    return Outcome(rows)


def _options(inputs: Inputs) -> "Options":
    from ved import shards
    from ved.build import Options
    from ved.machine import read_size

    only = shards.read(inputs.shard) if inputs.shard else inputs.only
    return Options(only=only, max_disk=read_size(inputs.max_disk) if inputs.max_disk else None)


def _api(inputs: Inputs) -> "HfApi":
    from huggingface_hub import HfApi

    return HfApi(token=inputs.token or None)


def _tell(inputs: Inputs, outcome: Outcome, problems: Sequence[str], status: int) -> int:
    """Annotate the manifest, set the outputs, write the summary, and return the exit status."""
    from ved.report import BAD, table, to_json

    for result in outcome.results:
        for level, key, message in result.annotations():
            _annotate(message, result.pair.location(key), result.pair.repo, level)
    counts = Counter(row.action for row in outcome.rows)
    failed = sum(counts[action] for action in BAD)
    results = to_json(outcome.rows)
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
        _write_results(inputs.results_file, results)
    except RequestError as error:
        _annotate(str(error))
        problems = [*problems, str(error)]
    told = [] if outcome.rows else ["Nothing was done."]
    if problems:
        told.append("\n".join(f"- {plain(text)}" for text in problems))
    if outcome.rows:
        told.append(table(outcome.rows, inputs.endpoint or "https://huggingface.co"))
    _summarize("\n\n".join(told))
    return status if problems else FAILED if failed else 0


def _write_results(name: str, results: str) -> None:
    """Write the results to a file of the workspace, where one is named."""
    if not name:
        return
    path = Path(name).resolve()
    if not path.is_relative_to(Path.cwd().resolve()):
        raise RequestError(
            f"The results file {name!r} is outside the workspace.", "Name one inside of it."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(results + "\n", encoding="utf-8")
    except OSError as error:
        raise RequestError(f"The results file cannot be written: {describe(error)}") from error


@contextmanager
def _unheeded() -> Iterator[None]:
    """Have the runner take nothing that is printed meanwhile for a workflow command."""
    stop = secrets.token_hex(16)
    _command("stop-commands", stop)
    try:
        yield
    finally:
        print(f"::{stop}::", flush=True)


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


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


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
