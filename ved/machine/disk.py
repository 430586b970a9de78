"""Measure free disk space."""

import shutil
from pathlib import Path


def free_disk(path: Path) -> int:
    """Return the bytes that this user may still write at a path, which need not exist yet.

    Raises OSError where the path cannot be looked at.
    """
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    return shutil.disk_usage(nearest).free
