"""How the tests of models compile."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(scope="package", autouse=True)
def quick_compilation() -> Iterator[None]:
    """Skip XLA's optimizations: most of the time of a small model goes into compiling."""
    _set_optimizations(disabled=True)
    yield
    _set_optimizations(disabled=False)


@pytest.fixture(scope="module", autouse=True)
def forget_programs() -> Iterator[None]:
    """Free what a module compiled, after the module: it may be a gigabyte."""
    yield
    jax.clear_caches()  # type: ignore[no-untyped-call]


def _set_optimizations(*, disabled: bool) -> None:
    jax.config.update("jax_disable_most_optimizations", disabled)  # type: ignore[no-untyped-call]
    # jax reuses what it compiled with the other setting, and other modules compare bits.
    jax.clear_caches()  # type: ignore[no-untyped-call]
