"""The modes of the action: build, plan and report."""

import json
import logging
import os
from pathlib import Path

from huggingface_hub import HfApi

from ved import commands
from ved.action import events
from ved.action.credentials import check_plan, publisher_of
from ved.action.inputs import Inputs
from ved.action.outputs import OUTPUT_BYTES
from ved.action.reports import RunOutcome
from ved.action.workflow_commands import WorkflowCommands
from ved.action.workspace import check_in_workspace
from ved.errors import ErrorCode, RequestError, VedError, as_ved_error
from ved.hub import connect, stored_tokens
from ved.hub.oidc import REQUEST_URL
from ved.interruption import ExitStatus
from ved.manifest import Manifest, ManifestError
from ved.planning import RunOptions, parse_shard, parse_shard_count
from ved.redaction import KNOWN
from ved.sizes import parse_size
from ved.text import clean

log = logging.getLogger("ved")

_MAX_REASON = 500
"""The most characters of a reason in the log of mode `report`. The summary has more of it."""


def run_mode(inputs: Inputs, outcome: RunOutcome, runner: WorkflowCommands) -> None:
    """Do what the mode says; annotate an error that ends it early.

    Args:
        inputs: the action's inputs.
        outcome: receives the results, and the error.
        runner: receives annotations, and secrets that become known.

    Raises:
        KeyboardInterrupt: the process is interrupted.
    """
    try:
        for token in stored_tokens():
            if token not in KNOWN:
                runner.mask(token)
        _run_mode(inputs, outcome, runner)
    except ManifestError as error:
        for problem in error.problems:
            runner.annotate(problem.text, problem)
            outcome.fail(ExitStatus.WRONG_REQUEST, VedError(str(problem), code=problem.code))
    except RequestError as error:
        runner.annotate(error.text)
        outcome.fail(ExitStatus.WRONG_REQUEST, error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # libraries in Rust raise an error that is not an Exception
        log.exception("Unexpected error")
        explained = as_ved_error(error)
        runner.annotate(explained.text)
        outcome.fail(ExitStatus.FAILED, explained)


def _run_mode(inputs: Inputs, outcome: RunOutcome, runner: WorkflowCommands) -> None:
    modes = {"build": _build, "plan": _plan, "report": _report}
    if inputs.mode not in modes:
        raise RequestError(
            f"There is no mode {inputs.mode!r}.",
            f"The modes are {', '.join(modes)}.",
            code=ErrorCode.WRONG_INPUT,
        )
    check_in_workspace("results", inputs.results_file)
    check_in_workspace("checksums", inputs.checksums_file)
    modes[inputs.mode](inputs, outcome, runner)


def _build(inputs: Inputs, outcome: RunOutcome, runner: WorkflowCommands) -> None:
    manifest, options = _validate(inputs, outcome)
    events.check_may_publish(os.environ)
    api = _connect(inputs)
    publisher = publisher_of(inputs, api, runner)
    commands.build(manifest, options, api, publisher=publisher, collector=outcome.collector)


def _plan(inputs: Inputs, outcome: RunOutcome, runner: WorkflowCommands) -> None:
    manifest, options = _validate(inputs, outcome)
    count = parse_shard_count(inputs.shards)
    api = _connect(inputs)
    doubt = check_plan(inputs, api)
    plan = commands.plan(manifest, options, api)
    print(plan.lines())
    outcome.planned = plan.results
    matrix = plan.matrix(count)
    if len(json.dumps(matrix)) > OUTPUT_BYTES:
        raise RequestError(
            "The output matrix would be longer than the runner accepts.",
            "Divide the manifest, or select pairs by the input only.",
            code=ErrorCode.WRONG_INPUT,
        )
    outcome.matrix = matrix
    if doubt and matrix["include"]:
        runner.annotate(doubt.text, level="warning")


def _validate(inputs: Inputs, outcome: RunOutcome) -> tuple[Manifest, RunOptions]:
    """Return the manifest and the options; note the selected pairs, in case that the run fails."""
    # A link of a pull request could lead to any file, and errors of a manifest quote it.
    check_in_workspace("manifest", str(inputs.manifest))
    try:
        manifest = commands.validate(inputs.manifest)
    except RequestError as error:
        if error.code is ErrorCode.MANIFEST_NOT_READABLE and not any(Path.cwd().iterdir()):
            raise RequestError(
                f"{error.cause} The workspace has no files at all.",
                "Check out the repository first: add a step with uses: actions/checkout before "
                "this one.",
                code=error.code,
            ) from error
        raise
    options = RunOptions(
        only=parse_shard(inputs.shard) if inputs.shard else inputs.only,
        max_disk=parse_size(inputs.max_disk) if inputs.max_disk else None,
        allowed_namespaces=inputs.allowed_namespaces,
        workspace=Path.cwd(),
    )
    outcome.selected = commands.select(manifest, options.only)
    return manifest, options


def _report(inputs: Inputs, outcome: RunOutcome, _: WorkflowCommands) -> None:
    if not inputs.results:
        raise RequestError(
            "Mode report has no results.",
            "Set the input results to the folder of the results files.",
            code=ErrorCode.JOB_WITHOUT_RESULTS,
        )
    outcome.reported = commands.report(Path(inputs.results))
    for row in outcome.reported:
        log.info("%s: %s: %s", row.repo, row.action, clean(row.reason, _MAX_REASON))


def _connect(inputs: Inputs) -> HfApi:
    """Return the client of the Hub, which may send tokens to GitHub's issuer, too."""
    issuer = os.environ.get(REQUEST_URL)
    return connect(inputs.token or None, *([issuer] if issuer else []))
