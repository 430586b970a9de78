"""The environment variables that jax, transformers and huggingface_hub read at import.

These libraries read more than a hundred variables. Some of them change the bytes of a checkpoint,
some make a download fail, and some name files with code that is run. So VED sets the variables of
all of them as a whole: it pins some, honors a few, and removes the others.
"""

import os
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

THREEFRY_PARTITIONABLE = True
"""How jax draws random numbers; the other setting gives other bits."""

NO_BARS = "HF_HUB_DISABLE_PROGRESS_BARS"
bars_are_off = os.environ.get(NO_BARS, "").upper() in ("1", "ON", "YES", "TRUE")
"""Whether the user wants no bars. Later, VED itself sets the variable, for huggingface_hub."""

XET_VARIABLES = {
    # Every source is downloaded once, so a second copy in a cache of chunks only takes disk.
    "HF_XET_CHUNK_CACHE_SIZE_BYTES": "0",
    # By default, its log is in HF_HOME.
    "HF_XET_LOG_DEST": os.devnull,
    "HF_XET_TELEMETRY_ENABLED": "0",
    # A storage that cannot be reached gives up within 90 seconds: an upload makes two requests one
    # after the other, and each waits up to 2, 4 and 8 seconds between four attempts.
    "HF_XET_CLIENT_CONNECT_TIMEOUT": "5s",
    "HF_XET_CLIENT_READ_TIMEOUT": "60s",
    "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "3",
    "HF_XET_CLIENT_RETRY_BASE_DELAY": "2s",
    # Memory: by default, buffers of downloads take up to 8 GB, and uploads keep up to 64 pieces of
    # 64 MB. `ved.planning.preflight` counts what these settings allow.
    "HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER_SIZE": "64mb",
    "HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER_PERFILE_SIZE": "16mb",
    "HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER_LIMIT": "128mb",
    "HF_XET_RECONSTRUCTION_MIN_PREFETCH_BUFFER": "64mb",
    "HF_XET_RECONSTRUCTION_MIN_RECONSTRUCTION_FETCH_SIZE": "64mb",
    "HF_XET_RECONSTRUCTION_MAX_RECONSTRUCTION_FETCH_SIZE": "128mb",
    "HF_XET_CLIENT_AC_MAX_DOWNLOAD_CONCURRENCY": "8",
    "HF_XET_CLIENT_AC_MAX_UPLOAD_CONCURRENCY": "2",
    "HF_XET_DATA_MAX_CONCURRENT_FILE_INGESTION": "1",
    "HF_XET_DATA_INGESTION_BLOCK_SIZE": "1mb",
}
"""The settings of hf_xet, which transfers large files by Xet.

Source: xet_runtime/src/config in https://github.com/huggingface/xet-core.
"""

VARIABLES = {
    # Newly initialized parameters must have the same bits wherever VED runs.
    "JAX_PLATFORMS": "cpu",
    "JAX_THREEFRY_PARTITIONABLE": str(THREEFRY_PARTITIONABLE),
    # One thread draws parameters while others write: waiting for jax's own would cost it time.
    "JAX_CPU_ENABLE_ASYNC_DISPATCH": "0",
    # Importing torch, if it is installed, takes seconds and gives VED nothing.
    "USE_TORCH": "0",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    NO_BARS: "1",  # VED draws one bar for everything
    **XET_VARIABLES,
}

PREFIXES = (
    "CHECK_VMA",
    "EAGER_",
    "FLAX_",
    "FORCE_TF_",
    "HF_",
    "HUGGINGFACE_",
    "HUGGING_FACE_",
    "JAX2TF_",
    "JAXLIB_",
    "JAX_",
    "LIBTPU_",
    "MOCK_NUM_GPU_",
    "NNX_",
    "NPY_",
    "NUMPY_",
    "PJRT_",
    "PYTORCH_",
    "SAFETENSORS_",
    "TF_",
    "TOKENIZERS_",
    "TPU_",
    "TRANSFORMERS_",
    "USE_",
    "XLA_",
)
"""The beginnings of the names of the libraries' variables."""

HONORED: Mapping[str, str] = {
    "HF_TOKEN": "The token.",
    "HUGGING_FACE_HUB_TOKEN": "The former name of `HF_TOKEN`.",
    "HF_TOKEN_PATH": "The file with the token of `hf auth login`.",
    "HF_ENDPOINT": "The address of the Hub. The input `endpoint` and `--endpoint` replace it.",
    "HF_HOME": "The directory of the token's file and of the caches.",
    "HF_HUB_CACHE": "The directory of downloaded sources.",
    "HUGGINGFACE_HUB_CACHE": "The former name of `HF_HUB_CACHE`.",
    "HF_XET_CACHE": "The directory of the cache of Xet, a protocol for large files.",
    "HF_HUB_DISABLE_XET": "With `1`, large files are transferred without Xet.",
    "HF_DEBUG": "With `1`, each request to the Hub is logged, without its token.",
}
"""The variables of the libraries that are left as they are, and the effect of each."""


def prepare(*, endpoint: str | None = None) -> None:
    """Set the variables; call this before anything imports those libraries.

    Args:
        endpoint: the address of the Hub; None leaves the present one.
    """
    for name in [*os.environ]:
        if name.startswith(PREFIXES) and name not in HONORED:
            del os.environ[name]
    os.environ.update(VARIABLES)
    # HfApi(endpoint) is not enough: huggingface_hub parses commit addresses with this one.
    endpoint = endpoint or os.environ.get("HF_ENDPOINT")
    if endpoint:
        os.environ["HF_ENDPOINT"] = parsable(endpoint)
    global _is_prepared
    _is_prepared = True


def parsable(endpoint: str) -> str:
    """Return an endpoint that huggingface_hub can parse when it is imported.

    `ved.hub.connect` refuses an endpoint that this changes.
    """
    try:
        urlsplit(endpoint)
    except ValueError:
        return quote(endpoint, safe=":/")
    return endpoint


def prepare_once() -> None:
    """Set the variables unless that is done, for programs that use VED as a library."""
    if not _is_prepared:
        prepare()


_is_prepared = False
