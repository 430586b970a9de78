"""What assembled checkpoints contain, and which sources are refused."""

import functools
import hashlib
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from huggingface_hub import HfApi
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
)

from tests import checkpoints
from tests.checkpoints import bart, beit, bert, config_only, gpt2, roberta, vit
from tests.support.building import (
    Parameters,
    assemble_pair,
    assert_same_parameters,
    edit_json,
    files_of,
    groups_of,
    parameters_in,
    read_json,
    source,
)
from tests.support.reference import SCRIPT_PAIRS
from ved.assembly.assemble import Checkpoint
from ved.assembly.config import as_decoder
from ved.assembly.config_files import load_config
from ved.assembly.parts import Part, source_part
from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.families.table import DECODERS, ENCODERS
from ved.limits import LAYERS
from ved.manifest.pair_models import SourceRef
from ved.manifest.settings import CheckpointSettings
from ved.sources.source import resolve_source
from ved.tensors.safetensors import read_header
from ved.tensors.tensor import read

pytestmark = pytest.mark.hub

CROSS_ATTENTION = "cross-attention"
ABSENT = "absent from the source"
FAMILIES: dict[str, Callable[..., Path]] = {**checkpoints.ENCODERS, **checkpoints.DECODERS}
DTYPES = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
Dtype = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class Pair:
    """A pair of sources, and the checkpoint of VED."""

    encoder: Path
    decoder: Path
    checkpoint: Checkpoint

    @property
    def directory(self) -> Path:
        return self.checkpoint.directory


@pytest.fixture(scope="module", params=[*SCRIPT_PAIRS.values()], ids=[*SCRIPT_PAIRS])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    encoder_family, decoder_family, width = request.param
    root = tmp_path_factory.mktemp("pair")
    encoder = FAMILIES[encoder_family](root / "encoder", seed=1, hidden_size=width)
    decoder = FAMILIES[decoder_family](root / "decoder", seed=2)
    checkpoint = assemble_pair(encoder, decoder, root / "checkpoint")
    return Pair(encoder, decoder, checkpoint)


def initialized_paths(parameters: Parameters) -> set[tuple[str, ...]]:
    """Return the paths of parameters that a warm start adds; BART has cross-attention already."""
    pattern = re.compile("crossattention|ln_cross_attn|enc_to_dec_proj")
    return {path for path in parameters if pattern.search("/".join(path))}


def test_safetensors_keeps_order_and_bytes_of_the_sources(pair: Pair) -> None:
    written, _ = read_header(pair.directory / "model.safetensors")
    expected = [
        read(match.weight.tensor).tobytes()
        for ledger in pair.checkpoint.ledgers
        for match in sorted(ledger.copied.values(), key=lambda match: match.weight.tensor.offset)  # type: ignore[attr-defined]
    ]
    assert [read(tensor).tobytes() for tensor in written.values()][: len(expected)] == expected


def test_image_processor_and_tokenizer_load(pair: Pair) -> None:
    processor = AutoImageProcessor.from_pretrained(pair.directory, use_fast=False)
    tokenizer = AutoTokenizer.from_pretrained(pair.directory)
    image = Image.new("RGB", (20, 20), "orange")
    assert processor(image, return_tensors="np").pixel_values.shape == (1, 3, 16, 16)
    ids = tokenizer(["a"], padding="max_length", max_length=6).input_ids
    assert ids[0][-1] == read_json(pair.directory / "config.json")["pad_token_id"]


def test_ledgers_list_the_parameters_that_no_source_has(pair: Pair) -> None:
    initialized = {
        path if ledger.role == "projection" else (ledger.role, *path): reason
        for ledger in pair.checkpoint.ledgers
        for path, reason in ledger.initialized.items()
    }
    assert initialized == {
        path: "projection" if path[0] == "enc_to_dec_proj" else CROSS_ATTENTION
        for path in initialized_paths(parameters_in(pair.directory))
    }


def test_checkpoint_has_parameter_count_and_digests(pair: Pair) -> None:
    numbers = sum(prod(array.shape) for array in parameters_in(pair.directory).values())
    assert pair.checkpoint.num_parameters == numbers
    assert pair.checkpoint.weights_sha256 == {
        name: hashlib.sha256((pair.directory / name).read_bytes()).hexdigest()
        for name in ("flax_model.msgpack", "model.safetensors")
    }


