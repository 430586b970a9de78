"""ved.sources.repo_kinds: repos of another kind than VED reads, and what to do about each."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import checkpoints
from tests.support.publishing import asked_for, client, publish
from tests.support.raising import raises
from ved.errors import ErrorCode
from ved.families.family import Role
from ved.localhub import LocalHub
from ved.manifest.pair_models import SourceRef
from ved.sources.source import ResolvedSource, resolve_source

JSON = dict[str, Any]
LORA: JSON = {"peft_type": "LORA", "base_model_name_or_path": "openai-community/gpt2"}
VISION: JSON = {"model_type": "vit", "_name_or_path": "google/vit-base-patch16-224-in21k"}
TEXT: JSON = {"model_type": "gpt2", "_name_or_path": "openai-community/gpt2"}


def resolve(hub: LocalHub, role: Role, model: str, **keys: Any) -> ResolvedSource:
    return resolve_source(role, SourceRef(model=model, **keys), client(hub))


def write(directory: Path, **files: JSON | bytes) -> Path:
    """Write files; `__` in a name is a dot, and JSON is encoded."""
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (directory / name.replace("__", ".")).write_bytes(data)
    return directory


@pytest.mark.parametrize(
    ("files", "code", "shown"),
    [
        ({}, "not-a-checkpoint", ()),
        ({"README__md": b"x", "LICENSE": b"x"}, "not-a-checkpoint", ("'LICENSE'", "'README.md'")),
        ({"adapter_config__json": LORA}, "not-a-checkpoint", ("LoRA", "openai-community/gpt2")),
        (
            {"adapter_config__json": LORA, "config__json": TEXT, "adapter_model__bin": b"x"},
            "not-a-checkpoint",
            ("LoRA", "openai-community/gpt2"),
        ),
        ({"adapter_config__json": {"peft_type": "IA3"}}, "not-a-checkpoint", ("PEFT",)),
        (
            {"adapter_config__json": {"base_model_name_or_path": "/root/model"}},
            "not-a-checkpoint",
            ("LoRA",),
        ),
        ({"model_index__json": {"_class_name": "X"}}, "not-a-checkpoint", ("diffusers",)),
        ({"pytorch_lora_weights__safetensors": b"x"}, "not-a-checkpoint", ("LoRA", "diffusers")),
        ({"modules__json": b"[]"}, "not-a-checkpoint", ("sentence-transformers",)),
        (
            {"open_clip_config__json": {}, "model__safetensors": b"x"},
            "not-a-checkpoint",
            ("OpenCLIP",),
        ),
        ({"model-Q4_K_M__gguf": b"x"}, "no-usable-weights", ("GGUF", "model-Q4_K_M.gguf")),
        ({"config__json": TEXT, "x__gguf": b"x"}, "no-usable-weights", ("GGUF", "x.gguf")),
        ({"config__json": TEXT, "model__onnx": b"x"}, "no-usable-weights", ("ONNX",)),
        (
            {"config__json": TEXT, "openvino_model__xml": b"x", "openvino_model__bin": b"x"},
            "no-usable-weights",
            ("OpenVINO",),
        ),
        ({"config__json": TEXT, "tf_model__h5": b"x"}, "no-usable-weights", ("TensorFlow",)),
        (
            {"config__json": {"architecture": "vit_base", "pretrained_cfg": {}}},
            "not-a-checkpoint",
            ("timm",),
        ),
        (
            {"config__json": {"model_type": "vision-encoder-decoder", "encoder": [], "decoder": 1}},
            "config-not-usable",
            ("vision-encoder-decoder", "decoder", "config: ..."),
        ),
        (
            {"config__json": {"model_type": "encoder-decoder", "decoder": {"hidden_size": 768}}},
            "config-not-usable",
            ("encoder-decoder", "decoder", "config: ..."),
        ),
        (
            {"config__json": {"model_type": "vision-encoder-decoder", "decoder": VISION}},
            "unsupported-family",
            ("'vit'", "swapped"),
        ),
        (
            {"config__json": {"model_type": "clip", "vision_config": {}, "text_config": {}}},
            "unsupported-family",
            ("whole clip model", "encoder"),
        ),
        ({"config__json": VISION}, "unsupported-family", ("encoder", "swapped")),
        ({"config__json": {"hidden_size": 128}}, "config-not-usable", ("config: ...",)),
        (
            {"config__json": TEXT | {"quantization_config": {"quant_method": "gptq"}}},
            "unsupported-settings",
            ("'gptq'",),
        ),
        (
            {"config__json": TEXT | {"quantization_config": {"load_in_4bit": True}}},
            "unsupported-settings",
            ("quantization_config",),
        ),
        (
            {"config__json": TEXT, "quantize_config__json": {"bits": 4}},
            "unsupported-settings",
            ("gptq",),
        ),
        (
            {"config__json": TEXT, "model__safetensors": b""},
            "damaged-source",
            ("model.safetensors", "0 bytes"),
        ),
    ],
    ids=str,
)
def test_repo_kind_is_named_without_reading_weights(
    files: dict[str, JSON | bytes],
    code: str,
    shown: tuple[str, ...],
    hub: LocalHub,
    tmp_path: Path,
) -> None:
    directory = write(tmp_path / "source", **files)
    with raises(ErrorCode(code), str(directory), *shown) as caught:
        resolve(hub, "decoder", str(directory))
    assert "/root" not in str(caught.value)
    publish(hub, "team/other", directory)
    with raises(ErrorCode(code), "team/other@", *shown):
        resolve(hub, "decoder", "team/other")
    assert asked_for(hub, "team/other") <= {"config.json", "adapter_config.json"}


def test_repo_kind_of_encoder_and_decoder_swapped(hub: LocalHub) -> None:
    with raises(ErrorCode.UNSUPPORTED_FAMILY, "'gpt2'", "decoder", "swapped"):
        resolve(hub, "encoder", "team/gpt2")


def test_repo_kind_of_merged_adapter_is_a_checkpoint(hub: LocalHub, tmp_path: Path) -> None:
    directory = write(checkpoints.gpt2(tmp_path / "gpt2"), adapter_config__json=LORA)
    assert resolve(hub, "decoder", str(directory)).weights == ("model.safetensors",)


def test_repo_kind_of_adapter_with_another_config(hub: LocalHub, tmp_path: Path) -> None:
    directory = write(tmp_path / "adapter", adapter_config__json=LORA)
    with raises(ErrorCode.NOT_A_CHECKPOINT, "LoRA", "openai-community/gpt2"):
        resolve(hub, "decoder", str(directory), config={"model": "team/gpt2"})


def test_repo_kind_of_empty_shard(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.gpt2(tmp_path / "gpt2", layout="sharded")
    shard = max(directory.glob("*.safetensors"))
    shard.write_bytes(b"")
    with raises(ErrorCode.DAMAGED_SOURCE, shard.name, "0 bytes"):
        resolve(hub, "decoder", str(directory))


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_repo_kind_of_dataset_or_space(kind: str, hub: LocalHub) -> None:
    sdk = "static" if kind == "space" else None
    client(hub).create_repo("team/data", repo_type=kind, space_sdk=sdk)
    hub.requests.clear()
    with raises(ErrorCode.NO_SUCH_REPO, "team/data", kind.replace("space", "Space")):
        resolve(hub, "decoder", "team/data")
    assert len(hub.requests) <= 3


def test_repo_kind_of_missing_repo_is_not_known(hub: LocalHub) -> None:
    with raises(ErrorCode.NO_SUCH_REPO, "team/nothing") as caught:
        resolve(hub, "decoder", "team/nothing")
    assert "dataset" not in str(caught.value)
