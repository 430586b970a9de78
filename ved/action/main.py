"""GitHub Actions: inputs, outputs, annotations, masks, job summary.

Source of the formats: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
"""

import io
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ved import environment, interruption
from ved.action import events
from ved.errors import ErrorCode, RequestError, VedError, as_ved_error
from ved.manifest.loading import ManifestError, load
from ved.markdown import plain_text
from ved.results.rows import Row

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from ved.planning.options import RunOptions
    from ved.results.result import Result

from ved.action.files import path_in_workspace, set_output, write_file, write_summary
from ved.action.inputs import Inputs
from ved.action.workflow_commands import (
    UNENCODABLE,
    RedactedLog,
    StopCommands,
    annotate,
    issue_command,
    known_secrets,
    redact,
)

log = logging.getLogger("ved")

FAILED, WRONG_REQUEST = 1, 2


@dataclass(frozen=True)
class RunOutcome:
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
    interruption.install_signal_handlers()
    interruption.exit_process(main())


def main() -> int:
    """Run the action, and return its exit status: 0 well, 1 a pair failed, 2 a wrong request."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = sys.stderr = RedactedLog(sys.stdout.detach(), "utf-8", UNENCODABLE)
    inputs = Inputs.read(os.environ)
    if inputs.token:
        issue_command("add-mask", inputs.token)
        known_secrets.append(inputs.token)
    environment.prepare(progress_bars=False, endpoint=inputs.endpoint)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    problems: list[VedError] = []
    outcome, status = RunOutcome(), WRONG_REQUEST
    try:
        with StopCommands() as unheeded:
            outcome = _run(inputs, unheeded.mask)
    except ManifestError as error:
        problems = [VedError(str(problem), code=problem.code) for problem in error.problems]
        for problem in error.problems:
            annotate(problem.text, problem)
    except RequestError as error:
        problems = [error]
        annotate(error.text)
    except Exception as error:
        with StopCommands():
            log.exception("Unexpected error")
        problems, status = [as_ved_error(error)], FAILED
        annotate(problems[0].text)
    except KeyboardInterrupt:
        problems, status = (
            [VedError("The job was cancelled.", code=ErrorCode.RUN_ENDED_EARLY)],
            interruption.INTERRUPTED,
        )
        print(problems[0])
    return write_reports(inputs, outcome, problems, status)


def _run(inputs: Inputs, mask: Callable[[str], None]) -> RunOutcome:
    """Do what the mode says.

    Args:
        inputs: the action's.
        mask: has the runner hide a secret.
    """
    modes = {"build": _build, "plan": _plan, "report": _report}
    if inputs.mode not in modes:
        raise RequestError(
            f"There is no mode {inputs.mode!r}.",
            f"It is one of {', '.join(modes)}.",
            code=ErrorCode.WRONG_INPUT,
        )
    path_in_workspace("results", inputs.results_file)
    path_in_workspace("checksums", inputs.checksums_file)
    return modes[inputs.mode](inputs, mask)


def _build(inputs: Inputs, mask: Callable[[str], None]) -> RunOutcome:
    manifest = load(inputs.manifest)
    # Imported after the environment is prepared, and only for a manifest that is right.
    from ved import commands
    from ved.hub import oidc
    from ved.hub.access import HubAccess

    events.check_may_publish(os.environ)
    api = _api(inputs)
    publisher = None
    # Where there is no token either, why there is no identity is what a job's author has to know.
    is_job = os.environ.get("GITHUB_ACTIONS") == "true"
    if oidc.offers_identity(os.environ) or (is_job and not HubAccess(api).has_token):
        publisher = oidc.Publisher(api.endpoint, os.environ, mask)
    results = commands.build(manifest, _options(inputs), api, publisher=publisher)
    return RunOutcome([Row.of(result) for result in results], results)


def _plan(inputs: Inputs, _: Callable[[str], None]) -> RunOutcome:
    manifest = load(inputs.manifest)
    from ved import commands
    from ved.planning.matrix import parse_shard_count

    count = parse_shard_count(inputs.shards)
    plan = commands.plan(manifest, _options(inputs), _api(inputs))
    print(plan.lines())
    return RunOutcome([Row.of(result) for result in plan.results], plan.results, plan.matrix(count))


def _report(inputs: Inputs, _: Callable[[str], None]) -> RunOutcome:
    from ved.results.rows import collect

    if not inputs.results:
        raise RequestError(
            "Mode report has no results.",
            "Name their folder in the input results.",
            code=ErrorCode.JOB_WITHOUT_RESULTS,
        )
    rows = collect(Path(inputs.results))
    for row in rows:
        log.info("%s: %s: %s", row.repo, row.action, row.reason)
    return RunOutcome(rows)


def _options(inputs: Inputs) -> "RunOptions":
    from ved.planning.matrix import parse_shard
    from ved.planning.options import RunOptions
    from ved.sizes import parse_size

    only = parse_shard(inputs.shard) if inputs.shard else inputs.only
    return RunOptions(
        only=only,
        max_disk=parse_size(inputs.max_disk) if inputs.max_disk else None,
        allowed_namespaces=inputs.allowed_namespaces,
    )


def _api(inputs: Inputs) -> "HfApi":
    from ved.hub.http import connect
    from ved.hub.oidc import REQUEST_URL

    return connect(inputs.token or None, *filter(None, [os.environ.get(REQUEST_URL)]))


def write_reports(
    inputs: Inputs, outcome: RunOutcome, problems: Sequence[VedError], status: int
) -> int:
    """Annotate the manifest, set the outputs, write the summary, and return the exit status."""
    from ved.action.summary import help_links, results_table
    from ved.action.timeline import gantt
    from ved.results.result import BAD
    from ved.results.rows import to_json

    rows = [_without_secrets(row) for row in outcome.rows]
    for result in outcome.results:
        for level, key, message in result.annotations():
            annotate(message, result.pair.location(key), result.pair.repo, level)
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
        set_output(name, value)
    try:
        write_file("results", inputs.results_file, results + "\n")
        write_file("checksums", inputs.checksums_file, _checksums(outcome.results))
    except RequestError as error:
        if str(error) not in map(str, problems):
            annotate(error.text)
            problems = [*problems, error]
    told = [] if rows else ["Nothing was done."]
    if problems:
        told.append("\n".join(f"- {plain_text(redact(str(problem)))}" for problem in problems))
        told.append(help_links(dict.fromkeys(problem.code for problem in problems)))
    if rows:
        told.append(results_table(rows, inputs.endpoint or "https://huggingface.co"))
        told.append(gantt({result.pair.repo: result.steps for result in outcome.results}))
    write_summary("\n\n".join(filter(None, told)))
    return status if problems else FAILED if failed else 0


def _checksums(results: "Sequence[Result]") -> str:
    """Return what was published as sha256sum has it, for actions/attest to make a statement of."""
    return "".join(
        f"{digest}  {result.pair.repo}/{name}\n"
        for result in results
        for name, digest in result.checksums.items()
    )


def _without_secrets(row: "Row") -> "Row":
    hidden = {
        name: redact(value) for name, value in row if isinstance(value, str) and name != "action"
    }
    warnings = [redact(warning) for warning in row.warnings]
    return row.model_copy(update={**hidden, "warnings": warnings})
