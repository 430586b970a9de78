"""Run the command line: `ved`, or `python -m ved`."""

import sys
from typing import NoReturn


def run() -> NoReturn:
    """Run the command of this process, and end the process."""
    try:
        from ved.cli import run as run_command  # which takes a moment
    except KeyboardInterrupt:
        sys.exit(130)  # as `ved.interruption` does, which may not have been imported yet
    run_command()


if __name__ == "__main__":
    run()
