"""Pairs that people assemble: Flax gives the logits of PyTorch, with transformers 4 and 5.

The pairs are those that public code, issues and model cards name, by the families of their halves.
`make test` takes each pair of families once; VED_ALL_FAULTS=1, as `make test-nightly` has it, also
takes each encoder with each decoder.
"""

import json
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import checkpoints
from tests.support.building import assemble_pair
from tests.support.faults import ALL_FAULTS
from tests.support.pytorch import REPORTED, Logits, read_with_pytorch
from tests.support.tokenizers import japanese_bert
from ved.modeling import FlaxVisionEncoderDecoderModel

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4

NAMED: Mapping[tuple[str, str], int] = {
    ("vit", "gpt2"): 22,
    ("vit", "bert"): 10,
    ("vit", "roberta"): 7,
    ("vit", "japanese-bert"): 2,
    ("vit", "xlm-roberta"): 1,
    ("vit", "mbart"): 1,
    ("vit", "camembert"): 1,
    ("swin", "gpt2"): 5,
    ("swin", "bert"): 2,
    ("swin", "bart"): 1,
    ("swinv2", "gpt2"): 1,
    ("beit", "gpt2"): 2,
    ("beit", "roberta"): 1,
    ("beit", "japanese-bert"): 1,
    ("deit", "bert"): 1,
    ("half of trocr", "xlm-roberta"): 1,
}
"""How many of 61 named pairs have these families. The other two cannot be built: one encoder reads
videos, and one decoder is code of its repo."""


def half_of_trocr(directory: Path, **options: Any) -> Path:
    """Write a whole TrOCR, whose encoder is a ViT."""
    halves = {
        "encoder": ("encoder.", checkpoints.vit(directory / "vit", **options)),
        "decoder": ("decoder.", checkpoints.trocr(directory / "decoder")),
    }
    return checkpoints.whole(directory / "whole", "vision-encoder-decoder", halves)


WRITE: Mapping[str, Callable[..., Path]] = {
    **checkpoints.ENCODERS,
    **checkpoints.DECODERS,
    **checkpoints.TWIN_ENCODERS,
    **checkpoints.TWIN_DECODERS,
    # Both kinds of ELECTRA have one name.
    "electra": checkpoints.electra_small,
    "half of trocr": half_of_trocr,
    "japanese-bert": lambda directory, **_: japanese_bert(directory),
}
EVERY_PAIR = list(
    product(
        (*checkpoints.ENCODERS, *checkpoints.TWIN_ENCODERS),
        (*checkpoints.DECODERS, *checkpoints.TWIN_DECODERS),
    )
)
PAIRS = list(dict.fromkeys([*NAMED, *(EVERY_PAIR if ALL_FAULTS else ())]))

IDS = np.array([[5, 17, 42, 9, 200]] * 2)


def name_of(pair: tuple[str, str]) -> str:
    return "-".join(pair).replace(" ", "-")


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Assemble all pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    strong = {"initializer_range": 0.3, "init_std": 0.3}  # so that images affect the logits
    sources = {}
    for encoder, decoder in PAIRS:
        if encoder not in sources:
            sources[encoder] = WRITE[encoder](folder / encoder)
        if decoder not in sources:
            sources[decoder] = WRITE[decoder](folder / decoder, hidden_size=48, config=strong)
    made = {}
    for encoder, decoder in PAIRS:
        name = name_of((encoder, decoder))
        assemble_pair(sources[encoder], sources[decoder], folder / name)
        made[name] = folder / name
    return made


def pixels(directory: Path) -> NDArray[np.float32]:
    """Return two images of the size that the encoder takes: float32 (2, 3, height, width)."""
    size = json.loads((directory / "config.json").read_text())["encoder"]["image_size"]
    sides = size if isinstance(size, list) else [size, size]
    return np.random.default_rng(0).normal(size=(2, 3, *sides)).astype(np.float32)


@pytest.fixture(scope="module")
def flax(directories: dict[str, Path]) -> Logits:
    """Return the logits of ved.modeling."""
    return {
        name: np.asarray(
            FlaxVisionEncoderDecoderModel.from_pretrained(directory)(pixels(directory), IDS).logits
        )
        for name, directory in directories.items()
    }


def test_named_pairs_are_all_but_two() -> None:
    assert sum(NAMED.values()) == 61 - 2


@pytest.mark.parametrize("environment", ["transformers4", "transformers5"])
def test_pairs_give_the_logits_of_pytorch(
    environment: str, directories: dict[str, Path], flax: Logits, tmp_path: Path
) -> None:
    images = {name: pixels(directory) for name, directory in directories.items()}
    report, logits = read_with_pytorch(environment, directories, images, IDS.tolist(), tmp_path)

    assert report == {name: {kind: [] for kind in REPORTED} for name in directories}
    wrong = {
        name: difference
        for name, expected in flax.items()
        if not (difference := float(np.abs(logits[name] - expected).max())) < TOLERANCE
    }
    assert wrong == {}
    # Both images have the same text, so the difference comes through cross-attention.
    same = [name for name, found in flax.items() if np.abs(found[0] - found[1]).max() < 1e-3]
    assert same == []
