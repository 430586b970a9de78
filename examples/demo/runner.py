"""Runs the action as a GitHub runner does, but without the container."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ENTRYPOINT = Path(__file__).parents[2] / "entrypoint.py"
COMMAND = (sys.executable, "-I", str(ENTRYPOINT))
"""Starts the action, as the container does."""

FILE_COMMANDS = ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_STATE")


@dataclass(frozen=True)
class Run:
    """The result of a run of the action.

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
    command: Sequence[str] = COMMAND,
) -> Run:
    """Run the action in a workspace, as a process.

    Args:
        inputs: the step's `with`; the runner leaves out what is left out here.
        workspace: the checked-out repository, which becomes the working directory.
        home: the directory for the runner's own files and for the Hub's cache.
        variables: further environment variables, such as GITHUB_EVENT_NAME.
        command: the program and its arguments.
    """
    process = subprocess.run(  # noqa: S603
        command,
        cwd=workspace,
        env=prepare_step(inputs, workspace, home, variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return read_run(process.returncode, process.stdout.decode(errors="replace"), home)


def prepare_step(
    inputs: Mapping[str, str],
    workspace: Path,
    home: Path,
    variables: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Create the files of a step, and return its environment variables; see `run_action`."""
    files = {name: home / name.lower() for name in FILE_COMMANDS}
    for file in files.values():
        file.write_text("")
    return {
        "PATH": os.environ["PATH"],
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_WORKSPACE": str(workspace),
        "HOME": str(home),
        **{name: str(file) for name, file in files.items()},
        **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
        **(variables or {}),
    }


def read_run(status: int, log: str, home: Path) -> Run:
    """Return the result of a step whose files are in a directory."""
    outputs, summary = (
        (home / name.lower()).read_bytes().decode()
        for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
    )
    return Run(status, log, parse_outputs(outputs), summary)


def parse_outputs(text: str) -> dict[str, str]:
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
