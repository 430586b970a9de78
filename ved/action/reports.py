"""Report the results of a run: annotations, outputs, files in the workspace, job summary."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ved.action.inputs import Inputs
from ved.action.outputs import OUTPUT_BYTES, set_output, write_summary
from ved.action.summary import render_summary
from ved.action.timeline import gantt
from ved.action.workflow_commands import WorkflowCommands
from ved.action.workspace import write_file
from ved.errors import RequestError, VedError
from ved.interruption import ExitStatus
from ved.manifest import Pair
from ved.redaction import KNOWN
from ved.results import (
    BAD,
    RESULTS_FILE_BYTES,
    Result,
    ResultCollector,
    Row,
    fit_rows,
    to_json,
)

log = logging.getLogger("ved")

_MAX_ANNOTATIONS = 20
"""The most annotations of a pair. GitHub shows ten of each level."""


@dataclass
class RunOutcome:
    """The results of a run so far. A mode fills them in, and they can be read at any time.

    Attributes:
        collector: receives the results of mode `build`.
        planned: the results of mode `plan`.
        reported: the rows of mode `report`.
        selected: the pairs that the run is about, as soon as they are known.
        matrix: the pairs that a plan would build, by the jobs that would build them.
        problems: the errors that ended the run early.
        problem_status: the exit status if there are problems.
    """

    collector: ResultCollector = field(default_factory=ResultCollector)
    planned: Sequence[Result] = ()
    reported: Sequence[Row] = ()
    selected: Sequence[Pair] = ()
    matrix: Mapping[str, Any] = field(default_factory=lambda: {"include": []})
    problems: list[VedError] = field(default_factory=list)
    problem_status: int = 0

    @property
    def results(self) -> Sequence[Result]:
        """The results so far, in the manifest's order; none in mode `report`."""
        return self.planned or self.collector.results

    @property
    def rows(self) -> list[Row]:
        """A row for each pair. If the run failed as a whole, each row says why."""
        if self.reported:
            return list(self.reported)
        results = self.results
        if not results and self.problems:
            why = self.problems[0]
            results = [Result(pair, "failed", str(why), code=why.code) for pair in self.selected]
        return [Row.of(result) for result in results]

    def fail(self, status: int, problem: VedError) -> None:
        """Add a problem; the exit status is that of the first one."""
        self.problem_status = self.problem_status or status
        self.problems.append(problem)


def write_reports(inputs: Inputs, outcome: RunOutcome, runner: WorkflowCommands) -> int:
    """Annotate the manifest, set the outputs, and write the files and the job summary.

    Args:
        inputs: the action's inputs.
        outcome: the results. The error of a file that cannot be written is added to them.
        runner: receives the annotations.

    Returns:
        The exit status of the action.
    """
    results = outcome.results
    # Reported rows come from other jobs, which may not know the secrets of this one.
    rows = [_cleaned(row) for row in outcome.rows]
    failed = sum(row.action in BAD for row in rows)
    _annotate(results, runner)
    fitting = fit_rows(rows, OUTPUT_BYTES)
    if len(fitting) < len(rows):
        log.warning("The output results has only %d of %d pairs.", len(fitting), len(rows))
    outputs = {
        "results": to_json(fitting),
        "matrix": KNOWN.redact(json.dumps(outcome.matrix)),
        "pending": str(sum(len(each["repos"]) for each in outcome.matrix["include"])),
        "built": str(sum(row.action == "built" for row in rows)),
        "failed": str(failed),
    }
    contents = {
        "results": (inputs.results_file, to_json(fit_rows(rows, RESULTS_FILE_BYTES)) + "\n"),
        "checksums": (inputs.checksums_file, KNOWN.redact(_checksums(results))),
    }
    steps = [partial(set_output, *output) for output in outputs.items()]
    steps += [partial(write_file, kind, *content) for kind, content in contents.items()]
    for step in steps:
        _attempt(step, outcome, runner)
    _attempt(lambda: _write_summary(inputs, outcome, rows), outcome, runner)
    return outcome.problem_status or (ExitStatus.FAILED if failed else ExitStatus.WELL)


def _write_summary(inputs: Inputs, outcome: RunOutcome, rows: Sequence[Row]) -> None:
    failed_as_a_whole = not outcome.results and not outcome.reported
    timeline = gantt({result.pair.repo: result.steps for result in outcome.results})
    endpoint = inputs.endpoint or "https://huggingface.co"
    of_pairs = [] if failed_as_a_whole else rows
    write_summary(KNOWN.redact(render_summary(of_pairs, outcome.problems, endpoint, timeline)))


def _annotate(results: Sequence[Result], runner: WorkflowCommands) -> None:
    for result in results:
        annotations = result.annotations()
        if len(annotations) > _MAX_ANNOTATIONS:
            annotations.sort(key=lambda each: each[0] != "error")
        for level, key, message in annotations[:_MAX_ANNOTATIONS]:
            runner.annotate(message, result.pair.location(key), result.pair.repo, level)


def _attempt(step: Callable[[], None], outcome: RunOutcome, runner: WorkflowCommands) -> None:
    """Write something; annotate and add its problem, unless that has ended the run already."""
    try:
        step()
    except RequestError as error:
        if str(error) not in map(str, outcome.problems):
            runner.annotate(error.text)
            outcome.fail(ExitStatus.WRONG_REQUEST, error)


def _checksums(results: Sequence[Result]) -> str:
    """Return the published files in the format of sha256sum, which actions/attest reads."""
    return "".join(
        f"{digest}  {result.pair.repo}/{name}\n"
        for result in results
        for name, digest in result.checksums.items()
    )


def _cleaned(row: Row) -> Row:
    """Return a row without secrets, which its texts may have got after they were written.

    Each text by itself: in JSON and in Markdown a secret may be escaped, and not be found.
    """
    return Row.model_validate(row.model_dump())
