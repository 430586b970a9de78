"""Assembled checkpoints have the bits of transformers' script, and load in its Flax class."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from flax.serialization import to_bytes
from flax.traverse_util import unflatten_dict

from tests import checkpoints
from tests.checkpoints import bert, vit
from tests.modeling import oracle
from tests.support.building import (
    Parameters,
    assemble_pair,
    assert_same_parameters,
    parameters_in,
    read_json,
)
from tests.support.heads import decoder_with_head
from tests.support.reference import SCRIPT_PAIRS, Answers, ask
from ved.assembly.assemble import Checkpoint
from ved.tensors.safetensors import read_header

pytestmark = pytest.mark.slow

PAIRS = list(SCRIPT_PAIRS)
UNTIED = ("gpt2", "bert", "bart")
NAMES = [*PAIRS, *(f"untied {family}" for family in UNTIED), "absent parts", "other configs"]
BART_EMBEDDING = ("decoder", "model", "decoder", "embed_tokens", "embedding")


@dataclass(frozen=True)
class Pair:
    """A pair of sources, the checkpoint of VED, and other configs of the sources."""

    encoder: Path
    decoder: Path
    checkpoint: Checkpoint
    encoder_config: Path | None = None
    decoder_config: Path | None = None

    @property
    def directory(self) -> Path:
        return self.checkpoint.directory

    def tasks(self, name: str) -> dict[str, Any]:
        """Return the tasks for the script, and for the class that loads the checkpoint."""
        paths = {
            "encoder": self.encoder,
            "decoder": self.decoder,
            "encoder_config": self.encoder_config,
            "decoder_config": self.decoder_config,
            "read": self.directory / "model.safetensors",
        }
        named = {key: str(path) for key, path in paths.items() if path}
        return {
            name: {"task": "script", **named},
            f"{name} loaded": {"task": "load", "directory": str(self.directory)},
        }


def assembled(
    folder: Path,
    encoder: Callable[[Path], Path],
    decoder: Callable[[Path], Path],
    **configs: Callable[[Path], Path],
) -> Pair:
    """Write and assemble a pair, maybe with an `encoder_config` and a `decoder_config`."""
    sources = encoder(folder / "encoder"), decoder(folder / "decoder")
    others: dict[str, Any] = {name: write(folder / name) for name, write in configs.items()}
    checkpoint = assemble_pair(*sources, folder / "checkpoint", **others)
    return Pair(*sources, checkpoint, **others)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """Assemble all pairs: plain ones, untied heads, absent parts, and other configs."""
    folder = tmp_path_factory.mktemp("pairs")
    made = {
        name: assembled(
            folder / name,
            lambda path: checkpoints.ENCODERS[encoder](path, seed=1, hidden_size=width),  # noqa: B023
            lambda path: checkpoints.DECODERS[decoder](path, seed=2),  # noqa: B023
        )
        for name, (encoder, decoder, width) in SCRIPT_PAIRS.items()
    }
    for family in UNTIED:
        made[f"untied {family}"] = assembled(
            folder / f"untied-{family}",
            vit,
            lambda path: decoder_with_head(family, path, tie_word_embeddings=False),  # noqa: B023
        )
    made["absent parts"] = assembled(
        folder / "absent",
        lambda path: vit(path, without=("pooler.",)),
        lambda path: bert(path, without=("cls.",)),
    )
    made["other configs"] = assembled(
        folder / "other",
        vit,
        bert,
        encoder_config=lambda path: vit(path, seed=9, config={"layer_norm_eps": 0.25}),
        decoder_config=lambda path: bert(path, seed=9, config={"bos_token_id": 4}),
    )
    return made


@pytest.fixture(scope="module")
def script(pairs: dict[str, Pair], tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Have one process run the script, load the checkpoints, and draw the models of the oracle."""
    tasks = {
        label: task for name, pair in pairs.items() for label, task in pair.tasks(name).items()
    }
    folder = tmp_path_factory.mktemp("script")
    one_file = folder / "one-file"
    one_file.mkdir()
    for path in pairs[PAIRS[0]].directory.iterdir():
        if path.name != "flax_model.msgpack":
            (one_file / path.name).symlink_to(path)
    tasks["one file"] = {"task": "load", "directory": str(one_file)}
    return ask(tasks | oracle.drawing(), folder)


def expected_of(name: str, pairs: dict[str, Pair], script: Answers) -> Parameters:
    """Return the script's parameters, with the token embeddings of BART that it loses."""
    expected = script.parameters(name, "params/")
    if name in PAIRS and BART_EMBEDDING in expected:
        stored = safetensors.numpy.load_file(pairs[name].decoder / "model.safetensors")
        expected[BART_EMBEDDING] = stored["model.shared.weight"]
    return expected


