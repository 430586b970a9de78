"""Settings of the process that jax, transformers and huggingface_hub read at import."""

import os

THREEFRY_PARTITIONABLE = True
"""How jax draws random numbers; the other way gives other bits."""

VARIABLES = {
    # Fresh parameters have to be the same bits wherever VED runs.
    "JAX_PLATFORMS": "cpu",
    "JAX_THREEFRY_PARTITIONABLE": str(THREEFRY_PARTITIONABLE),
    # Importing torch, where somebody has it, takes seconds and gives VED nothing.
    "USE_TORCH": "0",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Every source is downloaded once; a second copy of it in a cache of chunks is disk for nothing.
    "HF_XET_CHUNK_CACHE_SIZE_BYTES": "0",
}


def prepare(*, progress_bars: bool, endpoint: str | None = None) -> None:
    """Set them; to be called before anything imports those libraries.

    Args:
        progress_bars: whether downloads and uploads draw bars, as in a terminal.
        endpoint: the address of the Hub; None leaves what is set already.
    """
    os.environ.update(VARIABLES)
    if endpoint:
        # Giving it to HfApi is not enough: what it returns of a commit is parsed with this one.
        os.environ["HF_ENDPOINT"] = endpoint
    if not progress_bars:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
