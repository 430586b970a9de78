"""Environments with other libraries than this one, and settings of processes that run models."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

_COMPILATION_CACHE = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
_REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def python(name: str) -> Path:
    """Return the interpreter of the environment that requirements/NAME.txt locks.

    The first call downloads packages and creates the environment in the user's cache directory,
    where later runs find it.

    Raises:
        CalledProcessError: the environment cannot be created.
    """
    lock = _REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    environment = cache / "ved" / "environments" / f"{name}-{digest}"
    environment.parent.mkdir(parents=True, exist_ok=True)
    interpreter = environment / "bin" / "python"
    # Environments cannot be moved into place, so a file marks the complete ones.
    complete = environment / "complete"
    with FileLock(f"{environment}.lock"):
        if not complete.exists():
            shutil.rmtree(environment, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", environment], check=True)
            install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:"]
            subprocess.run([interpreter, *install, "--requirement", lock], check=True)
            complete.touch()
    return interpreter


def quick_compilation() -> dict[str, str]:
    """Return environment variables with which a process spends less time on compiling with XLA.

    Most of the time of a small model goes into compiling. Processes of one run of the tests share
    what they compiled.
    """
    cache = {name: value for name, value in os.environ.items() if name in _COMPILATION_CACHE}
    return {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", **cache}
