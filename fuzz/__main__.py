"""Fuzz all targets, or one: `python -m fuzz [--seconds N] [TARGET ...]`.

atheris mutates the corpus and keeps what reaches new code. An input is a finding if its target
raises an exception, or takes more than `SECONDS` or `MEGABYTES`. atheris then writes the input to
`fuzz/findings/` and ends the process, so each target has a process of its own.
"""

import argparse
import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).parent
SECONDS = 10
"""Time limit of one input."""

MEGABYTES = 1024
"""Memory limit of a process; the libraries take 300 of it."""

INPUT_BYTES = 2**16


def main() -> int:
    """Run targets one after the other, and return 1 if any has a finding."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the readers.")
    parser.add_argument("--seconds", type=int, default=60, help="time for each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    arguments = parser.parse_args()
    names = arguments.targets or sorted(path.name for path in (FUZZ / "corpus").iterdir())
    failed = [name for name in names if not _run(name, arguments.seconds)]
    print(f"Findings in: {', '.join(failed)}" if failed else "No findings.")
    return 1 if failed else 0


def _run(name: str, seconds: int) -> bool:
    """Run a target in a process, and return whether it found nothing."""
    findings, grown = FUZZ / "findings", FUZZ / "grown" / name
    for folder in (findings, grown):
        folder.mkdir(parents=True, exist_ok=True)
    print(f"== {name}", flush=True)
    command = [
        *(sys.executable, "-m", "fuzz.process", name, str(grown), str(FUZZ / "corpus" / name)),
        *(f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}"),
        *(
            f"-max_len={INPUT_BYTES}",
            f"-artifact_prefix={findings}/{name}-",
            "-print_final_stats=1",
        ),
    ]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
