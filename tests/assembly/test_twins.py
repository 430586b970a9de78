"""Families with a twin, and halves of whole models, become checkpoints like any other source."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from huggingface_hub import HfApi
from numpy.typing import NDArray
from transformers import CONFIG_MAPPING, AutoTokenizer

from tests import checkpoints
from tests.checkpoints.wholes import whole
from tests.support.building import (
    assemble_pair,
    assert_same_parameters,
    edit_json,
    groups_of,
    parameters_in,
    read_json,
    source,
)
from tests.support.publishing import manifest, pair
from tests.support.raising import raises
from ved.assembly.assemble import Checkpoint
from ved.assembly.generation_settings import left_out
from ved.errors import ErrorCode
from ved.execution.checkpoint_dir import build_checkpoint
from ved.families.family import Role
from ved.families.lookup import find_twin
from ved.families.wholes import UNUSED_HALF
from ved.manifest.settings import CheckpointSettings
from ved.record import card
from ved.record.build_record import parse_record
from ved.tensors.names import NOT_COMPARED, SAME, UNKNOWN

pytestmark = pytest.mark.hub

TWINS: list[tuple[Role, str]] = [
    *(("encoder", name) for name in checkpoints.TWIN_ENCODERS),
    *(("decoder", name) for name in checkpoints.TWIN_DECODERS),
]
WRITE: dict[str, Callable[..., Path]] = {**checkpoints.TWIN_ENCODERS, **checkpoints.TWIN_DECODERS}
CROSS_WIDTH = "cross_attention_hidden_size"
TEXT = "a woman doesn't ride 2 horses."
# The parameters that a source of the family has no tensors for
INITIALIZED = {
    "vit_mae": {"pooler": "absent from the source"},
    "vit_msn": {"pooler": "absent from the source"},
    "distilbert": {"bert/embeddings/token_type_embeddings": "always zero"},
}


def assemble_half(role: Role, half: Path, folder: Path) -> Checkpoint:
    """Assemble a source with a good one in the other role."""
    if role == "encoder":
        return assemble_pair(half, checkpoints.gpt2(folder / "gpt2"), folder / "checkpoint")
    return assemble_pair(checkpoints.vit(folder / "vit"), half, folder / "checkpoint")


@pytest.mark.parametrize(("role", "family"), TWINS)
def test_twins_give_their_parameters_to_a_checkpoint_of_the_twin(
    role: Role, family: str, tmp_path: Path
) -> None:
    directory = WRITE[family](tmp_path / "source")
    checkpoint = assemble_half(role, directory, tmp_path)
    found = find_twin(role, family)
    assert found is not None
    assert found.twin is not None
    config = read_json(tmp_path / "checkpoint" / "config.json")[role]
    assert config["model_type"] == found.twin.of
    ledger = {each.role: each for each in checkpoint.ledgers}[role]
    assert UNKNOWN not in ledger.unused.values()
    groups = {
        group: reason for group, reason in groups_of(ledger).items() if reason != "cross-attention"
    }
    assert groups == INITIALIZED.get(family, {})
    if role == "decoder":
        own, published = (
            AutoTokenizer.from_pretrained(each) for each in (directory, tmp_path / "checkpoint")
        )
        assert dict(published(TEXT)) == dict(own(TEXT))


@pytest.mark.parametrize(("role", "family"), TWINS)
def test_twins_have_the_defaults_of_their_own_class(role: Role, family: str) -> None:
    found = find_twin(role, family)
    assert found is not None
    twin = found.twin
    assert twin is not None
    own = CONFIG_MAPPING[family]().to_dict()
    stated = twin.config({name: own[name] for name in own if name in found.settings})
    read = CONFIG_MAPPING[twin.of].from_dict(twin.config({})).to_dict()
    ignored = {"model_type", "out_indices", "out_features", "stage_names"}
    differing = {
        name: (read[name], stated[name])
        for name in read.keys() & stated.keys() - ignored
        if read[name] != stated[name]
    }
    assert not differing


@pytest.mark.parametrize(("role", "family"), TWINS)
def test_twins_know_the_settings_of_their_own_class(role: Role, family: str) -> None:
    found = find_twin(role, family)
    assert found is not None
    config_class = CONFIG_MAPPING[family]
    named = {*inspect.signature(config_class.__init__).parameters, *config_class().to_dict()}
    known = {*found.settings, *config_class.attribute_map, "self", "kwargs"}
    assert {name for name in named if not name.startswith("_")} <= known


def test_distilbert_ignores_names_of_bert_as_its_class_does(tmp_path: Path) -> None:
    directory = checkpoints.distilbert(tmp_path / "source")
    edit_json(directory / "config.json", layer_norm_eps=0.1, hidden_act="relu", dim=32)
    resolved = source("decoder", directory).resolved
    assert resolved.config["hidden_act"] == "gelu"
    assert "layer_norm_eps" not in resolved.config
    assert "layer_norm_eps" in resolved.config_warning


@pytest.mark.parametrize("size", [0, 10**9, "2", True])
def test_sizes_of_twins_are_checked_under_their_own_names(size: object, tmp_path: Path) -> None:
    directory = checkpoints.distilbert(tmp_path / "source")
    edit_json(directory / "config.json", n_layers=size)
    with raises(ErrorCode.CONFIG_NOT_USABLE, "n_layers"):
        source("decoder", directory)


@pytest.mark.parametrize("family", ["distilbert", "electra"])
def test_twins_are_read_from_flax_files(family: str, tmp_path: Path) -> None:
    vit = checkpoints.vit(tmp_path / "vit")
    for layout in ("flax", "safetensors"):
        directory = WRITE[family](tmp_path / layout, layout=layout)
        assemble_pair(vit, directory, tmp_path / f"of-{layout}")
    one, other = (parameters_in(tmp_path / f"of-{each}") for each in ("flax", "safetensors"))
    assert_same_parameters(one, other)


def test_electra_with_a_projection_is_not_a_twin() -> None:
    found = find_twin("decoder", "electra")
    assert found is not None
    assert found.twin is not None
    assert found.twin.accepts({"hidden_size": 768, "embedding_size": 768})
    assert not found.twin.accepts({"hidden_size": 256})


def test_ernie_with_task_types_is_refused(tmp_path: Path) -> None:
    directory = checkpoints.ernie(tmp_path / "ernie")
    edit_json(directory / "config.json", use_task_id=True)
    with raises(ErrorCode.UNSUPPORTED_SETTINGS, "use_task_id"):
        source("decoder", directory)


# Halves of whole models


Tensors = dict[tuple[str, ...], NDArray[Any]]


def halves_in(directory: Path) -> Tensors:
    """Return the parameters of encoder and decoder by path, without those between them."""
    return {
        path: array
        for path, array in parameters_in(directory).items()
        if path[0] in ("encoder", "decoder")
    }


@pytest.mark.parametrize("other", ["model.safetensors", "flax_model.msgpack"])
def test_halves_of_a_checkpoint_of_ved_are_copied_as_they_are(other: str, tmp_path: Path) -> None:
    encoder = checkpoints.vit(tmp_path / "vit")
    decoder = checkpoints.roberta(tmp_path / "roberta", hidden_size=48)
    assemble_pair(encoder, decoder, tmp_path / "first")
    expected = halves_in(tmp_path / "first")
    (tmp_path / "first" / other).unlink()
    checkpoint = assemble_pair(tmp_path / "first", tmp_path / "first", tmp_path / "second")
    assert_same_parameters(halves_in(tmp_path / "second"), expected)
    for ledger in checkpoint.ledgers[:2]:
        assert not ledger.initialized
        assert {*ledger.unused.values()} - {NOT_COMPARED, SAME} == {UNUSED_HALF}
    first, second = (read_json(tmp_path / name / "config.json") for name in ("first", "second"))
    for content in (first, second):
        del content["encoder"]["_name_or_path"]
    names = ("encoder", "decoder_start_token_id", "pad_token_id", "eos_token_id")
    assert [first[name] for name in names] == [second[name] for name in names]


def test_half_has_the_buffers_that_old_releases_saved(tmp_path: Path) -> None:
    assemble_pair(checkpoints.vit(tmp_path / "a"), checkpoints.gpt2(tmp_path / "b"), tmp_path / "c")
    weights = tmp_path / "c" / "model.safetensors"
    buffers: dict[str, NDArray[Any]] = {
        "decoder.transformer.h.0.crossattention.bias": np.ones((1, 1, 4, 4), np.uint8),
        "decoder.transformer.h.0.crossattention.masked_bias": np.array(-1e4, np.float32),
    }
    tensors = safetensors.numpy.load_file(weights)
    safetensors.numpy.save_file(tensors | buffers, weights, {"format": "pt"})
    checkpoint = assemble_pair(tmp_path / "a", tmp_path / "c", tmp_path / "d")
    ledger = checkpoint.ledgers[1]
    assert ledger.unused.keys() > buffers.keys()
    assert UNKNOWN not in ledger.unused.values()
    assert not ledger.initialized


def test_half_with_a_part_of_its_cross_attention_is_refused(tmp_path: Path) -> None:
    assemble_pair(checkpoints.vit(tmp_path / "a"), checkpoints.bert(tmp_path / "b"), tmp_path / "c")
    weights = tmp_path / "c" / "model.safetensors"
    tensors = safetensors.numpy.load_file(weights)
    (lost,) = {name for name in tensors if "0.crossattention.self.query.bias" in name}
    del tensors[lost]
    safetensors.numpy.save_file(tensors, weights, {"format": "pt"})
    with raises(ErrorCode.WEIGHTS_DO_NOT_FIT, "crossattention.self.query.bias"):
        assemble_pair(tmp_path / "a", tmp_path / "c", tmp_path / "d")


@pytest.mark.parametrize("width", [None, 24])
def test_half_of_a_trocr_keeps_cross_attention_of_its_own_width(
    width: int | None, tmp_path: Path
) -> None:
    vit = checkpoints.vit(tmp_path / "vit", hidden_size=width or 32)
    config = {CROSS_WIDTH: width}
    trocr = checkpoints.trocr(tmp_path / "trocr", config=config)
    halves = {"encoder": ("encoder.", vit), "decoder": ("decoder.", trocr)}
    directory = whole(tmp_path / "whole", "vision-encoder-decoder", halves)
    checkpoint = assemble_pair(directory, directory, tmp_path / "out")
    of_decoder = checkpoint.ledgers[1]
    lost = {name for name, why in of_decoder.unused.items() if "of another width" in why}
    assert bool(lost) == bool(width)
    assert all(name.startswith("decoder.model.decoder.layers.") for name in lost)
    assert {*of_decoder.initialized.values()} == ({"cross-attention"} if width else set())
    assert read_json(tmp_path / "out" / "config.json")["decoder"].get(CROSS_WIDTH) is None


def test_halves_of_a_dual_encoder_are_an_encoder_and_a_decoder(tmp_path: Path) -> None:
    vit, bert = checkpoints.vit(tmp_path / "vit"), checkpoints.bert(tmp_path / "bert")
    dual = whole(
        tmp_path / "dual",
        "vision-text-dual-encoder",
        {"vision_config": ("vision_model.", vit), "text_config": ("text_model.", bert)},
        others={"logit_scale": np.ones((), np.float32)},
    )
    checkpoint = assemble_pair(dual, dual, tmp_path / "of-halves")
    assemble_pair(vit, bert, tmp_path / "of-models")
    for name in ("model.safetensors", "flax_model.msgpack"):
        one, other = (tmp_path / each / name for each in ("of-halves", "of-models"))
        assert one.read_bytes() == other.read_bytes()
    assert all(ledger.unused["logit_scale"] == UNUSED_HALF for ledger in checkpoint.ledgers)


@pytest.mark.parametrize("model_type", ["clip", "chinese_clip", "siglip"])
def test_half_of_a_dual_model_is_its_encoder_of_images(model_type: str, tmp_path: Path) -> None:
    write: dict[str, Callable[..., Path]] = {
        "clip": checkpoints.clip_vision,
        "chinese_clip": checkpoints.chinese_clip_vision,
        "siglip": checkpoints.siglip_vision,
    }
    vision, gpt2 = write[model_type](tmp_path / "vision"), checkpoints.gpt2(tmp_path / "gpt2")
    dual = whole(
        tmp_path / "dual",
        model_type,
        {"vision_config": ("", vision)},
        others={"text_model.final_layer_norm.bias": np.ones(8, np.float32)},
        text_config={"hidden_size": 8},
    )
    # Their configs may omit the model_type of each half, and old ones have settings twice.
    content = read_json(dual / "config.json")["vision_config"]
    del content["model_type"]
    later = {"vision_config_dict": {"layer_norm_eps": content.pop("layer_norm_eps", 1e-5)}}
    edit_json(dual / "config.json", vision_config=content, **later)
    checkpoint = assemble_pair(dual, gpt2, tmp_path / "of-half")
    assemble_pair(vision, gpt2, tmp_path / "of-model")
    one, other = (tmp_path / each / "model.safetensors" for each in ("of-half", "of-model"))
    assert one.read_bytes() == other.read_bytes()
    assert checkpoint.ledgers[0].unused["text_model.final_layer_norm.bias"] == UNUSED_HALF
    configs = [read_json(each.parent / "config.json")["encoder"] for each in (one, other)]
    for config in configs:
        del config["_name_or_path"]
    assert configs[0] == configs[1]


def test_half_takes_what_the_whole_model_says_of_tokens(tmp_path: Path) -> None:
    vit, gpt2 = checkpoints.vit(tmp_path / "vit"), checkpoints.gpt2(tmp_path / "gpt2")
    (gpt2 / "generation_config.json").unlink()
    halves = {"encoder": ("encoder.", vit), "decoder": ("decoder.", gpt2)}
    composite = whole(tmp_path / "whole", "vision-encoder-decoder", halves, num_beams=4)
    edit_json(composite / "config.json", decoder_start_token_id=384, eos_token_id=None)
    half = source("decoder", composite).resolved
    assert half.generation == {"decoder_start_token_id": 384, "num_beams": 4}
    assert "num_beams" in left_out(half.config, half.generation, 385)
    assert source("encoder", composite).resolved.generation == {}
    checkpoint = assemble_pair(composite, composite, tmp_path / "checkpoint")
    assert checkpoint.token_ids.decoder_start.origin.endswith("the whole model's config")
    assert checkpoint.token_ids.pad.origin.endswith("the decoder's config")


def test_record_and_card_name_the_half_and_the_twin(tmp_path: Path) -> None:
    mae, distilbert = checkpoints.vit_mae(tmp_path / "a"), checkpoints.distilbert(tmp_path / "b")
    halves = {"encoder": ("encoder.", mae), "decoder": ("decoder.", distilbert)}
    composite = whole(tmp_path / "whole", "vision-encoder-decoder", halves)
    (entry,) = manifest(pair("owner/name")).pairs
    (tmp_path / "c").mkdir()
    sources = source("encoder", composite), source("decoder", composite)
    settings = CheckpointSettings.of(entry)
    record = build_checkpoint(*sources, tmp_path / "c", HfApi(), settings, entry).record
    assert parse_record(record.encoded(), "c") == record
    found = {
        role: (each.family, each.published_as, each.half_of)
        for role, each in record.sources.items()
    }
    assert found == {
        "encoder": ("vit_mae", "vit", "vision-encoder-decoder"),
        "decoder": ("distilbert", "bert", "vision-encoder-decoder"),
    }
    text = (tmp_path / "c" / card.FILE_NAME).read_text()
    for name in ("`vit_mae`", "`vit`", "`distilbert`", "`bert`", "`vision-encoder-decoder`"):
        assert name in text


def test_half_has_the_image_processor_of_a_model_that_transformers_5_saved(tmp_path: Path) -> None:
    vit, gpt2 = checkpoints.vit(tmp_path / "vit"), checkpoints.gpt2(tmp_path / "gpt2")
    assemble_pair(vit, gpt2, tmp_path / "expected")
    settings = read_json(vit / "preprocessor_config.json")
    (vit / "preprocessor_config.json").unlink()
    content = {"image_processor": settings, "processor_class": "TrOCRProcessor"}
    (vit / "processor_config.json").write_text(json.dumps(content))
    assemble_pair(vit, gpt2, tmp_path / "found")
    one, other = (tmp_path / each / "preprocessor_config.json" for each in ("found", "expected"))
    assert one.read_bytes() == other.read_bytes()


def card_of(encoder: Path, decoder: Path, directory: Path) -> str:
    """Return the card of a checkpoint that is built in a directory."""
    (entry,) = manifest(pair("owner/name")).pairs
    directory.mkdir()
    sources = source("encoder", encoder), source("decoder", decoder)
    build_checkpoint(*sources, directory, HfApi(), CheckpointSettings.of(entry), entry)
    return (directory / card.FILE_NAME).read_text()


def test_card_of_both_halves_of_one_model_does_not_ask_for_training(tmp_path: Path) -> None:
    vit, trocr = checkpoints.vit(tmp_path / "vit"), checkpoints.trocr(tmp_path / "trocr")
    wide = checkpoints.vit(tmp_path / "wide", hidden_size=48)
    one, other = (
        whole(
            tmp_path / f"whole-{number}",
            "vision-encoder-decoder",
            {"encoder": ("encoder.", encoder), "decoder": ("decoder.", trocr)},
        )
        for number, encoder in enumerate((vit, wide))
    )
    card_of_whole = card_of(one, one, tmp_path / "a")
    assert "**warm-started" not in card_of_whole
    # One sentence about one source, and one name in the list of local directories.
    assert card_of_whole.count("`vision-encoder-decoder`") == 1
    assert "`whole-0` and" not in card_of_whole
    card_of_half = card_of(vit, one, tmp_path / "b")
    assert "**warm-started" in card_of_half
    assert "has its decoder only" in card_of_half
    assert "projection between them" in card_of(other, other, tmp_path / "c")
