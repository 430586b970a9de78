"""Runs the action as a GitHub runner does, but for the container."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ENTRYPOINT = Path(__file__).parents[2] / "entrypoint.py"
FILE_COMMANDS = ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_STATE")


@dataclass(frozen=True)
class Run:
    """What came of a run of the action.

    Attributes:
        status: the exit status.
        log: all that it printed.
        outputs: the step's outputs, by name.
        summary: the job summary, as Markdown.
    """

    status: int
    log: str
    outputs: Mapping[str, str]
    summary: str


def run_action(
    inputs: Mapping[str, str],
    workspace: Path,
    home: Path,
    variables: Mapping[str, str] | None = None,
) -> Run:
    """Run the action in a workspace.

    Args:
        inputs: the step's `with`; what it leaves out is empty, as the runner leaves it.
        workspace: the checked-out repository, which becomes the working directory.
        home: where the runner's own files, and the Hub's cache, go.
        variables: what the environment has besides, such as GITHUB_EVENT_NAME.
    """
    files = {name: home / name.lower() for name in FILE_COMMANDS}
    for file in files.values():
        file.write_text("")
    environment = {
        "PATH": os.environ["PATH"],
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(workspace),
        "HOME": str(home),
        **{name: str(file) for name, file in files.items()},
        **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
        **(variables or {}),
    }
    process = subprocess.run(  # noqa: S603
        [sys.executable, ENTRYPOINT],
        cwd=workspace,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    outputs = _parse_outputs(files["GITHUB_OUTPUT"].read_text())
    summary = files["GITHUB_STEP_SUMMARY"].read_text()
    return Run(process.returncode, process.stdout, outputs, summary)


def _parse_outputs(text: str) -> dict[str, str]:
    """Read `name<<delimiter`, lines, `delimiter`, as the runner does."""
    outputs = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, _, delimiter = line.partition("<<")
        value = []
        for following in lines:
            if following == delimiter:
                break
            value.append(following)
        outputs[name] = "\n".join(value)
    return outputs
