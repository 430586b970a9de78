"""Tiny checkpoints with random weights, which resemble the real checkpoints of their families.

`SAMPLES` maps repo ids of real models to samples, and `publish` puts samples on a local Hub. Each
function builds the sample of one family, as a `SampleCheckpoint`:

    from ved.localhub import samples
    samples.vit(samples.SampleOptions(hidden_size=48)).write(Path("vit"))
"""

from ved.localhub.samples.bart import bart
from ved.localhub.samples.checkpoint import SampleCheckpoint, SampleOptions
from ved.localhub.samples.decoders import bert, gpt2, roberta
from ved.localhub.samples.encoders import beit, dinov2, vit
from ved.localhub.samples.publishing import SAMPLES, publish

__all__ = [
    "SAMPLES",
    "SampleCheckpoint",
    "SampleOptions",
    "bart",
    "beit",
    "bert",
    "dinov2",
    "gpt2",
    "publish",
    "roberta",
    "vit",
]
