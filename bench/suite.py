"""Measures how long the project's own checks take."""

import re
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Iterator
from pathlib import Path

from bench.history import Ratio

TITLE = "Tests"
ROOT = Path(__file__).parents[1]
COMMANDS = ("make check", "make test")
STEPS = 10**8
TIERS = ("unit", "hub", "slow")


def measure(kept: Path, folder: Path) -> Iterator[str | Ratio]:
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
    loop = _seconds_of_a_loop()
    rows = []
    for command in COMMANDS:
        seconds, passed = _run(command)
        rows.append(
            f"| `{command}` | {seconds // 60:.0f} min {seconds % 60:.0f} s "
            f"| {seconds / loop:.0f} | {passed} passed |"
        )
        yield Ratio(f"{command}: wall / a loop of Python", seconds / loop)
    yield (
        f"The yardstick is a loop of Python that counts to {STEPS:,}: {loop:.2f} s.\n\n"
        "| command | time | in loops | tests |\n| --- | ---: | ---: | ---: |\n" + "\n".join(rows)
    )


def _seconds_of_a_loop() -> float:
    """Return how long a loop takes, the median of five, so that machines can be compared."""
    return statistics.median(timeit.repeat("pass", number=STEPS, repeat=5))


def _count(tier: str) -> int:
    """Return the number of test items of a tier."""
    printed = subprocess.check_output(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", tier], cwd=ROOT, text=True
    )
    return int(re.findall(r"(\d+)(?:/\d+)? tests collected", printed)[-1])


def _run(command: str) -> tuple[float, int]:
    """Run a command of the Makefile, and return seconds and the number of tests that passed."""
    start = time.perf_counter()
    result = subprocess.run(command.split(), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - start
    if result.returncode:
        print(result.stdout, file=sys.stderr)  # names the test that failed
    result.check_returncode()
    return seconds, int(re.findall(r"(\d+) passed", result.stdout)[-1])
