"""Runs the tests in several random orders, and some of them alone.

`python -m tests.support.isolation --orders 3 --draw 30` runs all tests three times, and 30 randomly
drawn tests in a process of their own each. Arguments after `--` go to pytest: `-- -m "not slow"`.
"""

import argparse
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
IN_PARALLEL = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadscope")
LARGEST_SEED = 10**6


def main() -> int:
    """Run what the command line asks for, and return the number of failed runs."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.isolation", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--orders", type=int, default=3, help="random orders of all tests")
    parser.add_argument("--draw", type=int, default=30, help="tests to run alone")
    parser.add_argument("--seed", type=int, help="repeats the choices of an earlier run")
    parser.add_argument("arguments", nargs="*", help="arguments of pytest")
    options = parser.parse_args()
    seed = random.randrange(LARGEST_SEED) if options.seed is None else options.seed
    print(f"Seed: {seed}", flush=True)
    generator = random.Random(seed)
    failed = []
    for _ in range(options.orders):
        order = [f"--randomly-seed={generator.randrange(LARGEST_SEED)}"]
        if _run([*IN_PARALLEL, "--no-loadscope-reorder", *order, *options.arguments]):
            failed.append(" ".join(order))
    names = _collect(options.arguments) if options.draw else []
    for name in generator.sample(names, min(options.draw, len(names))):
        if _run([name]):
            failed.append(name)
    print("\n".join(["Failed:", *failed]) if failed else "Everything passed.")
    return len(failed)


def _run(arguments: Sequence[str]) -> int:
    """Run pytest, print what it was asked and its last line, and return its exit status."""
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = run.stdout.splitlines() or [run.stderr]
    print(f"{' '.join(arguments)}: {lines[-1]}", flush=True)
    if run.returncode:
        print(run.stdout, run.stderr, sep="\n", flush=True)
    return run.returncode


def _collect(arguments: Sequence[str]) -> list[str]:
    """Return the names of the tests, sorted."""
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *arguments]
    printed = subprocess.check_output(command, cwd=ROOT, text=True)
    return sorted(line for line in printed.splitlines() if "::" in line)


if __name__ == "__main__":
    sys.exit(main())