@pytest.mark.parametrize(("decoder", "width"), [("gpt2", 48), ("bart", 32)])
def test_seed_changes_initialized_kernels_only(decoder: str, width: int, tmp_path: Path) -> None:
    sources = vit(tmp_path / "encoder", hidden_size=width), FAMILIES[decoder](tmp_path / "decoder")
    for seed in (0, 1):
        assemble_pair(*sources, tmp_path / str(seed), CheckpointSettings(seed=seed))
    one, other = files_of(tmp_path / "0"), files_of(tmp_path / "1")
    before, after = parameters_in(tmp_path / "0"), parameters_in(tmp_path / "1")
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    # Initial biases are zero and scales are one, whatever the seed.
    assert changed == {path for path in initialized_paths(before) if path[-1] == "kernel"}
    assert bool(changed) == (decoder == "gpt2")
    weights = {"flax_model.msgpack", "model.safetensors"} if changed else set()
    assert {name for name in one | other if one[name] != other[name]} == weights


# Names and layouts of sources

MODERN_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Parameters]:
    """Return a function that assembles a family's default source once."""

    @functools.cache
    def assembled(family: str) -> Parameters:
        root = tmp_path_factory.mktemp(family)
        return assemble_with_partner(family, FAMILIES[family](root / "source"), root / "out")

    return assembled


def assemble_with_partner(
    family: str, directory: Path, target: Path, *, allow_pickle: bool = False
) -> Parameters:
    """Assemble a source with a small one of the other role, and return the parameters."""
    partner = target.with_name(f"{target.name}-partner")
    if family in checkpoints.ENCODERS:
        pair = directory, gpt2(partner)
    else:
        pair = vit(partner), directory
    return parameters_in(assemble_pair(*pair, target, allow_pickle=allow_pickle).directory)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("vit", {"layout": "flax"}),
        ("vit", {"layout": "pickle"}),
        ("beit", {"layout": "flax"}),
        ("dinov2", {"prefix": True}),
        ("dinov2", {"layout": "flax"}),
        ("swin", {"prefix": False}),
        ("swinv2", {"layout": "pickle"}),
        ("donut-swin", {"prefix": True}),
        ("gpt2", {"prefix": True}),
        ("gpt2", {"tied": "head"}),
        ("gpt2", {"tied": "both"}),
        ("gpt2", {"layout": "sharded"}),
        ("gpt2", {"layout": "flax"}),
        ("gpt2", {"layout": "pickle"}),
        ("bert", {"rename": MODERN_NAMES}),
        ("bert", {"tied": "head"}),
        ("bert", {"tied": "both"}),
        ("bert", {"layout": "flax", "rename": MODERN_NAMES}),
        ("roberta", {"tied": "head"}),
        ("roberta", {"tied": "both"}),
        ("roberta", {"layout": "flax"}),
        ("roberta-prelayernorm", {"tied": "both"}),
        ("bart", {"tied": "head"}),
        ("bart", {"tied": "both"}),
        ("bart", {"prefix": False}),
        ("bart", {"layout": "pickle"}),
    ],
    ids=str,
)
def test_assemble_reads_every_form_of_a_source(
    family: str,
    options: dict[str, Any],
    plain: Callable[[str], Parameters],
    tmp_path: Path,
) -> None:
    directory = FAMILIES[family](tmp_path / "source", **options)
    pickled = options.get("layout") == "pickle"
    actual = assemble_with_partner(family, directory, tmp_path / "out", allow_pickle=pickled)
    assert_same_parameters(actual, plain(family))


def test_assemble_reads_vit_with_a_classifier_and_no_pooler(
    plain: Callable[[str], Parameters], tmp_path: Path
) -> None:
    expected = plain("vit")
    encoder = vit(tmp_path / "encoder", prefix=True)
    checkpoint = assemble_pair(encoder, gpt2(tmp_path / "decoder"), tmp_path / "out")
    actual = parameters_in(tmp_path / "out")
    poolers = {path for path in actual if "pooler" in path}
    assert len(poolers) == 2
    assert_same_parameters(
        {path: actual[path] for path in actual if path not in poolers},
        {path: expected[path] for path in expected if path not in poolers},
    )
    reason = ENCODERS["vit"].unused[".classifier."]
    assert checkpoint.ledgers[0].unused == {"classifier.bias": reason, "classifier.weight": reason}


