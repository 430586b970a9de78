"""Run the action as the program of a step."""

import os
import sys
import traceback
from typing import NoReturn

from ved import environment, interruption, logs
from ved.action.descriptors import TakenDescriptors
from ved.action.inputs import Inputs
from ved.action.log import StepLog
from ved.action.workflow_commands import WorkflowCommands
from ved.errors import ErrorCode, VedError
from ved.examination import sandbox
from ved.interruption import ExitStatus
from ved.redaction import environment_secrets


def run() -> NoReturn:
    """Run the action and end the process."""
    interruption.hold_signals()
    interruption.install_signal_handlers()
    sandbox.hide_process()
    descriptors = TakenDescriptors()
    status: int = ExitStatus.FAILED
    try:
        status = main(descriptors.log)
    except BaseException:  # libraries in Rust raise an error that is not an Exception
        traceback.print_exc()
    finally:
        descriptors.release()
        interruption.exit_process(status)


def main(log: StepLog) -> int:
    """Run the action.

    Args:
        log: becomes standard output and standard error.

    Returns:
        The exit status: 0 if all is well, 1 if a pair failed or was refused, 2 if the request is
        wrong, 130 if the job was cancelled.
    """
    sys.stdout = sys.stderr = log
    runner = WorkflowCommands(log)
    for secret in environment_secrets(os.environ):
        runner.mask(secret)
    inputs = Inputs.read(os.environ)
    environment.prepare(endpoint=inputs.endpoint)
    logs.configure(log)
    # These import huggingface_hub, which reads the environment when it is imported. Signals are
    # held back until then: there is nothing to report with before, and numpy is imported only once.
    from ved.action.modes import run_mode
    from ved.action.reports import RunOutcome, write_reports

    outcome = RunOutcome()
    try:
        interruption.release_signals()
        run_mode(inputs, outcome, runner)
        interruption.ignore_signals()
    except KeyboardInterrupt:
        # GitHub sends a second signal after 7.5 seconds, which must not end the reporting.
        interruption.ignore_signals()
        cancelled = VedError("The job was cancelled.", code=ErrorCode.RUN_ENDED_EARLY)
        outcome.fail(ExitStatus.INTERRUPTED, cancelled)
        print(cancelled)
    return write_reports(inputs, outcome, runner)
