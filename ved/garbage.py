"""Python's garbage collector, which takes a sixth of the time of imports and traces."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Pause the collector within the block, for imports.

    What exists at the end of the block stays, so later collections do not inspect it again. jax,
    which has a callback in each collection, makes that expensive.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
