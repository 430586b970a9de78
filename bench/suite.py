"""Measures how long the project's own checks take."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TITLE = "Tests"
ROOT = Path(__file__).parents[1]
COMMANDS = ("make check", "make test")
TIERS = ("unit", "hub", "slow")


def measure(kept: Path, folder: Path) -> Iterator[str]:
    """Yield how long each command takes, as Markdown.

    Args:
        kept: not needed.
        folder: not needed.

    Raises:
        CalledProcessError: a linter or a test failed.
    """
    counts = ", ".join(f"{_count(tier)} {tier}" for tier in TIERS)
    yield (
        f"Test items by marker: {counts}. Everything that the tests install was installed before."
    )
    rows = "\n".join(f"| `{command}` | {_run(command)} |" for command in COMMANDS)
    yield f"| command | time | tests |\n| --- | ---: | ---: |\n{rows}"


def _count(tier: str) -> int:
    """Return the number of test items of a tier."""
    printed = subprocess.check_output(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", tier], cwd=ROOT, text=True
    )
    return int(re.findall(r"(\d+)(?:/\d+)? tests collected", printed)[-1])


def _run(command: str) -> str:
    """Run a command of the Makefile, and return two cells of a table."""
    start = time.perf_counter()
    result = subprocess.run(command.split(), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    seconds = round(time.perf_counter() - start)
    if result.returncode:
        print(result.stdout, file=sys.stderr)  # names the test that failed
    result.check_returncode()
    printed = result.stdout
    passed = re.findall(r"(\d+) passed", printed)[-1]
    return f"{seconds // 60} min {seconds % 60} s | {passed} passed"
