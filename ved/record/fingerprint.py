"""Compute the fingerprint: the digest of everything that decides a checkpoint's bytes."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import metadata

from huggingface_hub import HfApi

from ved.environment import THREEFRY_PARTITIONABLE
from ved.manifest.settings import CheckpointSettings
from ved.sources import Pinned

ASSEMBLY_VERSION = 4
"""Increase this when the same inputs give other bytes than before; the model card does not count.

Every published checkpoint is then out of date, and the next run rebuilds it."""

REPRODUCIBILITY_LIBRARIES = ("flax", "jax", "jaxlib", "tokenizers")
"""The libraries that decide bytes: random numbers and tokenizers. transformers only tries them."""

LIBRARIES = (*REPRODUCIBILITY_LIBRARIES, "huggingface_hub", "numpy", "transformers")
"""The libraries whose versions are recorded."""

# A look-up takes milliseconds, and a plan of many pairs has as many fingerprints.
version = cache(metadata.version)


def compute_fingerprint(
    encoder: Pinned,
    decoder: Pinned,
    settings: CheckpointSettings,
    api: HfApi,
    *,
    versions: Mapping[str, str] | None = None,
    assembly_version: int | None = None,
) -> str:
    """Return the sha256 of everything that decides a checkpoint's bytes, in hexadecimal.

    The model card is not part of it.

    Args:
        encoder: the source of the encoder.
        decoder: the source of the decoder.
        settings: the settings of the build.
        api: the Hub that the sources come from.
        versions: the versions of the libraries of the build; None for those of this process.
        assembly_version: the `ASSEMBLY_VERSION` of the build; None for that of this process.

    Raises:
        VedError: a local directory has no usable weights.
        OSError: a file of a local directory cannot be read.
    """
    content = {
        "assembly": ASSEMBLY_VERSION if assembly_version is None else assembly_version,
        "sources": {
            "encoder": encoder.identity("encoder", api),
            "decoder": decoder.identity("decoder", api),
        },
        "token_ids": dict(settings.token_ids),
        "seed": settings.seed,
        "dtype": settings.dtype,
        "weights": settings.weights,
        "threefry_partitionable": THREEFRY_PARTITIONABLE,
        "versions": {
            name: versions[name] if versions else version(name)
            for name in REPRODUCIBILITY_LIBRARIES
        },
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
