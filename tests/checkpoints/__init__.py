"""Source checkpoints for tests: the samples of the local Hub, and variants of them.

Each function writes a tiny checkpoint of one model family into a directory and returns the
directory. See `EncoderOptions` and `DecoderOptions` for the keyword arguments.
"""

from pathlib import Path
from typing import Any

from transformers import AutoConfig

from ved.localhub.checkpoints import (
    DECODERS,
    ENCODERS,
    DecoderOptions,
    EncoderOptions,
    Options,
    bart,
    beit,
    bert,
    dinov2,
    gpt2,
    roberta,
    roberta_prelayernorm,
    vit,
    xlm_roberta,
)

__all__ = [
    "DECODERS",
    "ENCODERS",
    "DecoderOptions",
    "EncoderOptions",
    "Options",
    "bart",
    "beit",
    "bert",
    "config_only",
    "dinov2",
    "gpt2",
    "roberta",
    "roberta_prelayernorm",
    "vit",
    "xlm_roberta",
]


def config_only(directory: Path, model_type: str, **config: Any) -> Path:
    """Write only config.json, for a model type that VED does not support."""
    directory.mkdir(parents=True, exist_ok=True)
    AutoConfig.for_model(model_type, **config).save_pretrained(directory)
    return directory
