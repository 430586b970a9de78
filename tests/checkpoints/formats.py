"""The classes of transformers 4.57.6 that the test checkpoints have and the samples have not."""

from pathlib import Path

from ved.localhub.samples.formats import FORMATS, Formats

_OWN = Formats.read(Path(__file__).with_name("formats.json"))
CONFIGS = {**FORMATS.configs, **_OWN.configs}
IMAGE_PROCESSORS = {**FORMATS.image_processors, **_OWN.image_processors}
TOKENIZERS = {**FORMATS.tokenizers, **_OWN.tokenizers}
