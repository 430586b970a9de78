"""A plan tries what needs no weight: images, a text, the checkpoint's config, the card's limits."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests import checkpoints
from tests.support.building import assemble_pair, edit_json, read_json
from tests.support.publishing import client, manifest, pair
from tests.support.tokenizers import japanese_bert
from ved import commands
from ved.commands import RunOptions
from ved.commands import plan as make_report
from ved.errors import ErrorCode, VedError
from ved.examination import sandbox
from ved.localhub import LocalHub
from ved.manifest.pair_models import SourceRef
from ved.planning.actions import PlannedAction

Edit = Callable[[dict[str, Any]], object]

BERT_END = "[SEP]"


def planned(hub: LocalHub, **sources: Path) -> PlannedAction:
    """Plan a pair of local sources; a good one takes the place of one that is not given."""
    named = {"decoder": "team/bart", **{role: str(path) for role, path in sources.items()}}
    report = make_report(manifest(pair("owner/tried", **named)), RunOptions(), client(hub))
    (action,) = report.actions
    return action


def found(action: PlannedAction) -> list[tuple[str, str, str]]:
    return [(each.level, each.key, str(each.code)) for each in action.findings]


def bert(directory: Path, edit: Edit) -> Path:
    """Write a BERT, and change its tokenizer.json."""
    checkpoints.bert(directory)
    content = read_json(directory / "tokenizer.json")
    edit(content)
    edit_json(directory / "tokenizer.json", **content)
    return directory


# Images


def set_channels(weights: Path, channels: int) -> None:
    """Let the patch embedding of an encoder take images with another number of channels."""
    tensors = load_file(weights)
    (name,) = (each for each in tensors if each.endswith("patch_embeddings.projection.weight"))
    first, _, *patch = tensors[name].shape
    tensors[name] = np.resize(tensors[name], (first, channels, *patch))
    save_file(tensors, weights, {"format": "pt"})


VARIOUS = {"do_resize": False, "do_center_crop": False}


@pytest.mark.parametrize(
    ("family", "config", "processor", "data"),
    [
        ("vit", {"num_channels": 1}, {}, ["3 channels", "takes 1"]),
        ("beit", {"num_channels": 4}, {}, ["3 channels", "takes 4"]),
        (
            "dinov2",
            {"num_channels": 1},
            {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
            ["3 channels", "takes 1"],
        ),
        ("vit", {}, VARIOUS, ["various sizes", "16 x 16"]),
        ("beit", {}, VARIOUS, ["various sizes", "16 x 16"]),
        (
            "vit",
            {},
            {
                "image_processor_type": "BitImageProcessor",
                "size": {"shortest_edge": 16},
                "do_center_crop": False,
            },
            ["various sizes", "16 x 16"],
        ),
        ("vit", {}, {"size": {"height": 2, "width": 16}}, ["2 x 16", "no patch"]),
        (
            "dinov2",
            {},
            {
                "size": {"shortest_edge": 1},
                "do_center_crop": True,
                "crop_size": {"height": 1, "width": 1},
            },
            ["1 x 1", "no patch"],
        ),
        ("beit", {}, {"size": {"height": 16, "width": 1}, "do_center_crop": False}, ["no patch"]),
    ],
)
def test_plan_compares_processed_images_with_the_encoder(
    family: str,
    config: dict[str, Any],
    processor: dict[str, Any],
    data: list[str],
    hub: LocalHub,
    tmp_path: Path,
) -> None:
    getattr(checkpoints, family)(tmp_path / "encoder", config=config)
    set_channels(tmp_path / "encoder/model.safetensors", config.get("num_channels", 3))
    edit_json(tmp_path / "encoder/preprocessor_config.json", **processor)
    action = planned(hub, encoder=tmp_path / "encoder")
    assert found(action) == [("warning", "encoder", ErrorCode.IMAGE_SIZE)], action.findings
    assert all(each in action.findings[0].message for each in data)


def test_plan_takes_images_of_various_sizes_where_the_encoder_does(
    hub: LocalHub, tmp_path: Path
) -> None:
    checkpoints.dinov2(tmp_path / "encoder")
    edit_json(tmp_path / "encoder/preprocessor_config.json", **VARIOUS)
    assert found(planned(hub, encoder=tmp_path / "encoder")) == []


# Texts


def ends_with(number: int) -> Edit:
    """Let the tokenizer add another id to each text."""

    def edit(content: dict[str, Any]) -> None:
        content["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": BERT_END, "type_id": 0}},
            ],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 0}},
            ],
            "special_tokens": {BERT_END: {"id": BERT_END, "ids": [number], "tokens": [BERT_END]}},
        }

    return edit


def replaces(part: str, pattern: str, content: str) -> Edit:
    """Let a part of the tokenizer replace characters."""
    replace = {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}
    return lambda tokenizer: tokenizer.update({part: replace})


def without_unknown(content: dict[str, Any]) -> None:
    """Let no token stand for unknown words, and make all words unknown."""
    content["model"]["unk_token"] = "[NONE]"
    replaces("normalizer", r"\w", "☃")(content)


TOKENIZERS: Mapping[str, tuple[Edit, ErrorCode]] = {
    "adds an id outside": (ends_with(5000), ErrorCode.VOCABULARY_SIZE),
    "adds the next id": (ends_with(389), ErrorCode.VOCABULARY_SIZE),
    "adds a huge id": (ends_with(2**31), ErrorCode.VOCABULARY_SIZE),
    "decodes to nothing": (replaces("decoder", ".", ""), ErrorCode.PROCESSOR_NOT_USABLE),
    "decodes to spaces": (replaces("decoder", ".", " "), ErrorCode.PROCESSOR_NOT_USABLE),
    "knows no word": (replaces("normalizer", r"\S+", "☃"), ErrorCode.PROCESSOR_NOT_USABLE),
    "reads nothing": (replaces("normalizer", ".", ""), ErrorCode.PROCESSOR_NOT_USABLE),
    "fails": (without_unknown, ErrorCode.PROCESSOR_NOT_USABLE),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_plan_refuses_a_tokenizer_that_cannot_encode_and_decode(
    name: str, hub: LocalHub, tmp_path: Path
) -> None:
    edit, code = TOKENIZERS[name]
    action = planned(hub, decoder=bert(tmp_path / "decoder", edit))
    assert ("error", "decoder", code) in found(action), action.findings
    assert action.name == "refuse"


def test_assemble_tries_the_tokenizer_and_leaves_nothing(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    edit, code = TOKENIZERS["decodes to nothing"]
    decoder = bert(tmp_path / "decoder", edit)
    with pytest.raises(VedError) as caught:
        commands.assemble(
            SourceRef(model=str(sources["vit"])), SourceRef(model=str(decoder)), tmp_path / "out"
        )
    assert caught.value.code == code
    assert [path.name for path in tmp_path.iterdir()] == ["decoder"]


@pytest.mark.parametrize("subwords", ["wordpiece", "character"])
def test_plan_tries_a_japanese_tokenizer_without_its_packages(
    subwords: str, hub: LocalHub, tmp_path: Path
) -> None:
    action = planned(hub, decoder=japanese_bert(tmp_path / "decoder", subwords=subwords))
    assert action.name == "build", action.findings


# Large files


def test_plan_examines_a_file_that_is_larger_than_the_address_space(
    hub: LocalHub, tmp_path: Path
) -> None:
    weights = checkpoints.gpt2(tmp_path / "decoder") / "model.safetensors"
    content = weights.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    end = len(data) + sandbox.ADDRESS_BYTES
    header["unused"] = {
        "dtype": "U8",
        "shape": [end - len(data)],
        "data_offsets": [len(data), end],
    }
    encoded = json.dumps(header).encode()
    weights.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
    os.truncate(weights, 8 + len(encoded) + end)  # a hole, which takes no disk
    action = planned(hub, decoder=tmp_path / "decoder")
    assert ("warning", "decoder", ErrorCode.RANDOM_PARAMETERS) in found(action), action.findings
    assert action.name == "build"


# The config of the checkpoint


@pytest.mark.parametrize("value", [None, "0.02", -1, True, [0.02]], ids=str)
def test_plan_refuses_a_deviation_that_is_no_number(
    value: object, hub: LocalHub, tmp_path: Path
) -> None:
    checkpoints.bart(tmp_path / "decoder", hidden_size=64)  # wider than the encoder
    edit_json(tmp_path / "decoder/config.json", init_std=value)
    action = planned(hub, decoder=tmp_path / "decoder")
    assert found(action) == [("error", "decoder", ErrorCode.UNSUPPORTED_SETTINGS)], action.findings
    assert "init_std" in action.findings[0].message


@pytest.mark.parametrize(
    "settings",
    [{"temperature": 0.3}, {"top_p": 0.5, "early_stopping": True}, {"num_return_sequences": 3}],
    ids=str,
)
def test_plan_and_assembly_agree_on_generation_settings(
    settings: dict[str, Any], hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    checkpoints.bart(tmp_path / "decoder")
    edit_json(tmp_path / "decoder/config.json", **settings)
    action = planned(hub, decoder=tmp_path / "decoder")
    refused = False
    try:
        assemble_pair(sources["vit"], tmp_path / "decoder", tmp_path / "assembled")
    except VedError:
        refused = True
    assert (action.name == "refuse") == refused, action.findings


# The code on the card


@pytest.mark.parametrize(
    ("family", "setting", "too_few"),
    [
        ("gpt2", "n_positions", 15),
        ("bart", "max_position_embeddings", 15),
        ("bert", "max_position_embeddings", 15),
        ("roberta", "max_position_embeddings", 17),
    ],
)
def test_plan_warns_of_too_few_positions_for_the_code_of_the_card(
    family: str, setting: str, too_few: int, hub: LocalHub, tmp_path: Path
) -> None:
    for number in (too_few, too_few + 1):
        directory = getattr(checkpoints, family)(
            tmp_path / f"{family}-{number}", config={setting: number}
        )
        action = planned(hub, decoder=directory)
        expected = ("warning", "decoder", ErrorCode.FEW_POSITIONS)
        assert (expected in found(action)) == (number == too_few), action.findings
        assert action.name == "build"
