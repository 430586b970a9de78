"""The commit of VED that is installed, for the workflow that `ved init` writes.

A commit cannot contain its own hash, so the files of a release cannot name it. But pip records the
commit that it installs from a repository. Source of the format: https://peps.python.org/pep-0610.
"""

import json
import re
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = "https://github.com/ved-action/ved"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[\w./-]{1,100}")


class Pin(NamedTuple):
    """A commit of VED.

    Attributes:
        commit: its hash.
        name: the tag or branch that was asked for, such as v0.1.0.
    """

    commit: str
    name: str


def installed_pin(folder: Path = Path(__file__).parents[2]) -> Pin | None:
    """Return the commit of this installation; None if pip did not install it from the repository.

    Args:
        folder: the folder that the package `ved` is in, such as site-packages.
    """
    for record in _records(folder):
        source, name = record.get("vcs_info"), "main"
        url = str(record.get("url")).rstrip("/").removesuffix(".git")
        if url != REPOSITORY or not isinstance(source, dict):
            continue
        commit, asked = str(source.get("commit_id")), str(source.get("requested_revision", name))
        if _COMMIT.fullmatch(commit):
            return Pin(commit, asked if _NAME.fullmatch(asked) else name)
    return None


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what pip recorded of each package in a folder that is from no index."""
    for each in distributions(path=[str(folder)]):
        try:
            record = json.loads(each.read_text("direct_url.json") or "{}")
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            yield record
