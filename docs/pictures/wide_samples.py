"""Sample sources for the pictures of runs: wider than usual, so that each step takes some time."""

from collections.abc import Callable, Mapping
from functools import partial

from ved.localhub import samples
from ved.localhub.samples import SampleCheckpoint, SampleOptions

_WIDE = SampleOptions(hidden_size=768)

SOURCES: Mapping[str, Callable[[], SampleCheckpoint]] = {
    "google/vit-base-patch16-224-in21k": partial(samples.vit, _WIDE),
    "facebook/dinov2-base": partial(samples.dinov2, _WIDE),
    "openai-community/gpt2": partial(samples.gpt2, _WIDE),
    "google-bert/bert-base-uncased": partial(samples.bert, _WIDE),
    "FacebookAI/roberta-base": partial(samples.roberta, _WIDE),
}
