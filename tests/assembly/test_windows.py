"""Encoders with stages and windows: their settings, sizes and buffers in a checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from tests import checkpoints
from tests.checkpoints.windows import relative_position_index
from tests.support.building import (
    assemble_pair,
    assert_same_parameters,
    edit_json,
    parameters_in,
    read_json,
)
from ved.errors import ErrorCode, VedError
from ved.modeling import FlaxVisionEncoderDecoderModel

pytestmark = pytest.mark.hub

INDEX = "attention.self.relative_position_index"
LAYERS = ("0.blocks.0", "0.blocks.1", "1.blocks.0")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.gpt2(tmp_path_factory.mktemp("windows") / "decoder")


def stored(directory: Path) -> dict[str, NDArray[Any]]:
    return dict(safetensors.numpy.load_file(directory / "model.safetensors"))


def test_checkpoint_of_an_old_config_has_the_width_for_the_decoder(
    decoder: Path, tmp_path: Path
) -> None:
    encoder = checkpoints.swin(tmp_path / "encoder")
    config = read_json(encoder / "config.json")
    old = {name: config[name] for name in config if name not in ("hidden_size", "num_layers")}
    (encoder / "config.json").write_text("{}")
    edit_json(encoder / "config.json", **old)
    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")
    published = read_json(tmp_path / "out" / "config.json")["encoder"]
    assert published["hidden_size"] == config["hidden_size"] == 32
    assert "path_norm" not in published
    assert {ledger.role for ledger in checkpoint.ledgers} == {"encoder", "decoder"}


def test_checkpoint_keeps_images_that_are_not_square(decoder: Path, tmp_path: Path) -> None:
    encoder = checkpoints.donut_swin(tmp_path / "encoder")
    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")
    assert read_json(tmp_path / "out" / "config.json")["encoder"]["image_size"] == [24, 16]
    size = read_json(tmp_path / "out" / "preprocessor_config.json")["size"]
    assert size == {"height": 24, "width": 16}
    assert not checkpoint.warnings


def test_encoder_of_a_whole_donut_is_that_of_its_half(decoder: Path, tmp_path: Path) -> None:
    encoder = checkpoints.donut_swin(tmp_path / "encoder")
    halves = {"encoder": ("encoder.", encoder), "decoder": ("decoder.", decoder)}
    donut = checkpoints.whole(tmp_path / "donut", "vision-encoder-decoder", halves)
    # As in naver-clova-ix/donut-base: width and height, and a class of before 2023.
    old = {"size": [16, 24], "feature_extractor_type": "DonutFeatureExtractor"}
    edit_json(donut / "preprocessor_config.json", **old, image_processor_type=None)
    for name, source in {"of-half": encoder, "of-whole": donut}.items():
        assemble_pair(source, decoder, tmp_path / name)
    assert_same_parameters(*(parameters_in(tmp_path / name) for name in ("of-whole", "of-half")))
    for name in ("preprocessor_config.json", "model.safetensors"):
        of_whole, of_half = (tmp_path / each / name for each in ("of-whole", "of-half"))
        assert of_whole.read_bytes() == of_half.read_bytes()


@pytest.mark.parametrize("family", ["swin", "donut-swin"])
def test_safetensors_has_the_buffers_of_pytorch_though_the_source_lacks_them(
    family: str, decoder: Path, tmp_path: Path
) -> None:
    encoder = checkpoints.ENCODERS[family](tmp_path / "encoder", dtype="bfloat16")
    tensors = {name: each for name, each in stored(encoder).items() if not name.endswith("_index")}
    safetensors.numpy.save_file(tensors, encoder / "model.safetensors", {"format": "pt"})
    assemble_pair(encoder, decoder, tmp_path / "out")
    saved = tmp_path / "saved"
    model = FlaxVisionEncoderDecoderModel.from_pretrained(tmp_path / "out")
    model.save_pretrained(saved, safe_serialization=True)
    for directory in (tmp_path / "out", saved):
        found = stored(directory)
        buffers = {name: each for name, each in found.items() if each.dtype.kind == "i"}
        assert {*buffers} == {f"encoder.encoder.layers.{layer}.{INDEX}" for layer in LAYERS}
        for index in buffers.values():
            assert index.dtype == np.int64
            np.testing.assert_array_equal(index, relative_position_index(4))


def test_buffers_of_old_files_are_not_parameters(decoder: Path, tmp_path: Path) -> None:
    encoder = checkpoints.swinv2(tmp_path / "encoder")
    mask = {"swinv2.encoder.layers.0.blocks.1.attn_mask": np.zeros((4, 16, 16), np.float32)}
    safetensors.numpy.save_file(
        stored(encoder) | mask, encoder / "model.safetensors", {"format": "pt"}
    )
    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")
    unused = checkpoint.ledgers[0].unused
    assert {name.rpartition(".")[2] for name in unused} == {
        *("attn_mask", "relative_coords_table", "relative_position_index", "weight", "bias"),
    }
    assert not checkpoint.warnings
    # transformers does not store the buffers of Swin v2, and would not expect them.
    assert {each.dtype.kind for each in stored(tmp_path / "out").values()} == {"f"}


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"depths": [2, 0]}, ErrorCode.CONFIG_NOT_USABLE),
        ({"depths": [2, True]}, ErrorCode.CONFIG_NOT_USABLE),
        ({"depths": [1] * 17, "num_heads": [1] * 17}, ErrorCode.CONFIG_NOT_USABLE),
        ({"depths": [2, 1, 1]}, ErrorCode.CONFIG_NOT_USABLE),
        ({"depths": [128, 128]}, ErrorCode.CONFIG_NOT_USABLE),
        ({"num_heads": [2, 3]}, ErrorCode.CONFIG_NOT_USABLE),
        ({"embed_dim": 65_536}, ErrorCode.CONFIG_NOT_USABLE),
        ({"image_size": [16, 10**9]}, ErrorCode.CONFIG_NOT_USABLE),
        ({"image_size": [8192, 8192]}, ErrorCode.CONFIG_NOT_USABLE),
        ({"window_size": 4096}, ErrorCode.CONFIG_NOT_USABLE),
        ({"window_size": [4, 4]}, ErrorCode.CONFIG_NOT_USABLE),
        ({"mlp_ratio": "4"}, ErrorCode.CONFIG_NOT_USABLE),
        ({"depths": 2}, ErrorCode.UNSUPPORTED_SETTINGS),
        ({"use_absolute_embeddings": True}, ErrorCode.UNSUPPORTED_SETTINGS),
        ({"path_norm": False}, ErrorCode.UNSUPPORTED_SETTINGS),
        # The tables in the weights are those of another window.
        ({"window_size": 2}, ErrorCode.WEIGHTS_DO_NOT_FIT),
    ],
    ids=repr,
)
def test_swin_of_impossible_sizes_is_refused(
    settings: dict[str, Any], code: ErrorCode, decoder: Path, tmp_path: Path
) -> None:
    encoder = checkpoints.swin(tmp_path / "encoder")
    edit_json(encoder / "config.json", **settings)
    with pytest.raises(VedError) as caught:
        assemble_pair(encoder, decoder, tmp_path / "out")
    assert caught.value.code == code


@pytest.mark.parametrize(
    "settings",
    [
        {"pretrained_window_sizes": [1, 1]},
        {"pretrained_window_sizes": [4]},
        {"image_size": 2},
        {"embed_dim": 16, "window_size": 0},
    ],
    ids=repr,
)
def test_swinv2_of_impossible_sizes_is_refused(
    settings: dict[str, Any], decoder: Path, tmp_path: Path
) -> None:
    encoder = checkpoints.swinv2(tmp_path / "encoder")
    edit_json(encoder / "config.json", **settings)
    with pytest.raises(VedError) as caught:
        assemble_pair(encoder, decoder, tmp_path / "out")
    assert caught.value.code == ErrorCode.CONFIG_NOT_USABLE
