"""ved.sources.config: which configs VED accepts."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import checkpoints
from tests.support.building import edit_json
from tests.support.publishing import asked_for, client, publish
from tests.support.raising import raises
from ved.errors import ErrorCode
from ved.families.family import Role
from ved.families.table import DECODERS
from ved.localhub import LocalHub
from ved.manifest.pair_models import SourceRef
from ved.sources import pin
from ved.sources.config import ReadConfig, read_config


def read(hub: LocalHub, role: Role, directory: Path) -> ReadConfig:
    snapshot = pin(SourceRef(model=str(directory)), client(hub))
    return read_config(role, snapshot, client(hub))


def test_read_config_returns_content_and_family(hub: LocalHub) -> None:
    snapshot = pin(SourceRef(model="team/gpt2"), client(hub))
    config = read_config("decoder", snapshot, client(hub))
    assert config.settings["model_type"] == "gpt2"
    assert config.family is DECODERS["gpt2"]
    assert not config.warning


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, ErrorCode.CONFIG_NOT_USABLE),
        (b"{", ErrorCode.DAMAGED_SOURCE),
        (b"[]", ErrorCode.DAMAGED_SOURCE),
        (b"{}", ErrorCode.CONFIG_NOT_USABLE),
        (b'{"model_type": ["vit"]}', ErrorCode.CONFIG_NOT_USABLE),
        (b'{"model_type": "vit", "prefix": "\\ud800"}', ErrorCode.DAMAGED_SOURCE),
        (b'{"model_type": "vit", "\\uDFFF": 1}', ErrorCode.DAMAGED_SOURCE),
    ],
)
def test_read_config_refuses_unusable_config(
    content: bytes | None, code: ErrorCode, hub: LocalHub, tmp_path: Path
) -> None:
    (tmp_path / "vocab.txt").touch()
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with raises(code, "config.json", str(tmp_path)):
        read(hub, "encoder", tmp_path)


def test_read_config_takes_pairs_of_surrogates(hub: LocalHub, tmp_path: Path) -> None:
    config = {"model_type": "vit", "prefix": "\N{GRINNING FACE}", "\N{GRINNING FACE}": 1}
    (tmp_path / "config.json").write_text(json.dumps(config, ensure_ascii=True))
    (tmp_path / "model.safetensors").touch()
    assert read(hub, "encoder", tmp_path).settings["prefix"] == config["prefix"]


def test_read_config_refuses_size_that_is_an_empty_list(hub: LocalHub, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit", "hidden_size": []}')
    with raises(ErrorCode.CONFIG_NOT_USABLE, "hidden_size", str(tmp_path)):
        read(hub, "encoder", tmp_path)


@pytest.mark.parametrize(
    ("role", "model_type"),
    [
        ("encoder", "cvt"),
        ("encoder", "resnet"),
        ("encoder", "gpt2"),
        ("decoder", "llama"),
        ("decoder", "vit"),
    ],
)
def test_read_config_refuses_family_without_reading_weights(
    role: Role, model_type: str, hub: LocalHub, tmp_path: Path
) -> None:
    directory = checkpoints.config_only(tmp_path / "refused", model_type)
    (directory / "model.safetensors").write_bytes(b"not read")
    publish(hub, "team/refused", directory)
    snapshot = pin(SourceRef(model="team/refused"), client(hub))

    with raises(ErrorCode.UNSUPPORTED_FAMILY, str(snapshot), repr(model_type)):
        read_config(role, snapshot, client(hub))

    assert asked_for(hub, "team/refused") == {"config.json"}


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"quantization_config": {"bits": 4}}, "quantized"),
        ({"normalize_attention_scores": False}, "normalize_attention_scores"),
    ],
)
def test_read_config_refuses_settings_that_flax_ignores(
    settings: dict[str, Any], shown: str, hub: LocalHub, tmp_path: Path
) -> None:
    directory = checkpoints.config_only(tmp_path / "gpt2", "gpt2")
    content = json.loads((directory / "config.json").read_bytes())
    (directory / "config.json").write_text(json.dumps({**content, **settings}))
    with raises(ErrorCode.UNSUPPORTED_SETTINGS, shown):
        read(hub, "decoder", directory)


@pytest.mark.parametrize(
    ("role", "model_type", "settings", "shown"),
    [
        ("decoder", "gpt2", {"scale_attn_weights": None}, "scale_attn_weights"),
        ("decoder", "bert", {"hidden_act": "mish"}, "hidden_act"),
        ("encoder", "beit", {"image_size": [16, 8]}, "image_size"),
        ("encoder", "beit", {"use_mean_pooling": "no"}, "use_mean_pooling"),
        ("decoder", "bart", {"normalize_before": True}, "normalize_before"),
        ("decoder", "roberta", {"pad_token_id": None}, "pad_token_id"),
    ],
)
def test_read_config_names_refused_setting(
    role: Role, model_type: str, settings: dict[str, Any], shown: str, hub: LocalHub, tmp_path: Path
) -> None:
    directory = checkpoints.config_only(tmp_path / "source", model_type)
    edit_json(directory / "config.json", **settings)
    with raises(ErrorCode.UNSUPPORTED_SETTINGS, shown, str(directory)):
        read(hub, role, directory)


def test_read_config_converts_settings_to_those_of_flax(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.config_only(tmp_path / "source", "dinov2")
    changes = {"image_size": [56, 56], "hidden_act": "gelu_python", "layerscale_value": 1e-5}
    edit_json(directory / "config.json", **changes, output_attentions=True)
    found = read(hub, "encoder", directory)
    assert not found.warning
    assert found.settings["image_size"] == 56
    assert found.settings["hidden_act"] == "gelu"
    assert found.settings["layerscale_value"] == 1.0
    assert "output_attentions" not in found.settings


@pytest.mark.parametrize(
    "name", ["auto_map", "self", "__class__", "to_dict", "attribute_map", "rotary_dim"]
)
def test_read_config_warns_of_unknown_setting_and_leaves_it_out(
    name: str, hub: LocalHub, tmp_path: Path
) -> None:
    directory = checkpoints.config_only(tmp_path / "source", "gpt2")
    edit_json(directory / "config.json", **{name: {"width": "n_embd"}, "unset": None})
    found = read(hub, "decoder", directory)
    # Names with an underscore in front are notes of transformers to itself.
    assert (name in found.warning) == (not name.startswith("_"))
    assert "unset" not in found.warning
    assert name not in found.settings
