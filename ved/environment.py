"""The environment variables that jax, transformers and huggingface_hub read at import."""

import os

THREEFRY_PARTITIONABLE = True
"""How jax draws random numbers; the other setting gives other bits."""

VARIABLES = {
    # Newly initialized parameters must have the same bits wherever VED runs.
    "JAX_PLATFORMS": "cpu",
    "JAX_THREEFRY_PARTITIONABLE": str(THREEFRY_PARTITIONABLE),
    # Importing torch, if it is installed, takes seconds and gives VED nothing.
    "USE_TORCH": "0",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Every source is downloaded once, so a second copy in a cache of chunks only takes disk.
    "HF_XET_CHUNK_CACHE_SIZE_BYTES": "0",
}


def prepare(*, progress_bars: bool, endpoint: str | None = None) -> None:
    """Set the variables; call this before anything imports those libraries.

    Args:
        progress_bars: whether huggingface_hub draws bars for downloads and uploads.
        endpoint: the address of the Hub; None leaves the present one.
    """
    os.environ.update(VARIABLES)
    if endpoint:
        # HfApi(endpoint) is not enough: huggingface_hub parses commit addresses with this one.
        os.environ["HF_ENDPOINT"] = endpoint
    if not progress_bars:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    global _is_prepared
    _is_prepared = True


def prepare_once() -> None:
    """Set the variables unless that is done, for programs that use VED as a library."""
    if not _is_prepared:
        prepare(progress_bars=False)


_is_prepared = False
