"""Compute the fingerprint: the digest of everything that decides a checkpoint's bytes."""

import hashlib
import json
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from huggingface_hub import HfApi

from ved.environment import THREEFRY_PARTITIONABLE
from ved.manifest.settings import CheckpointSettings
from ved.sources.source import Pinned

if TYPE_CHECKING:
    # Importing it imports jax and transformers, which what only reads a record does not need.
    pass


ASSEMBLY_VERSION = 2
"""Counts the changes to VED after which the same inputs give other bytes, the model card aside."""

REPRODUCIBILITY_LIBRARIES = ("flax", "jax", "jaxlib", "tokenizers", "transformers")
"""The libraries that decide bytes: fresh parameters, configs, image processors, tokenizers."""

LIBRARIES = (*REPRODUCIBILITY_LIBRARIES, "huggingface_hub", "numpy")

# To look one up takes milliseconds, and a plan of many pairs has as many fingerprints.
version = cache(metadata.version)


def compute_fingerprint(
    encoder: Pinned, decoder: Pinned, settings: CheckpointSettings, api: HfApi
) -> str:
    """Return the digest of all that decides a checkpoint's bytes, the model card aside.

    Raises:
        VedError: a source is a local directory without usable weights.
        OSError: a file of a local directory cannot be read.
    """
    content = {
        "assembly": ASSEMBLY_VERSION,
        "sources": {
            "encoder": encoder.identity("encoder", api),
            "decoder": decoder.identity("decoder", api),
        },
        "token_ids": dict(settings.token_ids),
        "seed": settings.seed,
        "dtype": settings.dtype,
        "weights": settings.weights,
        "threefry_partitionable": THREEFRY_PARTITIONABLE,
        "versions": {name: version(name) for name in REPRODUCIBILITY_LIBRARIES},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
