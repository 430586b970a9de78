"""Run the action as the program of a step."""

import io
import logging
import os
import sys
from typing import NoReturn

from ved import environment, interruption
from ved.action.inputs import Inputs
from ved.action.masking import RedactedLog, Secrets, secrets_of
from ved.action.workflow_commands import WorkflowCommands
from ved.errors import ErrorCode, VedError


def run() -> NoReturn:
    """Run the action and end the process."""
    interruption.hold_signals()
    interruption.install_signal_handlers()
    interruption.exit_process(main())


def main() -> int:
    """Run the action.

    Returns:
        The exit status: 0 if all is well, 1 if a pair failed or was refused, 2 if the request is
        wrong, 130 if the job was cancelled.
    """
    secrets = Secrets()
    runner = WorkflowCommands(_redact_output(secrets))
    for secret in secrets_of(os.environ):
        runner.mask(secret)
    inputs = Inputs.read(os.environ)
    environment.prepare(progress_bars=False, endpoint=inputs.endpoint)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    # These import huggingface_hub, which reads the environment when it is imported. Signals are
    # held back until then: there is nothing to report with before, and numpy is imported only once.
    from ved.action.modes import run_mode
    from ved.action.reports import RunOutcome, write_reports

    outcome = RunOutcome()
    try:
        interruption.release_signals()
        run_mode(inputs, outcome, runner, secrets)
        interruption.ignore_signals()
    except KeyboardInterrupt:
        # GitHub sends a second signal after 7.5 seconds, which must not end the reporting.
        interruption.ignore_signals()
        cancelled = VedError("The job was cancelled.", code=ErrorCode.RUN_ENDED_EARLY)
        outcome.fail(interruption.ExitStatus.INTERRUPTED, cancelled)
        print(cancelled)
    return write_reports(inputs, outcome, runner, secrets)


def _redact_output(secrets: Secrets) -> RedactedLog:
    """Have standard output and standard error redact secrets; return the log that both become."""
    assert isinstance(sys.stdout, io.TextIOWrapper)
    redacted = RedactedLog(sys.stdout.detach(), secrets)
    sys.stdout = sys.stderr = redacted
    return redacted
