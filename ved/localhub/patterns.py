""".gitattributes and .gitignore: the files that go to LFS, and the files to leave out."""

import re
from collections.abc import Callable
from io import BytesIO

from dulwich.attrs import GitAttributes, compile_gitattributes_patterns, parse_git_attributes
from dulwich.ignore import IgnoreFilter, read_ignore_patterns

# The Hub writes these patterns into the .gitattributes of a new repo.
_LFS_PATTERNS = """
*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack *.npy
*.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors saved_model/**/*
*.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*
"""


def initial_gitattributes() -> bytes:
    """Return the .gitattributes of a new repo."""
    return b"".join(map(_lfs_line, _LFS_PATTERNS.split()))


def literal_lfs_line(path: str) -> bytes:
    """Return the line of .gitattributes that sends exactly this path to LFS."""
    escaped = re.sub(r"([*?\[])", r"\\\1", path)
    return _lfs_line(escaped.replace(" ", "[[:space:]]"))


def lfs_matcher(gitattributes: bytes) -> Callable[[str], bool]:
    """Return a function that tells whether a path belongs in LFS."""
    patterns = compile_gitattributes_patterns(parse_git_attributes(BytesIO(gitattributes)))
    matcher = GitAttributes(patterns)
    return lambda path: matcher.match_path(path.encode()).get(b"filter") == b"lfs"


def ignore_matcher(gitignore: str) -> Callable[[str], bool]:
    """Return a function that tells whether .gitignore excludes a path."""
    matcher = IgnoreFilter(read_ignore_patterns(BytesIO(gitignore.encode())))
    return lambda path: bool(matcher.is_ignored(path))


def _lfs_line(pattern: str) -> bytes:
    """Return the line that `git lfs track` writes."""
    return f"{pattern} filter=lfs diff=lfs merge=lfs -text\n".encode()
