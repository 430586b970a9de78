"""Find files that look like a manifest, for the error of a manifest that is not there."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_SUFFIXES = (".yaml", ".yml")
_MAX_FOLDERS, _MAX_FILES, _MAX_DEPTH, _MAX_FOUND = 500, 500, 4, 5
_READ_BYTES = 2**16
_KEYS = re.compile(rb"^(pairs|grid)[ \t]*:", re.MULTILINE)


def find_manifests(folder: Path) -> list[str]:
    """Return YAML files with a key of a manifest, relative to a folder; five at most.

    Args:
        folder: where to look, subfolders included but for those whose names begin with a dot.
    """
    candidates = islice(_yaml_files(folder), _MAX_FILES)
    found = (path.relative_to(folder).as_posix() for path in candidates if _is_like(path))
    return sorted(islice(found, _MAX_FOUND))


def _yaml_files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in islice(os.walk(folder), _MAX_FOLDERS):
        is_deep = len(Path(parent).relative_to(folder).parts) >= _MAX_DEPTH
        folders[:] = [] if is_deep else sorted(each for each in folders if each[0] != ".")
        yield from (Path(parent, each) for each in sorted(files) if each.endswith(_SUFFIXES))


def _is_like(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return bool(_KEYS.search(file.read(_READ_BYTES)))
    except OSError:
        return False
