"""Source checkpoints as awkward as real ones, but tiny: for the demo and the tests.

Each function writes into a directory what a repository of one family holds on the Hub, and returns
the directory. See `Options`, `EncoderOptions` and `DecoderOptions` for the keywords they take.
"""

from ved.localhub.checkpoints.decoders import (
    bart,
    bert,
    gpt2,
    roberta,
    roberta_prelayernorm,
    xlm_roberta,
)
from ved.localhub.checkpoints.encoders import beit, dinov2, vit
from ved.localhub.checkpoints.options import DecoderOptions, EncoderOptions, Options

ENCODERS = {"vit": vit, "beit": beit, "dinov2": dinov2}
DECODERS = {
    "gpt2": gpt2,
    "bert": bert,
    "roberta": roberta,
    "xlm-roberta": xlm_roberta,
    "roberta-prelayernorm": roberta_prelayernorm,
    "bart": bart,
}
"""By model type, as config.json has it."""

__all__ = [
    "DECODERS",
    "ENCODERS",
    "DecoderOptions",
    "EncoderOptions",
    "Options",
    "bart",
    "beit",
    "bert",
    "dinov2",
    "gpt2",
    "roberta",
    "roberta_prelayernorm",
    "vit",
    "xlm_roberta",
]
