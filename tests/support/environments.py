"""Environments of their own for tests that need other libraries than this one has."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

_REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def python(name: str) -> Path:
    """Return the interpreter of the environment that requirements/NAME.txt locks.

    It is made at the first call, which downloads packages, and kept in the user's cache directory
    for later runs. Raises CalledProcessError when it cannot be made.
    """
    lock = _REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    environment = cache / "ved" / "environments" / f"{name}-{digest}"
    environment.parent.mkdir(parents=True, exist_ok=True)
    interpreter = environment / "bin" / "python"
    # Environments cannot be moved, so one is whole when it says so, not when it is in its place.
    whole = environment / "whole"
    with FileLock(f"{environment}.lock"):
        if not whole.exists():
            shutil.rmtree(environment, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", environment], check=True)
            install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:"]
            subprocess.run([interpreter, *install, "--requirement", lock], check=True)
            whole.touch()
    return interpreter
