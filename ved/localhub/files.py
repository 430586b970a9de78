"""Atomic writing of files."""

import os
import tempfile
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Replace the content of a file in one step. Only the owner can read the file.

    Readers get the old content or the new content, never a part of one.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(temporary).replace(path)
