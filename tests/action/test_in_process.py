"""Runs of the action in this process: they are like a process of their own, and leave no trace."""

import logging
import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import get_session

from examples.demo.runner import Run
from tests.support.action import Action
from tests.support.publishing import pair

DEBUG = {"HF_DEBUG": "1", "HF_TOKEN": "hf_elsewhere"}


def process_state() -> dict[str, Any]:
    """Return all of the process that a run changes."""
    return {
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "streams": (sys.stdout, sys.stderr),
        "temporary": tempfile.tempdir,
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "handlers": list(logging.getLogger().handlers),
        "streams of handlers": [
            getattr(handler, "stream", None)
            for handler in logging.getLogger("huggingface_hub").handlers
        ],
        "levels": [logging.getLogger(name).level for name in ("", "ved", "huggingface_hub")],
        "disabled": logging.root.manager.disable,
        "constants": {name: value for name, value in vars(constants).items() if name.isupper()},
        "session": type(get_session()),
    }


@pytest.mark.parametrize(
    "inputs", [{"mode": "plan"}, {"mode": "plan", "endpoint": "http://127.0.0.1:1"}, {"mode": "x"}]
)
def test_run_in_process_restores_the_process(inputs: dict[str, str], action: Action) -> None:
    before = process_state()
    action.run([pair("owner/x")], DEBUG, **inputs)
    after = process_state()
    assert {name for name in before if before[name] != after[name]} == set()


def comparable(run: Run) -> Run:
    """Return a run without what differs from one run to the next."""
    numbers = {"seconds": r'"seconds":[\d.]+', "token": r"[0-9a-f]{32}(?=\n|::)"}
    log = re.sub(numbers["token"], "TOKEN", run.log)
    outputs = {
        name: re.sub(numbers["seconds"], "SECONDS", text) for name, text in run.outputs.items()
    }
    return Run(run.status, log, outputs, run.summary)


@pytest.mark.slow
def test_run_in_process_is_like_a_process(action: Action) -> None:
    pairs = [pair("owner/new"), pair("owner/bad", decoder="team/vit")]
    first = action.run(pairs, mode="plan")
    second = action.run_as_process(pairs, mode="plan")
    assert comparable(first) == comparable(second)
