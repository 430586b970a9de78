"""The directories that stay after a run of the tests, because they take long to create."""

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """Return a directory of the tests in the user's cache. It may be deleted between runs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ved" / name
