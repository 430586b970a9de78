"""Damaged and hostile files, for the tests of all readers."""

import resource
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from ved.errors import VedError
from ved.tensors.tensor import Array, Tensor, read

MEMORY_BYTES = 2**20
"""The memory limit: more than these files need, and less than they claim to need."""


def read_or_refuse(
    read_index: Callable[[Path], Mapping[str, Tensor]], path: Path
) -> dict[str, Array] | None:
    """Return the tensors of a file with their elements; None if VED refuses the file.

    Raises:
        AssertionError: the reader takes much memory.
        Exception: any error of the reader other than VedError and OSError.
    """
    with _little_memory():
        try:
            return {name: read(tensor) for name, tensor in read_index(path).items()}
        except (VedError, OSError):
            return None


@contextmanager
def _little_memory() -> Iterator[None]:
    """Check that the block takes little memory, and limit the memory that it can take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 256 * MEMORY_BYTES
    tracemalloc.start()
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < MEMORY_BYTES


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Draw copies of `content` with one to four changed bytes."""
    changes = st.dictionaries(
        st.integers(0, len(content) - 1), st.integers(0, 255), min_size=1, max_size=4
    )
    return changes.map(lambda at: bytes(at.get(i, byte) for i, byte in enumerate(content)))
