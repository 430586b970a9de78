"""A decoder with a head of its own computes in every runtime what its source computes."""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from numpy.typing import NDArray

from tests import checkpoints
from tests.support import reference
from tests.support.building import assemble_pair, assert_same_parameters, parameters_in, read_json
from tests.support.consumers import run_consumer
from tests.support.heads import change_tensors, decoder_with_head
from ved.families.table import DECODERS
from ved.modeling import FlaxVisionEncoderDecoderModel

pytestmark = pytest.mark.slow

CONSUMER = Path(__file__).parents[1] / "consumers" / "heads.py"
INPUT_IDS = [[5, 17, 42, 9, 200]]
IMAGE_SHAPE = (3, 16, 16)
FAMILIES = ("gpt2", "bert", "roberta", "bart")  # the others have the code of RoBERTa
WEIGHT_FILES = ("flax_model.msgpack", "model.safetensors")
STRONG = {"initializer_range": 0.3, "init_std": 0.3}


def strong(tensor: NDArray[Any]) -> NDArray[Any]:
    return tensor * np.float32(100)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Assemble decoders with untied heads; return each checkpoint and the decoder's source."""
    folder = tmp_path_factory.mktemp("heads")
    encoder = checkpoints.vit(folder / "vit")
    made = {}
    for family in FAMILIES:
        source = decoder_with_head(
            family, folder / f"{family}-source", tie_word_embeddings=False, config=STRONG
        )
        biases = DECODERS[family].head_biases or ()
        change_tensors(source, dict.fromkeys(biases, strong))
        assemble_pair(encoder, source, folder / family)
        made[family] = folder / family, source
    # As transformers 4 saves an untied head. PyTorch with transformers 5 loses such a bias.
    one_bias = folder / "bert-one-bias"
    shutil.copytree(made["bert"][1], one_bias)
    change_tensors(one_bias, {"cls.predictions.decoder.bias": None})
    assemble_pair(encoder, one_bias, folder / "one-bias")
    return {**made, "one-bias": (folder / "one-bias", one_bias)}


def read_with_pytorch(
    environment: str, pairs: dict[str, tuple[Path, Path]], folder: Path
) -> dict[str, NDArray[Any]]:
    asked = {
        "input_ids": INPUT_IDS,
        "image_shape": IMAGE_SHAPE,
        "checkpoints": {label: [*map(str, pair)] for label, pair in pairs.items()},
    }
    return run_consumer(environment, CONSUMER, asked, folder)


@pytest.fixture(scope="module")
def flax_logits(pairs: dict[str, tuple[Path, Path]]) -> dict[str, NDArray[Any]]:
    images, ids = np.zeros((1, *IMAGE_SHAPE), np.float32), np.array(INPUT_IDS)

    def logits(checkpoint: Path) -> NDArray[Any]:
        model = FlaxVisionEncoderDecoderModel.from_pretrained(checkpoint)
        compute = jax.jit(lambda params: model(images, ids, params=params).logits)
        return np.asarray(compute(model.params))

    return {label: logits(checkpoint) for label, (checkpoint, _) in pairs.items()}


@pytest.mark.parametrize("environment", ["transformers4", "transformers5"])
def test_untied_head_gives_the_logits_of_its_source_in_pytorch_and_flax(
    environment: str,
    pairs: dict[str, tuple[Path, Path]],
    flax_logits: dict[str, NDArray[Any]],
    tmp_path: Path,
) -> None:
    answer = read_with_pytorch(environment, pairs, tmp_path)

    assert json.loads(str(answer["report"])) == {label: [] for label in pairs}
    # The decoder of transformers 5 itself lacks the bias that it does not find.
    lost = {"one-bias"} if environment == "transformers5" else set()
    for label in pairs:
        difference = np.abs(answer[f"{label}/difference"]).max()
        assert (difference == 0) == (label not in lost), label
        assert np.abs(answer[f"{label}/logits"] - flax_logits[label]).max() < 1e-4, label


def test_one_bias_gives_the_logits_of_two(flax_logits: dict[str, NDArray[Any]]) -> None:
    np.testing.assert_array_equal(flax_logits["one-bias"], flax_logits["bert"])
    assert np.abs(flax_logits["bert"]).max() > 1


@pytest.fixture(scope="module")
def loaded(
    pairs: dict[str, tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory
) -> reference.Answers:
    """Have transformers' class load both weight files of each checkpoint: `FAMILY NAME`."""
    folder = tmp_path_factory.mktemp("loaded")
    tasks = {}
    for family in FAMILIES:
        for name in WEIGHT_FILES:
            directory = folder / family / name
            shutil.copytree(pairs[family][0], directory)
            for other in {*WEIGHT_FILES} - {name}:
                (directory / other).unlink()
            tasks[f"{family} {name}"] = {"task": "load", "directory": str(directory)}
    return reference.ask(tasks, folder, optimize=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_untied_head_is_published_untied(
    family: str, pairs: dict[str, tuple[Path, Path]], loaded: reference.Answers
) -> None:
    checkpoint, _ = pairs[family]
    assert read_json(checkpoint / "config.json")["decoder"]["tie_word_embeddings"] is False
    expected = parameters_in(checkpoint)
    for name in WEIGHT_FILES:
        assert_same_parameters(loaded.parameters(f"{family} {name}"), expected)
