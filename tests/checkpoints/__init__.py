"""Source checkpoints for tests: variants of the samples of the local Hub.

Each function writes a tiny checkpoint of one model family into a directory, and returns the
directory. `EncoderOptions` and `DecoderOptions` list the keyword arguments.
"""

from tests.checkpoints.families import (
    bart,
    beit,
    bert,
    config_only,
    dinov2,
    gpt2,
    roberta,
    roberta_prelayernorm,
    vit,
    xlm_roberta,
)
from tests.checkpoints.options import DecoderOptions, EncoderOptions, Options

ENCODERS = {"vit": vit, "beit": beit, "dinov2": dinov2}
DECODERS = {
    "gpt2": gpt2,
    "bert": bert,
    "roberta": roberta,
    "xlm-roberta": xlm_roberta,
    "roberta-prelayernorm": roberta_prelayernorm,
    "bart": bart,
}
"""By the model_type in config.json."""

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
