"""Writing files so that a reader sees the old content or the new, never half of one."""

import os
import tempfile
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Replace the file's content in one step; only the owner may read a file made by this."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(temporary).replace(path)
