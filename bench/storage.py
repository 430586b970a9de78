"""How many bytes the Hub's storage would take that it does not have, by its own engine."""

from collections.abc import Sequence
from pathlib import Path

from hf_xet import XetSession


def new_bytes(stored: Sequence[Path], file: Path, store: Path) -> int:
    """Return how many bytes of `file` are new to a store that holds the `stored` files.

    Args:
        store: an empty directory to keep the store in.
    """
    store.mkdir(parents=True)
    for path in stored:
        _upload(path, store)
    return _upload(file, store)


def _upload(path: Path, store: Path) -> int:
    commit = XetSession().new_upload_commit(endpoint=f"local://{store}")
    commit.start_upload_file(str(path))
    return int(commit.wait_to_finish().dedup_metrics.new_bytes)