def test_assemble_reads_gpt_sw3_as_gpt2(plain: Callable[[str], Parameters], tmp_path: Path) -> None:
    directory = gpt2(tmp_path / "source")
    edit_json(directory / "config.json", model_type="gpt-sw3")
    assert_same_parameters(
        assemble_with_partner("gpt-sw3", directory, tmp_path / "out"), plain("gpt2")
    )


def test_ledgers_list_missing_optional_parts(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder", without=("pooler.",))
    decoder = bert(tmp_path / "decoder", without=("cls.",))
    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")
    assert [groups_of(ledger) for ledger in checkpoint.ledgers] == [
        {"pooler": ABSENT},
        {"bert/encoder/layer/*/crossattention": CROSS_ATTENTION, "cls": ABSENT},
    ]


def test_ledger_lists_a_missing_language_model_head(tmp_path: Path) -> None:
    decoder = roberta(tmp_path / "decoder", prefix=False)
    checkpoint = assemble_pair(vit(tmp_path / "encoder"), decoder, tmp_path / "out")
    assert groups_of(checkpoint.ledgers[1])["lm_head"] == ABSENT


# Dtypes and files


def assemble_in(
    directory: Path,
    encoder_dtype: Dtype,
    decoder_dtype: Dtype,
    settings: CheckpointSettings | None = None,
) -> Parameters:
    """Assemble sources of different widths, stored in these dtypes, and return the parameters."""
    encoder = vit(directory / "encoder", hidden_size=48, dtype=encoder_dtype)
    decoder = gpt2(directory / "decoder", dtype=decoder_dtype)
    assemble_pair(encoder, decoder, directory / "out", settings)
    return parameters_in(directory / "out")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Parameters:
    """Return the parameters of sources in float32."""
    return assemble_in(tmp_path_factory.mktemp("single"), "float32", "float32")


@pytest.mark.parametrize(
    ("encoder_dtype", "decoder_dtype"),
    [
        ("float16", "float16"),
        ("bfloat16", "bfloat16"),
        ("bfloat16", "float32"),
        ("float32", "float16"),
    ],
)
def test_dtype_source_keeps_dtypes_and_initializes_in_that_of_the_decoder(
    encoder_dtype: Dtype, decoder_dtype: Dtype, single: Parameters, tmp_path: Path
) -> None:
    expected = {
        path: array.astype(DTYPES[encoder_dtype if path[0] == "encoder" else decoder_dtype])
        for path, array in single.items()
    }
    assert_same_parameters(assemble_in(tmp_path, encoder_dtype, decoder_dtype), expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_dtype_applies_to_every_parameter_and_config(
    dtype: Dtype, single: Parameters, tmp_path: Path
) -> None:
    actual = assemble_in(tmp_path, "float32", "float32", CheckpointSettings(dtype=dtype))
    expected = {path: array.astype(DTYPES[dtype]) for path, array in single.items()}
    assert_same_parameters(actual, expected)
    tensors, _ = read_header(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {DTYPES[dtype]}
    config = AutoConfig.from_pretrained(tmp_path / "out")
    parts = [config, config.encoder, config.decoder]
    assert [str(part.dtype).removeprefix("torch.") for part in parts] == [dtype] * 3


def test_dtype_float32_does_not_round_initialized_parameters(
    single: Parameters, tmp_path: Path
) -> None:
    actual = assemble_in(tmp_path, "float16", "float16", CheckpointSettings(dtype="float32"))
    initialized = initialized_paths(actual)
    assert_same_parameters(
        {path: actual[path] for path in initialized},
        {path: single[path] for path in initialized},
    )


@pytest.mark.parametrize(
    ("weights", "name"), [("flax", "flax_model.msgpack"), ("safetensors", "model.safetensors")]
)
def test_weights_setting_writes_one_file_only(
    weights: Literal["flax", "safetensors"], name: str, tmp_path: Path
) -> None:
    pair = vit(tmp_path / "encoder"), gpt2(tmp_path / "decoder")
    both = files_of(assemble_pair(*pair, tmp_path / "both").directory)
    checkpoint = assemble_pair(*pair, tmp_path / "one", CheckpointSettings(weights=(weights,)))
    others = {"flax_model.msgpack", "model.safetensors"} - {name}
    kept = {file: content for file, content in both.items() if file not in others}
    assert files_of(checkpoint.directory) == kept
    assert checkpoint.weights_sha256.keys() == {name}


# Other configs


def test_config_of_other_image_size_is_refused_with_both_shapes(tmp_path: Path) -> None:
    encoder, other = vit(tmp_path / "weights"), vit(tmp_path / "other", config={"image_size": 32})
    decoder = gpt2(tmp_path / "decoder")
    with pytest.raises(VedError) as caught:
        assemble_pair(encoder, decoder, tmp_path / "out", encoder_config=other)
    assert caught.value.code == ErrorCode.WEIGHTS_DO_NOT_FIT
    for part in (
        f"embeddings.position_embeddings in model.safetensors of {encoder} has shape (1, 5, 32)",
        f"the config of {other} gives encoder/embeddings/position_embeddings the shape (1, 17, 32)",
    ):
        assert part in caught.value.cause


def test_tensor_of_the_wrong_shape_is_refused_with_both_shapes(tmp_path: Path) -> None:
    decoder = gpt2(tmp_path / "decoder")
    path = decoder / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors["h.1.mlp.c_fc.weight"] = np.zeros((32, 96), np.float32)
    safetensors.numpy.save_file(tensors, path, {"format": "pt"})
    with pytest.raises(VedError) as caught:
        assemble_pair(vit(tmp_path / "encoder"), decoder, tmp_path / "out")
    assert caught.value.code == ErrorCode.WEIGHTS_DO_NOT_FIT
    for part in (
        f"h.1.mlp.c_fc.weight in model.safetensors of {decoder} has shape (96, 32)",
        f"{decoder} gives decoder/transformer/h/1/mlp/c_fc/kernel the shape (128, 32)",
    ):
        assert part in caught.value.cause
    assert "h.0." not in caught.value.cause


def test_other_configs_are_used_and_change_no_parameter(tmp_path: Path) -> None:
    encoder, decoder = vit(tmp_path / "encoder"), bert(tmp_path / "decoder")
    encoder_config = vit(tmp_path / "encoder-config", seed=9, config={"layer_norm_eps": 0.25})
    decoder_config = bert(tmp_path / "decoder-config", seed=9, config={"bos_token_id": 4})
    assemble_pair(encoder, decoder, tmp_path / "plain")
    checkpoint = assemble_pair(
        encoder,
        decoder,
        tmp_path / "out",
        encoder_config=encoder_config,
        decoder_config=decoder_config,
    )
    config = read_json(tmp_path / "out" / "config.json")
    assert config["encoder"]["layer_norm_eps"] == 0.25
    assert config["decoder"]["bos_token_id"] == 4
    assert config["decoder_start_token_id"] == checkpoint.token_ids.decoder_start.id == 4
    assert_same_parameters(parameters_in(tmp_path / "out"), parameters_in(tmp_path / "plain"))


@pytest.mark.parametrize("changes", [{"num_attention_heads": 3}, {"hidden_size": "wide"}], ids=str)
def test_config_that_describes_no_model_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder")
    edit_json(encoder / "config.json", **changes)
    with pytest.raises(VedError) as caught:
        assemble_pair(encoder, gpt2(tmp_path / "decoder"), tmp_path / "out")
    assert caught.value.code == ErrorCode.CONFIG_NOT_USABLE
    assert str(encoder) in caught.value.cause


# No unexpected random parameters


@pytest.mark.parametrize(
    ("family", "rename", "missing", "nearest"),
    [
        (
            "vit",
            {"encoder.layer.": "encoder.blocks."},
            "encoder.layer.0.attention.attention.key.bias",
            "encoder.blocks.0.attention.attention.key.bias",
        ),
        (
            "gpt2",
            {"h.": "layers."},
            "transformer.h.0.attn.c_attn.bias",
            "layers.0.attn.c_attn.bias",
        ),
        (
            "roberta",
            {"encoder.": "body."},
            "roberta.encoder.layer.0.attention",
            "roberta.body.layer",
        ),
    ],
)
def test_layers_of_other_names_are_refused_with_similar_names(
    family: str, rename: dict[str, str], missing: str, nearest: str, tmp_path: Path
) -> None:
    directory = FAMILIES[family](tmp_path / "source", rename=rename)
    with pytest.raises(VedError) as caught:
        assemble_with_partner(family, directory, tmp_path / "out")
    assert caught.value.code == ErrorCode.WEIGHTS_DO_NOT_FIT
    message, _, similar = caught.value.cause.partition("Similar names in the source: ")
    assert str(directory) in message
    assert missing in message
    assert nearest in similar


def test_file_of_other_names_is_refused(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder")
    tensors = safetensors.numpy.load_file(encoder / "model.safetensors")
    strange = {f"tensor_{number}": tensor for number, tensor in enumerate(tensors.values())}
    safetensors.numpy.save_file(strange, encoder / "model.safetensors", {"format": "pt"})
    count = len([name for name in tensors if not name.startswith("pooler.")])
    with pytest.raises(VedError) as caught:
        assemble_pair(encoder, gpt2(tmp_path / "decoder"), tmp_path / "out")
    assert caught.value.code == ErrorCode.WEIGHTS_DO_NOT_FIT
    assert f"{encoder} lacks {count} tensors" in caught.value.cause


@pytest.mark.parametrize(
    ("weights", "config"),
    [
        ("vit", "beit"),
        ("beit", "vit"),
        ("dinov2", "vit"),
        ("gpt2", "bart"),
        ("bert", "roberta"),
        ("roberta", "bert"),
        ("roberta", "roberta-prelayernorm"),
        ("bart", "gpt2"),
    ],
)
def test_weights_with_the_config_of_another_family_are_refused(
    weights: str, config: str, tmp_path: Path
) -> None:
    directory = FAMILIES[weights](tmp_path / "weights")
    other = FAMILIES[config](tmp_path / "config")
    settings = CheckpointSettings(token_ids={"decoder_start": 0, "pad": 1, "eos": 2})
    if weights in checkpoints.ENCODERS:
        call = functools.partial(
            assemble_pair, directory, gpt2(tmp_path / "decoder"), encoder_config=other
        )
    else:
        call = functools.partial(
            assemble_pair, vit(tmp_path / "encoder"), directory, decoder_config=other
        )
    with pytest.raises(VedError) as caught:
        call(tmp_path / "out", settings)
    assert caught.value.code == ErrorCode.WEIGHTS_DO_NOT_FIT


# Pickles


def test_pickled_weights_are_refused_until_allowed(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder", layout="pickle")
    with pytest.raises(VedError) as caught:
        source("encoder", encoder)
    assert caught.value.code == ErrorCode.NO_USABLE_WEIGHTS
    assert "pytorch_model.bin" in caught.value.cause
    assert "allow_pickle: true" in caught.value.remedy
    assert source("encoder", encoder, allow_pickle=True).weight_paths == [
        encoder / "pytorch_model.bin"
    ]


def test_allowed_pickle_that_calls_os_system_does_not_run(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder", layout="pickle")
    marker = tmp_path / "ran"
    command = f"touch '{marker}'".encode()
    program = b"cos\nsystem\n(X" + struct.pack("<I", len(command)) + command + b"tR."
    pickle.loads(program)
    assert marker.exists(), "the pickle does no harm, so this test would show nothing"
    marker.unlink()
    with zipfile.ZipFile(encoder / "pytorch_model.bin", "w") as archive:
        archive.writestr("pytorch_model/data.pkl", program)
    with pytest.raises(VedError, match=r"os\.system") as caught:
        assemble_pair(encoder, gpt2(tmp_path / "decoder"), tmp_path / "out", allow_pickle=True)
    assert caught.value.code == ErrorCode.NO_USABLE_WEIGHTS
    assert not marker.exists()


def test_index_that_names_a_pickle_is_refused(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder", layout="pickle")
    index = encoder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"embeddings.cls_token": "pytorch_model.bin"}}')
    with pytest.raises(VedError) as caught:
        source("encoder", encoder)
    assert caught.value.code == ErrorCode.DAMAGED_SOURCE


# Families


@pytest.mark.parametrize(
    ("role", "model_type"),
    [
        *(("encoder", name) for name in ("regnet", "resnet", "cvt")),
        *(("decoder", name) for name in ("llama", "big_bird", "gemma")),
    ],
)
def test_unsupported_family_is_refused_without_weights(
    role: Role, model_type: str, tmp_path: Path
) -> None:
    directory = config_only(tmp_path / "source", model_type)
    with pytest.raises(VedError) as caught:
        resolve_source(role, SourceRef(model=str(directory)), HfApi())
    assert caught.value.code == ErrorCode.UNSUPPORTED_FAMILY
    assert str(directory) in caught.value.cause
    assert repr(model_type) in caught.value.cause
    works = {"encoder": ENCODERS, "decoder": DECODERS}
    assert all(name in caught.value.remedy for name in works[role])


def test_config_without_a_model_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(VedError) as caught:
        resolve_source("decoder", SourceRef(model=str(tmp_path)), HfApi())
    assert caught.value.code == ErrorCode.CONFIG_NOT_USABLE
    assert str(tmp_path) in caught.value.cause


def test_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VedError, match="nowhere") as caught:
        resolve_source("encoder", SourceRef(model=str(tmp_path / "nowhere")), HfApi())
    assert caught.value.code == ErrorCode.NO_SUCH_DIRECTORY


# Content that must not be published


def assert_nothing_contains(directory: Path, text: str) -> None:
    assert [name for name, content in files_of(directory).items() if text.encode() in content] == []


def test_no_file_contains_the_path_of_the_checkpoint(pair: Pair) -> None:
    assert_nothing_contains(pair.directory, str(pair.directory.parent))


def test_no_file_contains_the_folder_of_a_relative_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vit(tmp_path / "encoder")
    gpt2(tmp_path / "decoder")
    monkeypatch.chdir(tmp_path)
    assemble_pair(Path("encoder"), Path("decoder"), tmp_path / "out")
    assert_nothing_contains(tmp_path / "out", str(tmp_path))


def test_config_holds_no_remote_code(tmp_path: Path) -> None:
    encoder, decoder = beit(tmp_path / "encoder"), bart(tmp_path / "decoder")
    for directory in (encoder, decoder):
        edit_json(directory / "config.json", auto_map={"AutoConfig": "code.Config"})
    assemble_pair(encoder, decoder, tmp_path / "out")
    assert "auto_map" not in (tmp_path / "out" / "config.json").read_text()


@pytest.mark.parametrize(
    ("family", "setting", "value"),
    [
        ("gpt2", "normalize_attention_scores", False),
        ("bert", "position_embedding_type", "relative_key"),
        ("roberta", "position_embedding_type", "relative_key_query"),
        ("bart", "quantization_config", {"quant_method": "bitsandbytes"}),
    ],
)
def test_settings_that_flax_ignores_are_refused(
    family: str, setting: str, value: object, tmp_path: Path
) -> None:
    decoder = checkpoints.DECODERS[family](tmp_path / family)
    edit_json(decoder / "config.json", **{setting: value})
    with pytest.raises(VedError) as caught:
        source("decoder", decoder)
    assert caught.value.code == ErrorCode.UNSUPPORTED_SETTINGS


def test_config_has_numbers_and_activations_of_flax(tmp_path: Path) -> None:
    encoder, decoder = vit(tmp_path / "encoder"), gpt2(tmp_path / "decoder")
    config = read_json(encoder / "config.json")
    edit_json(
        encoder / "config.json",
        image_size=[config["image_size"]] * 2,
        patch_size=[config["patch_size"]] * 2,
        hidden_act="gelu_python",
    )
    edit_json(decoder / "config.json", activation_function="gelu_fast", rotary_dim=8)
    assemble_pair(encoder, decoder, tmp_path / "out")
    published = read_json(tmp_path / "out" / "config.json")
    for name in ("image_size", "patch_size"):
        assert published["encoder"][name] == config[name]
    assert published["encoder"]["hidden_act"] == "gelu"
    assert published["decoder"]["activation_function"] == "gelu_new"
    assert "rotary_dim" not in published["decoder"]


@pytest.mark.parametrize(
    ("family", "setting"), [("vit", "num_attention_heads"), ("bart", "decoder_attention_heads")]
)
def test_assemble_refuses_width_that_is_no_multiple_of_heads(
    family: str, setting: str, tmp_path: Path
) -> None:
    directory = FAMILIES[family](tmp_path / "source")
    edit_json(directory / "config.json", **{setting: 5})
    with pytest.raises(VedError, match="multiple of the 5 attention heads") as caught:
        assemble_with_partner(family, directory, tmp_path / "out")
    assert caught.value.code == ErrorCode.CONFIG_NOT_USABLE


@pytest.mark.parametrize(
    ("family", "setting"),
    [("vit", "num_hidden_layers"), ("gpt2", "n_layer"), ("bart", "decoder_layers")],
)
def test_assemble_refuses_more_layers_than_tensors(
    family: str, setting: str, tmp_path: Path
) -> None:
    directory = FAMILIES[family](tmp_path / "source")
    edit_json(directory / "config.json", **{setting: LAYERS})
    with pytest.raises(VedError, match=f"{LAYERS} layers") as caught:
        assemble_with_partner(family, directory, tmp_path / "out")
    assert caught.value.code == ErrorCode.CONFIG_NOT_USABLE


def test_assemble_counts_layers_of_the_part_that_is_used(tmp_path: Path) -> None:
    decoder = bart(tmp_path / "decoder")
    # The encoder of BART is not used, however many layers its config has.
    edit_json(decoder / "config.json", encoder_layers=LAYERS, num_hidden_layers=LAYERS)
    checkpoint = assemble_pair(vit(tmp_path / "encoder"), decoder, tmp_path / "out")
    assert not checkpoint.warnings


def test_warnings_name_tensors_of_layers_that_the_config_lacks(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder")
    edit_json(encoder / "config.json", num_hidden_layers=1)
    checkpoint = assemble_pair(encoder, gpt2(tmp_path / "decoder"), tmp_path / "out")
    (warning,) = checkpoint.warnings
    assert "encoder.layer.*.attention.attention.key.bias" in warning
    assert warning.endswith("more.")


def test_number_too_large_for_float16_is_refused_with_its_parameter(tmp_path: Path) -> None:
    decoder = gpt2(tmp_path / "decoder")
    tensors = safetensors.numpy.load_file(decoder / "model.safetensors")
    tensors["wte.weight"][3, 3] = 1e6
    safetensors.numpy.save_file(tensors, decoder / "model.safetensors", metadata={"format": "pt"})
    encoder = vit(tmp_path / "encoder")
    with pytest.raises(VedError, match="decoder/transformer/wte/embedding") as caught:
        assemble_pair(encoder, decoder, tmp_path / "out", CheckpointSettings(dtype="float16"))
    assert caught.value.code == ErrorCode.NUMBER_TOO_LARGE
    assemble_pair(encoder, decoder, tmp_path / "again", CheckpointSettings(dtype="bfloat16"))


def test_pairs_with_the_same_model_draw_its_parameters_once(tmp_path: Path) -> None:
    def decoder(name: str, seed: int, **settings: object) -> Part:
        directory = gpt2(tmp_path / name, seed=seed)
        edit_json(directory / "config.json", _name_or_path=name, **settings)
        found = source("decoder", directory)
        return source_part(found, as_decoder(load_config(found)), seed=0)

    one = decoder("one", 1)
    assert decoder("other", 2, id2label={"0": "cat"}).initialization is one.initialization
    zero = decoder("zero", 1, initializer_range=0.0)
    minus = decoder("minus", 1, initializer_range=-0.0)  # equal in Python, but not in bits
    assert len({id(each.initialization) for each in (one, zero, minus)}) == 3
