"""The modes of the action: build, plan and report."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import HfApi

from ved import commands
from ved.action import events
from ved.action.inputs import Inputs
from ved.action.outputs import OUTPUT_BYTES
from ved.action.reports import RunOutcome
from ved.action.workflow_commands import WorkflowCommands
from ved.action.workspace import check_in_workspace
from ved.errors import ErrorCode, RequestError, VedError, as_ved_error
from ved.hub import HubAccess, Publisher, connect, offers_identity, stored_tokens
from ved.hub.oidc import REQUEST_URL
from ved.interruption import ExitStatus
from ved.manifest import ManifestError
from ved.planning import RunOptions, parse_shard, parse_shard_count
from ved.redaction import KNOWN
from ved.sizes import parse_size
from ved.text import clean

log = logging.getLogger("ved")

_MAX_REASON = 500
"""The most characters of a reason in the log of mode `report`. The summary has more of it."""

_Mask = Callable[[str], None]


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
        _run_mode(inputs, outcome, runner.mask)
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


def _run_mode(inputs: Inputs, outcome: RunOutcome, mask: _Mask) -> None:
    modes = {"build": _build, "plan": _plan, "report": _report}
    if inputs.mode not in modes:
        raise RequestError(
            f"There is no mode {inputs.mode!r}.",
            f"The modes are {', '.join(modes)}.",
            code=ErrorCode.WRONG_INPUT,
        )
    check_in_workspace("results", inputs.results_file)
    check_in_workspace("checksums", inputs.checksums_file)
    modes[inputs.mode](inputs, outcome, mask)


def _build(inputs: Inputs, outcome: RunOutcome, mask: _Mask) -> None:
    manifest = commands.validate(inputs.manifest)
    events.check_may_publish(os.environ)
    options, api = _options(inputs), _connect(inputs)
    publisher = None
    # Without a token and an identity, the error explains how a job gets an identity.
    is_job = os.environ.get("GITHUB_ACTIONS") == "true"
    if offers_identity(os.environ) or (is_job and not HubAccess(api).has_token):
        publisher = Publisher(api.endpoint, os.environ, mask)
    commands.build(manifest, options, api, publisher=publisher, collector=outcome.collector)


def _plan(inputs: Inputs, outcome: RunOutcome, _: _Mask) -> None:
    manifest = commands.validate(inputs.manifest)
    count = parse_shard_count(inputs.shards)
    plan = commands.plan(manifest, _options(inputs), _connect(inputs))
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


def _report(inputs: Inputs, outcome: RunOutcome, _: _Mask) -> None:
    if not inputs.results:
        raise RequestError(
            "Mode report has no results.",
            "Set the input results to the folder of the results files.",
            code=ErrorCode.JOB_WITHOUT_RESULTS,
        )
    outcome.reported = commands.report(Path(inputs.results))
    for row in outcome.reported:
        log.info("%s: %s: %s", row.repo, row.action, clean(row.reason, _MAX_REASON))


def _options(inputs: Inputs) -> RunOptions:
    return RunOptions(
        only=parse_shard(inputs.shard) if inputs.shard else inputs.only,
        max_disk=parse_size(inputs.max_disk) if inputs.max_disk else None,
        allowed_namespaces=inputs.allowed_namespaces,
        workspace=Path.cwd(),
    )


def _connect(inputs: Inputs) -> HfApi:
    """Return the client of the Hub, which may send tokens to GitHub's issuer, too."""
    issuer = os.environ.get(REQUEST_URL)
    return connect(inputs.token or None, *([issuer] if issuer else []))
