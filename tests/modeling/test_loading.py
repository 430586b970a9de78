"""Checkpoints load to any dtype and sharding, each tensor once, or errors name their problems."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tests import checkpoints
from tests.support.building import (
    assemble_pair,
    assert_same_parameters,
    parameters_in,
    parameters_of,
)
from tests.support.publishing import TOKEN
from ved.localhub import LocalHub
from ved.modeling import FlaxVisionEncoderDecoderModel
from ved.modeling.errors import ModelingError
from ved.modeling.files import MSGPACK, SAFETENSORS, Stored

PAIRS = [
    ("vit", "gpt2"),
    ("beit", "bert"),
    ("dinov2", "roberta-prelayernorm"),
    ("vit", "bart"),
    ("swin", "pegasus"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assemble the pairs; return their folder, with the sources beside them."""
    folder = tmp_path_factory.mktemp("loading")
    for encoder, decoder in PAIRS:
        name = f"{encoder}-{decoder}"
        sources = (
            checkpoints.ENCODERS[encoder](folder / f"{name}-encoder"),
            checkpoints.DECODERS[decoder](folder / f"{name}-decoder", hidden_size=48),
        )
        assemble_pair(*sources, folder / name)
    return folder


@pytest.fixture
def checkpoint(folder: Path, tmp_path: Path) -> Path:
    """Return a copy of a checkpoint, with the weights in PyTorch's layout only."""
    shutil.copytree(folder / "vit-gpt2", tmp_path / "copy")
    (tmp_path / "copy" / MSGPACK).unlink()
    return tmp_path / "copy"


def load(directory: Path, **options: Any) -> Any:
    return FlaxVisionEncoderDecoderModel.from_pretrained(directory, **options)


@pytest.mark.hub
@pytest.mark.parametrize("name", ["-".join(pair) for pair in PAIRS])
@pytest.mark.parametrize("unread", [MSGPACK, SAFETENSORS])
def test_loading_gives_the_bits_of_either_file(
    name: str, unread: str, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / name, tmp_path / name)
    (tmp_path / name / unread).unlink()

    assert_same_parameters(parameters_of(load(tmp_path / name)), parameters_in(folder / name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["-".join(pair) for pair in PAIRS])
def test_joining_draws_the_bits_of_the_assembled_checkpoint(name: str, folder: Path) -> None:
    model = FlaxVisionEncoderDecoderModel.from_encoder_decoder_pretrained(
        folder / f"{name}-encoder", folder / f"{name}-decoder"
    )

    assert_same_parameters(parameters_of(model), parameters_in(folder / name))


@pytest.mark.hub
@pytest.mark.parametrize("safe", [False, True])
def test_shards_give_the_same_parameters_and_each_tensor_is_read_once(
    safe: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folder / "vit-gpt2")
    model.save_pretrained(tmp_path, safe_serialization=safe, max_shard_size=50_000)
    read: list[Stored] = []
    original = Stored.read

    def counted(tensor: Stored) -> Any:
        read.append(tensor)
        return original(tensor)

    monkeypatch.setattr(Stored, "read", counted)

    again = load(tmp_path)

    assert len([*tmp_path.glob("*-of-*")]) > 2
    assert len(read) == len({*read}) == len(parameters_of(model))
    assert_same_parameters(parameters_of(again), parameters_of(model))
    assert again.generation_config == model.generation_config
    assert again.config.decoder.to_dict() == model.config.decoder.to_dict()


@pytest.mark.hub
def test_param_dtype_and_sharding_apply_to_every_parameter(folder: Path) -> None:
    mesh = Mesh(np.array(jax.devices()), ("all",))
    sharding = NamedSharding(mesh, PartitionSpec())  # type: ignore[no-untyped-call]

    model = load(folder / "vit-gpt2", param_dtype=jnp.bfloat16, sharding=sharding)

    for leaf in jax.tree.leaves(model.params):
        assert leaf.dtype == jnp.bfloat16
        assert leaf.sharding == sharding


def change(directory: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = directory / SAFETENSORS
    tensors = safetensors.numpy.load_file(path)
    edit(tensors)
    safetensors.numpy.save_file(tensors, path, {"format": "pt"})


LOST = "decoder.transformer.h.0.mlp.c_fc.weight"


@pytest.mark.hub
@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda tensors: tensors.pop(LOST), "decoder.transformer.h.0.mlp.c_fc.kernel"),
        (lambda tensors: tensors.update({"decoder.invented": np.zeros(3)}), "decoder.invented"),
        (lambda tensors: tensors.update({"invented": np.zeros(3)}), "invented"),
        (lambda tensors: tensors.update({LOST: np.zeros((3, 5))}), "(5, 3)"),
    ],
)
def test_loading_names_tensors_that_do_not_fit(
    edit: Callable[[dict[str, Any]], Any], named: str, checkpoint: Path
) -> None:
    change(checkpoint, edit)

    with pytest.raises(ModelingError) as caught:
        load(checkpoint)

    assert named in str(caught.value)


@pytest.mark.hub
def test_loading_accepts_buffers_and_other_names_of_tied_tensors(
    checkpoint: Path, folder: Path
) -> None:
    def edit(tensors: dict[str, Any]) -> None:
        tensors["decoder.lm_head.weight"] = tensors.pop("decoder.transformer.wte.weight")
        tensors["decoder.transformer.h.0.attn.bias"] = np.ones((1, 1, 8, 8), bool)
        del tensors["encoder.pooler.dense.weight"]

    change(checkpoint, edit)

    loaded = parameters_of(load(checkpoint))
    expected = parameters_in(folder / "vit-gpt2")
    unread = [path for path in expected if "pooler" in str(path)]
    assert unread
    for path in unread:
        loaded.pop(path)
        expected.pop(path)
    assert_same_parameters(loaded, expected)


@pytest.mark.hub
@pytest.mark.parametrize("name", [MSGPACK, SAFETENSORS])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.9])
def test_loading_refuses_a_truncated_file(
    name: str, kept: float, folder: Path, tmp_path: Path
) -> None:
    shutil.copy(folder / "vit-gpt2" / "config.json", tmp_path)
    content = (folder / "vit-gpt2" / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * kept)])

    with pytest.raises(ModelingError) as caught:
        load(tmp_path)

    assert name in str(caught.value)


@pytest.mark.hub
def test_loading_refuses_an_index_that_leaves_its_directory(checkpoint: Path) -> None:
    (checkpoint / SAFETENSORS).rename(checkpoint.parent / "outside.safetensors")
    index = {"weight_map": {LOST: "../outside.safetensors"}}
    (checkpoint / f"{SAFETENSORS}.index.json").write_text(json.dumps(index))

    with pytest.raises(ModelingError):
        load(checkpoint)


@pytest.mark.hub
def test_push_to_hub_and_from_pretrained_use_one_commit(
    folder: Path, tmp_path: Path, hub: LocalHub
) -> None:
    model = load(folder / "vit-gpt2")
    repo = "owner/flax-model"
    url = model.push_to_hub(repo, token=TOKEN)
    model.params = jax.tree.map(jnp.zeros_like, model.params)
    model.push_to_hub(repo, token=TOKEN, safe_serialization=True)
    hub.requests.clear()

    first = FlaxVisionEncoderDecoderModel.from_pretrained(
        repo, revision=url.rsplit("/", 1)[-1], cache_dir=tmp_path, token=TOKEN
    )

    assert_same_parameters(parameters_of(first), parameters_in(folder / "vit-gpt2"))
    assert not any(each.path.endswith(SAFETENSORS) for each in hub.requests)
