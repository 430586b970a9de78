"""Python's garbage collector, which takes up to a third of the time of imports and manifests."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused(*, freeze: bool = False) -> Iterator[None]:
    """Pause the collector within the block.

    Args:
        freeze: whether later collections ignore the objects that exist at the end of the block, for
            imports. jax, which has a callback in each collection, makes inspecting them expensive.
    """
    gc.disable()
    try:
        yield
    finally:
        if freeze:
            gc.freeze()
        gc.enable()
