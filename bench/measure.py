"""Runs a worker in a process of its own, and says what it cost."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.environments import python

VARIABLES = {name: os.environ[name] for name in ("PATH", "HOME")}
"""The environment of a measured process: those of VED would change how other programs compute."""


@dataclass(frozen=True)
class Cost:
    """What a process cost.

    Attributes:
        wall: seconds from its start to its end, imports and all.
        cpu: seconds of processor time, in user and in system mode.
        memory: bytes of peak resident set size.
        pairs: seconds that each pair took.
    """

    wall: float
    cpu: float
    memory: int
    pairs: tuple[float, ...]


class DidNotFinishError(Exception):
    """The process failed; the text is the last line that it printed."""


def run(*arguments: str | Path) -> Cost:
    """Run `bench.worker` with these arguments; see `run_script`."""
    return _run([sys.executable, "-m", "bench.worker", *arguments], None)


def run_script(*arguments: Path, memory_limit: int | None = None) -> Cost:
    """Run bench/script.py with these arguments, in the environment of transformers 4.57.6.

    Args:
        arguments: the arguments.
        memory_limit: bytes of private memory that it may take; none if None.

    Raises:
        DidNotFinishError: it exited with another status than 0.
    """
    return _run([python("oracle"), Path(__file__).with_name("script.py"), *arguments], memory_limit)


def _run(command: Sequence[str | Path], memory_limit: int | None) -> Cost:

    def limit() -> None:
        if memory_limit is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (memory_limit, memory_limit))

    os.sync()  # what the last run wrote does not slow this one down
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        env=VARIABLES,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=limit,
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        raise DidNotFinishError(printed[-1] if printed else f"status {process.returncode}")
    return Cost(
        wall,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * 1024,
        tuple(json.loads(printed[-1])),
    )
