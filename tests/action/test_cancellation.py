"""Runs that end early: outputs, files and summary have all results up to then."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import pytest

from examples.demo.runner import COMMAND, ENTRYPOINT, Run, prepare_step, read_run
from tests.support.action import (
    Action,
    annotations,
    code_of,
    explanations,
    only_commands,
    rows_of,
    summary_rows,
    text_blocks,
)
from tests.support.publishing import client, download, heads, pair
from ved.errors import ErrorCode
from ved.execution.source_store import SourceStore
from ved.interruption import ExitStatus
from ved.localhub import LocalHub

DELAY = 20.0
"""Seconds for which the Hub delays a request."""

TOO_LONG = 60.0
"""Seconds after which a cancelled run is killed."""


def assert_reports(
    action: Action, hub: LocalHub, run: Run, published: str, unfinished: str
) -> None:
    """Check that a run reports one pair as published and another one as unfinished."""
    head = heads(hub)[published]
    rows = {row["repo"]: row for row in rows_of(run)}
    assert (rows[published]["action"], rows[published]["commit"]) == ("built", head)
    assert rows[unfinished]["action"] == "failed"
    assert rows[unfinished]["codes"] == [ErrorCode.RUN_ENDED_EARLY]
    assert (run.outputs["built"], run.outputs["failed"]) == ("1", "1")
    assert (action.workspace / "results.json").read_text() == run.outputs["results"] + "\n"
    lines = (action.workspace / "checksums.txt").read_text().splitlines()
    names = {line.split("  ")[1] for line in lines}
    assert names >= {f"{published}/model.safetensors", f"{published}/ved.json"}
    assert all(name.startswith(f"{published}/") for name in names)
    assert {row[0]: row[1] for row in summary_rows(run)} == {
        published: "✅ built",
        unfinished: "❌ failed",
    }
    assert explanations(run.summary)[1] == [f"{hub.endpoint}/{published}/commit/{head}"]
    assert "Nothing was done." not in run.summary


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail if it takes too long."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def has_arrived(hub: LocalHub, method: str, path: str) -> bool:
    """Tell whether the Hub got a request for a path that begins like this."""
    return any(each.method == method and each.path.startswith(path) for each in hub.requests)


# GitHub's cancellation


@pytest.mark.slow
def test_cancelled_build_reports_what_was_published(
    reporting_action: Action, hub: LocalHub
) -> None:
    action = reporting_action
    checked, sent = "owner/cancelled-in-check", "owner/cancelled-in-upload"
    # The one is delayed in the check after its commit, the other one before its commit.
    hub.faults.add("GET", f"^/lfs/models/{checked}/", delay=DELAY)
    hub.faults.add("PUT", f"^/lfs/models/{sent}/", delay=DELAY)
    home = action.folder / "home"
    for directory in (action.workspace, home):
        directory.mkdir(parents=True)
    action.write_manifest([pair(checked), pair(sent)])
    environ = prepare_step(action.inputs, action.workspace, home)
    environ["HF_HUB_DISABLE_XET"] = "1"  # the path of an LFS upload has the repo
    output = home / "github_output"
    output.unlink()
    os.mkfifo(output)  # the process waits here until somebody reads

    with subprocess.Popen(
        COMMAND,
        cwd=action.workspace,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            wait_until(lambda: has_arrived(hub, "GET", f"/lfs/models/{checked}/"))
            wait_until(lambda: has_arrived(hub, "PUT", f"/lfs/models/{sent}/"))
            process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            log = ""
            for line in process.stdout:
                log += line
                if line == "The job was cancelled.\n":
                    break
            # GitHub's second signal, while the outputs are being written.
            process.send_signal(signal.SIGTERM)
            reader = os.open(output, os.O_RDWR | os.O_NONBLOCK)
            watchdog = Timer(TOO_LONG, process.kill)
            watchdog.start()
            log += process.stdout.read()
            process.wait()
            watchdog.cancel()
        finally:
            process.kill()
    written = os.read(reader, 2**16)
    os.close(reader)
    output.unlink()
    output.write_bytes(written)
    run = read_run(process.returncode, log, home)

    assert run.status == ExitStatus.INTERRUPTED, log
    assert "Traceback" not in log
    assert [code_of(each) for each in annotations(run)] == [ErrorCode.RUN_ENDED_EARLY]
    only_commands(run, "add-mask", "error")
    assert text_blocks(run.summary)[1] == "The job was cancelled."
    assert_reports(action, hub, run, checked, sent)


DURING_IMPORTS = f"""
import os, runpy, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Interrupt())
sys.path.insert(0, {str(ENTRYPOINT.parent)!r})
runpy.run_path({str(ENTRYPOINT)!r}, run_name="__main__")
"""
"""Runs the action, with a signal while its libraries are imported."""


def test_cancelled_run_reports_during_its_first_imports(
    reporting_action: Action, hub: LocalHub
) -> None:
    action = reporting_action
    home = action.folder / "home"
    for directory in (action.workspace, home):
        directory.mkdir(parents=True)
    action.write_manifest([pair("owner/cancelled-early")])
    environ = prepare_step(action.inputs, action.workspace, home)
    ended = subprocess.run(
        [sys.executable, "-c", DURING_IMPORTS],
        cwd=action.workspace,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TOO_LONG,
    )
    run = read_run(ended.returncode, ended.stdout, home)
    assert run.status == ExitStatus.INTERRUPTED, run.log
    assert "Traceback" not in run.log
    assert f"#{ErrorCode.RUN_ENDED_EARLY}" in run.summary
    assert run.outputs["results"] == "[]"
    assert "owner/cancelled-early" not in heads(hub)


# Unexpected errors


def test_unexpected_error_keeps_the_results_of_earlier_pairs(
    reporting_action: Action, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = reporting_action
    first, second = "owner/before-an-error", "owner/at-an-error"
    released: list[object] = []

    def fail_at_second(_: SourceStore, sources: object) -> None:
        released.append(sources)
        if len(released) == 2:
            wait_until(lambda: client(hub).repo_exists(first))
            wait_until(lambda: client(hub).file_exists(first, "ved.json"))
            raise ZeroDivisionError

    monkeypatch.setattr(SourceStore, "release", fail_at_second)
    run = action.run([pair(first), pair(second, seed=1)])

    assert run.status == 1
    assert ErrorCode.VED_ITSELF_FAILED in [code_of(each) for each in annotations(run)]
    assert "ZeroDivisionError" in run.log
    assert_reports(action, hub, run, first, second)
    assert "ved.json" in download(hub, first, tmp_path)