def test_oracle_has_the_bits_of_transformers(script: Answers) -> None:
    """tests/assembly/test_new_parameters.py compares VED's bits with these."""
    with np.load(oracle.PATH) as frozen:
        expected = {name: str(frozen[name]) for name in frozen if "/params/" in name}
    assert oracle.digests_of(script) == expected


@pytest.mark.parametrize("name", NAMES)
def test_parameters_equal_the_scripts_bit_for_bit(
    name: str, pairs: dict[str, Pair], script: Answers
) -> None:
    expected = expected_of(name, pairs, script)
    assert_same_parameters(parameters_in(pairs[name].directory), expected)


@pytest.mark.parametrize("name", PAIRS)
def test_parameters_differ_from_the_script_in_bart_embeddings_only(
    name: str, pairs: dict[str, Pair], script: Answers
) -> None:
    written, of_the_script = (
        parameters_in(pairs[name].directory),
        script.parameters(name, "params/"),
    )
    different = {path for path in written if not np.array_equal(written[path], of_the_script[path])}
    assert different == ({BART_EMBEDDING} if BART_EMBEDDING in written else set())


@pytest.mark.parametrize("name", PAIRS)
def test_msgpack_has_the_bytes_of_flax_with_sorted_keys(
    name: str, pairs: dict[str, Pair], script: Answers
) -> None:
    expected = expected_of(name, pairs, script)
    tree = unflatten_dict({path: expected[path] for path in sorted(expected)})
    assert (pairs[name].directory / "flax_model.msgpack").read_bytes() == to_bytes(tree)


@pytest.mark.parametrize("name", PAIRS)
def test_safetensors_holds_the_same_parameters_in_pytorch_layout(
    name: str, pairs: dict[str, Pair], script: Answers
) -> None:
    assert_same_parameters(script.parameters(name, "read/"), expected_of(name, pairs, script))
    _, metadata = read_header(pairs[name].directory / "model.safetensors")
    assert metadata == {"format": "pt"}


@pytest.mark.parametrize("name", PAIRS)
def test_config_equals_the_scripts_except_for_token_ids_and_generation(
    name: str, pairs: dict[str, Pair], script: Answers
) -> None:
    pair = pairs[name]
    expected, ids = deepcopy(script.reports[name]["config"]), script.reports[name]["token_ids"]
    actual = read_json(pair.directory / "config.json")
    expected["architectures"] = ["VisionEncoderDecoderModel"]
    for role, token in vars(pair.checkpoint.token_ids).items():
        for part, config in (("model", expected), ("decoder", expected["decoder"])):
            if ids[part][role] is None:
                config[f"{role}_token_id"] = token.id
    if name.endswith("-bart"):
        expected["decoder"]["forced_eos_token_id"] = None  # its class has a default
    for part in ("encoder", "decoder"):
        assert expected[part].pop("_name_or_path") == str(getattr(pair, part))
        actual[part].pop("_name_or_path", None)
    assert actual == expected


@pytest.mark.parametrize("name", PAIRS)
def test_token_ids_equal_those_that_the_script_finds(
    name: str, pairs: dict[str, Pair], script: Answers
) -> None:
    for role, token in vars(pairs[name].checkpoint.token_ids).items():
        assert script.reports[name]["token_ids"]["model"][role] in (token.id, None), role


@pytest.mark.parametrize("name", PAIRS)
def test_checkpoint_loads_without_missing_or_unexpected_parameters(
    name: str, pairs: dict[str, Pair], script: Answers
) -> None:
    # transformers adds missing parameters to the model, and drops unexpected ones.
    directory = pairs[name].directory
    assert_same_parameters(script.parameters(f"{name} loaded"), parameters_in(directory))
    config = read_json(directory / "config.json")
    assert script.reports[f"{name} loaded"]["pad_token_id"] == config["pad_token_id"]


def test_checkpoint_loads_from_safetensors_alone(pairs: dict[str, Pair], script: Answers) -> None:
    expected = parameters_in(pairs[PAIRS[0]].directory)
    assert_same_parameters(script.parameters("one file"), expected)


def test_other_configs_are_those_of_the_script(script: Answers) -> None:
    config = script.reports["other configs"]["config"]
    assert config["encoder"]["layer_norm_eps"] == 0.25
    assert config["decoder_start_token_id"] == 4
