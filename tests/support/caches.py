"""The directories that stay after a run of the tests, because they take long to create."""

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """Return a directory of the tests in the user's cache. It may be deleted between runs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ved" / name


COMPILATION = {
    name: os.environ.get(name, value)
    for name, value in {
        "JAX_COMPILATION_CACHE_DIR": str(user_cache("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }.items()
}
"""The environment variables with which processes share what XLA compiles, also with later runs.

Half of the time of tests that compute with models is compiling. VED itself deletes the variables.
"""
