"""PyTorch reads model.safetensors with transformers 4 and 5, each in its own environment."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import AutoImageProcessor

from tests import checkpoints
from tests.support.building import (
    assemble_pair,
    assert_same_parameters,
    parameters_in,
    parameters_of,
)
from tests.support.pytorch import REPORTED, read_with_pytorch
from ved.modeling import FlaxVisionEncoderDecoderModel

pytestmark = pytest.mark.slow

PAIRS = [
    *((encoder, "gpt2") for encoder in checkpoints.ENCODERS),
    *(("vit", decoder) for decoder in checkpoints.DECODERS if decoder != "gpt2"),
]
# Initialized parameters of this size make cross-attention visible in the logits.
STRONG = {"initializer_range": 0.3, "init_std": 0.3}
DECODER_INPUT_IDS = [[5, 17, 42, 9, 200], [5, 17, 42, 9, 200]]


@dataclass(frozen=True)
class Assembled:
    """A checkpoint, and two images: float32 (2, 3, height, width)."""

    directory: Path
    pixel_values: NDArray[np.float32]
    positions_from: int

    @cached_property
    def flax_logits(self) -> NDArray[np.float32]:
        """The logits of the Flax class with the position ids of PyTorch."""
        model = FlaxVisionEncoderDecoderModel.from_pretrained(self.directory)
        ids = jnp.array(DECODER_INPUT_IDS)
        positions = self.positions_from + jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)

        @jax.jit
        def logits(params: Any) -> jax.Array:
            answer = model(self.pixel_values, ids, decoder_position_ids=positions, params=params)
            found: jax.Array = answer.logits
            return found

        return np.asarray(logits(model.params))


def assemble_sample(folder: Path, encoder: str, decoder: str) -> Assembled:
    # A real DINOv2 has a processor with another image size than its encoder, and transformers
    # interpolates position embeddings differently in Flax and PyTorch. This one has one size.
    source = checkpoints.ENCODERS[encoder](folder / encoder, processor_size=16)
    sized = checkpoints.ENCODERS[encoder](
        folder / f"{encoder}-sized", processor_size=16, config={"image_size": 16}
    )
    source = sized if encoder.startswith("dinov2") else source
    text = checkpoints.DECODERS[decoder](folder / decoder, hidden_size=48, config=STRONG)
    directory = folder / f"{encoder}-{decoder}"
    checkpoint = assemble_pair(source, text, directory)
    processor = AutoImageProcessor.from_pretrained(directory)
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (24, 24, 3), dtype=np.uint8) for _ in range(2)]
    pixel_values = processor(images, return_tensors="np").pixel_values.astype(np.float32)
    shifted = "roberta" in decoder
    first_position = checkpoint.token_ids.pad.id + 1 if shifted else 0
    return Assembled(directory, pixel_values, first_position)


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Assembled]:
    folder = tmp_path_factory.mktemp("pytorch")
    made = {}
    for encoder, decoder in PAIRS:
        made[f"{encoder}-{decoder}"] = assemble_sample(
            folder / f"{encoder}-{decoder}", encoder, decoder
        )
    return made


@pytest.mark.parametrize("environment", ["transformers4", "transformers5"])
def test_pytorch_loads_every_family_and_gives_the_logits_of_flax(
    environment: str, assembled: dict[str, Assembled], tmp_path: Path
) -> None:
    report, logits = read_with_pytorch(
        environment,
        {name: each.directory for name, each in assembled.items()},
        {name: each.pixel_values for name, each in assembled.items()},
        DECODER_INPUT_IDS,
        tmp_path,
    )

    assert report == {name: {kind: [] for kind in REPORTED} for name in assembled}
    for name, each in assembled.items():
        expected = each.flax_logits
        assert np.abs(logits[name] - expected).max() < 1e-4, name
        # Both images have the same text, so the difference comes through cross-attention.
        assert logits[name].shape == expected.shape
        assert np.abs(expected[0, 0] - expected[1, 0]).max() > 1e-3, name


@pytest.mark.parametrize("pair", ["-".join(pair) for pair in PAIRS])
def test_flax_reads_the_same_bits_from_safetensors(
    pair: str, assembled: dict[str, Assembled]
) -> None:
    directory = assembled[pair].directory
    expected = parameters_in(directory)
    msgpack = directory / "flax_model.msgpack"
    msgpack.rename(directory / "aside")
    try:
        model = FlaxVisionEncoderDecoderModel.from_pretrained(directory)
    finally:
        (directory / "aside").rename(msgpack)

    assert_same_parameters(parameters_of(model), expected)
