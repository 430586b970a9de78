"""An assembled checkpoint is what transformers' script makes, and is refused where that fails."""

import functools
import hashlib
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from flax.serialization import to_bytes
from flax.traverse_util import flatten_dict, unflatten_dict
from huggingface_hub import HfApi
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    FlaxVisionEncoderDecoderModel,
)
from transformers.modeling_flax_pytorch_utils import load_pytorch_checkpoint_in_flax_state_dict

from tests import checkpoints
from tests.checkpoints import bart, beit, bert, config_only, gpt2, roberta, vit
from tests.support import reference
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
from tests.support.raising import raises
from ved.assembly.assemble import Checkpoint
from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.manifest.models import SourceRef
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

# Encoder, decoder, and the encoder's width; decoders are 32 wide.
PAIRS = [
    ("vit", "gpt2", 32),
    ("beit", "gpt2", 32),
    ("dinov2", "gpt2", 48),
    ("vit", "bert", 32),
    ("vit", "roberta", 32),
    ("vit", "xlm-roberta", 32),
    ("vit", "roberta-prelayernorm", 32),
    ("vit", "bart", 32),
]
BART_EMBEDDING = ("decoder", "model", "decoder", "embed_tokens", "embedding")


@dataclass(frozen=True)
class Pair:
    """A pair of sources, what VED makes of it, and what the script does."""

    encoder: Path
    decoder: Path
    checkpoint: Checkpoint
    script: Any

    @property
    def directory(self) -> Path:
        return self.checkpoint.directory

    def expected(self) -> Parameters:
        """Return the script's parameters, with BART's token embeddings, which it loses."""
        expected = reference.parameters(self.script)
        if BART_EMBEDDING in expected:
            stored = safetensors.numpy.load_file(self.decoder / "model.safetensors")
            expected[BART_EMBEDDING] = stored["model.shared.weight"]
        return expected


@pytest.fixture(
    scope="module", params=PAIRS, ids=[f"{one}{width}-{other}" for one, other, width in PAIRS]
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    encoder_family, decoder_family, width = request.param
    root = tmp_path_factory.mktemp("pair")
    encoder = FAMILIES[encoder_family](root / "encoder", seed=1, hidden_size=width)
    decoder = FAMILIES[decoder_family](root / "decoder", seed=2)
    checkpoint = assemble_pair(encoder, decoder, root / "checkpoint")
    return Pair(encoder, decoder, checkpoint, reference.create_model(encoder, decoder))


def fresh_paths(parameters: Parameters) -> set[tuple[str, ...]]:
    """Return the paths of what a warm start adds; BART has its own cross-attention."""
    pattern = re.compile("crossattention|ln_cross_attn|enc_to_dec_proj")
    return {path for path in parameters if pattern.search("/".join(path))}


# What the script makes


def test_parameters_are_the_scripts_bit_for_bit(pair: Pair) -> None:
    assert_same_parameters(parameters_in(pair.directory), pair.expected())


def test_script_loses_the_token_embeddings_of_bart_alone(pair: Pair) -> None:
    written, of_the_script = parameters_in(pair.directory), reference.parameters(pair.script)
    different = {path for path in written if not np.array_equal(written[path], of_the_script[path])}
    assert different == ({BART_EMBEDDING} if BART_EMBEDDING in written else set())


def test_flax_file_is_what_flax_writes_of_the_sorted_parameters(pair: Pair) -> None:
    expected = pair.expected()
    tree = unflatten_dict({path: expected[path] for path in sorted(expected)})
    assert (pair.directory / "flax_model.msgpack").read_bytes() == to_bytes(tree)


def test_safetensors_file_holds_the_same_parameters_in_pytorchs_layout(pair: Pair) -> None:
    # The script's model lends its shapes: transformers tells layouts apart by them.
    tree = load_pytorch_checkpoint_in_flax_state_dict(
        pair.script, str(pair.directory / "model.safetensors"), is_sharded=False
    )
    loaded = {path: np.asarray(value) for path, value in flatten_dict(tree).items()}
    assert_same_parameters(loaded, pair.expected())
    _, metadata = read_header(pair.directory / "model.safetensors")
    assert metadata == {"format": "pt"}


def test_safetensors_file_keeps_the_sources_order_and_bytes(pair: Pair) -> None:
    written, _ = read_header(pair.directory / "model.safetensors")
    expected = [
        read(match.weight.tensor).tobytes()
        for ledger in pair.checkpoint.ledgers
        for match in sorted(ledger.copied.values(), key=lambda match: match.weight.tensor.offset)  # type: ignore[attr-defined]
    ]
    assert [read(tensor).tobytes() for tensor in written.values()][: len(expected)] == expected


def test_config_is_the_scripts_but_for_what_the_script_leaves_open(
    pair: Pair, tmp_path: Path
) -> None:
    config = deepcopy(pair.script.config)
    config.architectures = ["VisionEncoderDecoderModel"]
    for part in (config, config.decoder):
        for role, token in vars(pair.checkpoint.token_ids).items():
            if getattr(part, f"{role}_token_id") is None:
                setattr(part, f"{role}_token_id", token.id)
    config.save_pretrained(tmp_path)
    expected, actual = (read_json(root / "config.json") for root in (tmp_path, pair.directory))
    for part in ("encoder", "decoder"):
        assert expected[part].pop("_name_or_path") == str(getattr(pair, part))
        actual[part].pop("_name_or_path", None)
    assert actual == expected


def test_token_ids_are_the_scripts_where_it_finds_any(pair: Pair) -> None:
    for role, token in vars(pair.checkpoint.token_ids).items():
        expected = getattr(pair.script.config, f"{role}_token_id")
        assert token.id == expected or expected is None, role


def test_checkpoint_loads_without_missing_or_unexpected_parameters_and_runs(pair: Pair) -> None:
    processor = AutoImageProcessor.from_pretrained(pair.directory, use_fast=False)
    tokenizer = AutoTokenizer.from_pretrained(pair.directory)
    model = FlaxVisionEncoderDecoderModel.from_pretrained(pair.directory)
    # Missing ones would be in the model alone, unexpected ones in the file alone.
    assert_same_parameters(reference.parameters(model), parameters_in(pair.directory))
    size = model.config.encoder.image_size
    image = Image.new("RGB", (size, size), "orange")
    pixels = processor(image, return_tensors="np").pixel_values
    ids = tokenizer(["a"], padding="max_length", max_length=6, return_tensors="np").input_ids
    assert ids[0, -1] == model.config.pad_token_id
    logits = np.asarray(jax.jit(lambda: model(pixels, ids).logits)())
    assert logits.shape == (1, 6, model.config.decoder.vocab_size)
    assert np.isfinite(logits).all()


def test_ledger_says_which_parameters_no_source_has(pair: Pair) -> None:
    fresh = {
        path if ledger.role == "projection" else (ledger.role, *path): reason
        for ledger in pair.checkpoint.ledgers
        for path, reason in ledger.initialized.items()
    }
    assert fresh == {
        path: "projection" if path[0] == "enc_to_dec_proj" else CROSS_ATTENTION
        for path in fresh_paths(pair.expected())
    }


def test_checkpoint_counts_parameters_and_names_digests(pair: Pair) -> None:
    numbers = sum(prod(array.shape) for array in parameters_in(pair.directory).values())
    assert pair.checkpoint.num_parameters == numbers
    assert pair.checkpoint.weights_sha256 == {
        name: hashlib.sha256((pair.directory / name).read_bytes()).hexdigest()
        for name in ("flax_model.msgpack", "model.safetensors")
    }


def test_another_seed_changes_what_is_drawn_and_nothing_else(pair: Pair, tmp_path: Path) -> None:
    assemble_pair(pair.encoder, pair.decoder, tmp_path / "other", CheckpointSettings(seed=1))
    one, other = files_of(pair.directory), files_of(tmp_path / "other")
    before, after = parameters_in(pair.directory), parameters_in(tmp_path / "other")
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    # Biases begin at zero and norms at one, whatever the seed.
    assert changed == {path for path in fresh_paths(before) if path[-1] == "kernel"}
    weights = {"flax_model.msgpack", "model.safetensors"} if changed else set()
    assert {name for name in one | other if one[name] != other[name]} == weights


# However a source stores its weights

MODERN_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Parameters]:
    """Return a function that assembles a family's default source with its partner, once."""

    @functools.cache
    def assembled(family: str) -> Parameters:
        root = tmp_path_factory.mktemp(family)
        return assemble_with_partner(family, FAMILIES[family](root / "source"), root / "made")

    return assembled


def assemble_with_partner(
    family: str, directory: Path, target: Path, *, allow_pickle: bool = False
) -> Parameters:
    """Assemble a source with a small one of the other role, and return the parameters."""
    partner = target.with_name(f"partner of {target.name}")
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
def test_parameters_do_not_depend_on_how_the_source_stores_them(
    family: str,
    options: dict[str, Any],
    plain: Callable[[str], Parameters],
    tmp_path: Path,
) -> None:
    directory = FAMILIES[family](tmp_path / "source", **options)
    pickled = options.get("layout") == "pickle"
    actual = assemble_with_partner(family, directory, tmp_path / "made", allow_pickle=pickled)
    assert_same_parameters(actual, plain(family))


def test_prefixed_vit_with_a_classifier_differs_in_the_pooler_alone(
    plain: Callable[[str], Parameters], tmp_path: Path
) -> None:
    expected = plain("vit")
    encoder = vit(tmp_path / "encoder", prefix=True)
    checkpoint = assemble_pair(encoder, gpt2(tmp_path / "decoder"), tmp_path / "made")
    actual = parameters_in(tmp_path / "made")
    poolers = {path for path in actual if "pooler" in path}
    assert len(poolers) == 2
    assert_same_parameters(
        {path: actual[path] for path in actual if path not in poolers},
        {path: expected[path] for path in expected if path not in poolers},
    )
    assert checkpoint.ledgers[0].unused == {
        "classifier.bias": "a head for another task",
        "classifier.weight": "a head for another task",
    }


def test_gpt_sw3_is_a_gpt2(plain: Callable[[str], Parameters], tmp_path: Path) -> None:
    directory = gpt2(tmp_path / "source")
    edit_json(directory / "config.json", model_type="gpt-sw3")
    assert_same_parameters(
        assemble_with_partner("gpt-sw3", directory, tmp_path / "made"), plain("gpt2")
    )


@pytest.mark.parametrize("family", ["gpt2", "bert", "bart"])
def test_a_head_of_its_own_is_not_taken_for_the_embeddings(family: str, tmp_path: Path) -> None:
    decoder = FAMILIES[family](
        tmp_path / "decoder", tied="both", prefix=True, config={"tie_word_embeddings": False}
    )
    path = decoder / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    head = "cls.predictions.decoder.weight" if family == "bert" else "lm_head.weight"
    tensors[head] = -2 * tensors[head]
    safetensors.numpy.save_file(tensors, path, {"format": "pt"})
    encoder = vit(tmp_path / "encoder")
    assemble_pair(encoder, decoder, tmp_path / "made")
    script = reference.create_model(encoder, decoder)
    assert_same_parameters(parameters_in(tmp_path / "made"), reference.parameters(script))


def test_parts_that_sources_may_lack_are_the_scripts_draw_and_in_the_ledger(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder", without=("pooler.",))
    decoder = bert(tmp_path / "decoder", without=("cls.",))
    checkpoint = assemble_pair(encoder, decoder, tmp_path / "made")
    script = reference.create_model(encoder, decoder)
    assert_same_parameters(parameters_in(tmp_path / "made"), reference.parameters(script))
    assert [groups_of(ledger) for ledger in checkpoint.ledgers] == [
        {"pooler": ABSENT},
        {"bert/encoder/layer/*/crossattention": CROSS_ATTENTION, "cls": ABSENT},
    ]


def test_decoder_that_lacks_its_head_is_a_model_without_one_in_flax_too(tmp_path: Path) -> None:
    decoder = roberta(tmp_path / "decoder", prefix=False)
    checkpoint = assemble_pair(vit(tmp_path / "encoder"), decoder, tmp_path / "made")
    assert groups_of(checkpoint.ledgers[1])["lm_head"] == ABSENT


# Dtypes and files


def assemble_in(
    directory: Path,
    encoder_dtype: Dtype,
    decoder_dtype: Dtype,
    settings: CheckpointSettings | None = None,
) -> Parameters:
    """Assemble sources of two widths that are stored in these dtypes."""
    encoder = vit(directory / "encoder", hidden_size=48, dtype=encoder_dtype)
    decoder = gpt2(directory / "decoder", dtype=decoder_dtype)
    assemble_pair(encoder, decoder, directory / "made", settings)
    return parameters_in(directory / "made")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Parameters:
    """Return the parameters that sources in float32 give."""
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
def test_sources_keep_their_dtype_and_fresh_parameters_take_the_decoders(
    encoder_dtype: Dtype, decoder_dtype: Dtype, single: Parameters, tmp_path: Path
) -> None:
    expected = {
        path: array.astype(DTYPES[encoder_dtype if path[0] == "encoder" else decoder_dtype])
        for path, array in single.items()
    }
    assert_same_parameters(assemble_in(tmp_path, encoder_dtype, decoder_dtype), expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_asked_for_dtype_is_that_of_every_parameter_and_config(
    dtype: Dtype, single: Parameters, tmp_path: Path
) -> None:
    actual = assemble_in(tmp_path, "float32", "float32", CheckpointSettings(dtype=dtype))
    expected = {path: array.astype(DTYPES[dtype]) for path, array in single.items()}
    assert_same_parameters(actual, expected)
    tensors, _ = read_header(tmp_path / "made" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {DTYPES[dtype]}
    config = AutoConfig.from_pretrained(tmp_path / "made")
    parts = [config, config.encoder, config.decoder]
    assert [str(part.dtype).removeprefix("torch.") for part in parts] == [dtype] * 3


def test_fresh_parameters_of_a_float16_source_are_not_rounded_where_float32_is_asked_for(
    single: Parameters, tmp_path: Path
) -> None:
    actual = assemble_in(tmp_path, "float16", "float16", CheckpointSettings(dtype="float32"))
    fresh = fresh_paths(actual)
    assert_same_parameters(
        {path: actual[path] for path in fresh}, {path: single[path] for path in fresh}
    )


@pytest.mark.parametrize(
    ("format", "name"), [("flax", "flax_model.msgpack"), ("safetensors", "model.safetensors")]
)
def test_one_weight_file_can_be_had_alone(
    format: Literal["flax", "safetensors"], name: str, tmp_path: Path
) -> None:
    pair = vit(tmp_path / "encoder"), gpt2(tmp_path / "decoder")
    both = files_of(assemble_pair(*pair, tmp_path / "both").directory)
    checkpoint = assemble_pair(*pair, tmp_path / "one", CheckpointSettings(weights=(format,)))
    weights = {"flax_model.msgpack", "model.safetensors"}
    kept = {file: content for file, content in both.items() if file not in weights - {name}}
    assert files_of(checkpoint.directory) == kept
    assert checkpoint.weights_sha256.keys() == {name}


def test_safetensors_alone_loads_in_flax(tmp_path: Path) -> None:
    encoder, decoder = vit(tmp_path / "encoder", hidden_size=48), roberta(tmp_path / "decoder")
    assemble_pair(encoder, decoder, tmp_path / "made")
    expected = parameters_in(tmp_path / "made")
    (tmp_path / "made" / "flax_model.msgpack").unlink()
    loaded = FlaxVisionEncoderDecoderModel.from_pretrained(tmp_path / "made")
    assert_same_parameters(reference.parameters(loaded), expected)


# The same bytes everywhere

ASSEMBLE = """
import sys
from pathlib import Path
from ved import environment
environment.prepare(progress_bars=False)
from tests.support.building import assemble_pair
assemble_pair(*map(Path, sys.argv[1:]))
"""


def test_another_process_with_another_hash_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder", hidden_size=48, without=("pooler.",))
    decoder = bert(tmp_path / "decoder", without=("cls.",))
    hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    subprocess.run(
        [sys.executable, "-c", ASSEMBLE, encoder, decoder, tmp_path / "other"],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assemble_pair(encoder, decoder, tmp_path / "this")
    assert files_of(tmp_path / "other") == files_of(tmp_path / "this")


# Configs from elsewhere


def test_config_of_other_image_size_names_tensor_shapes_and_places(tmp_path: Path) -> None:
    encoder, other = vit(tmp_path / "weights"), vit(tmp_path / "other", config={"image_size": 32})
    decoder = gpt2(tmp_path / "decoder")
    with pytest.raises(VedError) as caught:
        assemble_pair(encoder, decoder, tmp_path / "made", encoder_config=other)
    for part in (
        f"embeddings.position_embeddings in model.safetensors of {encoder} has shape (1, 5, 32)",
        f"the config of {other} gives encoder/embeddings/position_embeddings the shape (1, 17, 32)",
    ):
        assert part in caught.value.cause
    assert caught.value.remedy == "Use the config that belongs to the weights."


def test_tensor_of_the_wrong_shape_is_named_with_both_shapes_and_places(tmp_path: Path) -> None:
    decoder = gpt2(tmp_path / "decoder")
    path = decoder / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors["h.1.mlp.c_fc.weight"] = np.zeros((32, 96), np.float32)
    safetensors.numpy.save_file(tensors, path, {"format": "pt"})
    with pytest.raises(VedError) as caught:
        assemble_pair(vit(tmp_path / "encoder"), decoder, tmp_path / "made")
    for part in (
        f"h.1.mlp.c_fc.weight in model.safetensors of {decoder} has shape (96, 32)",
        f"{decoder} gives decoder/transformer/h/1/mlp/c_fc/kernel the shape (128, 32)",
    ):
        assert part in caught.value.cause
    assert "h.0." not in caught.value.cause


def test_configs_from_elsewhere_arrive_and_leave_the_parameters_alone(tmp_path: Path) -> None:
    encoder, decoder = vit(tmp_path / "encoder"), bert(tmp_path / "decoder")
    encoder_config = vit(tmp_path / "encoder config", seed=9, config={"layer_norm_eps": 0.25})
    decoder_config = bert(tmp_path / "decoder config", seed=9, config={"bos_token_id": 7})
    assemble_pair(encoder, decoder, tmp_path / "plain")
    checkpoint = assemble_pair(
        encoder,
        decoder,
        tmp_path / "made",
        encoder_config=encoder_config,
        decoder_config=decoder_config,
    )
    config = read_json(tmp_path / "made" / "config.json")
    assert config["encoder"]["layer_norm_eps"] == 0.25
    assert config["decoder"]["bos_token_id"] == 7
    assert config["decoder_start_token_id"] == checkpoint.token_ids.decoder_start.id == 7
    assert_same_parameters(parameters_in(tmp_path / "made"), parameters_in(tmp_path / "plain"))
    script = reference.create_model(encoder, decoder, encoder_config, decoder_config)
    assert script.config.encoder.layer_norm_eps == 0.25
    assert_same_parameters(parameters_in(tmp_path / "made"), reference.parameters(script))


@pytest.mark.parametrize("changes", [{"num_attention_heads": 3}, {"hidden_size": "wide"}], ids=str)
def test_config_that_makes_no_model_is_explained(changes: dict[str, Any], tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder")
    edit_json(encoder / "config.json", **changes)
    with pytest.raises(VedError) as caught:
        assemble_pair(encoder, gpt2(tmp_path / "decoder"), tmp_path / "made")
    assert str(encoder) in caught.value.cause


# Nothing random gets through


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
def test_layers_whose_names_match_nothing_are_an_error_with_the_nearest_names(
    family: str, rename: dict[str, str], missing: str, nearest: str, tmp_path: Path
) -> None:
    directory = FAMILIES[family](tmp_path / "source", rename=rename)
    with pytest.raises(VedError) as caught:
        assemble_with_partner(family, directory, tmp_path / "made")
    message, _, near = caught.value.cause.partition("Similar names in the source: ")
    assert str(directory) in message
    assert missing in message
    assert "would be random" in message
    assert nearest in near


def test_a_file_of_strange_names_is_an_error(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder")
    tensors = safetensors.numpy.load_file(encoder / "model.safetensors")
    strange = {f"tensor_{number}": tensor for number, tensor in enumerate(tensors.values())}
    safetensors.numpy.save_file(strange, encoder / "model.safetensors", {"format": "pt"})
    count = len([name for name in tensors if not name.startswith("pooler.")])
    with pytest.raises(VedError, match=f"lacks {count} tensors of the encoder"):
        assemble_pair(encoder, gpt2(tmp_path / "decoder"), tmp_path / "made")


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
def test_weights_of_one_family_under_the_config_of_another_are_an_error(
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
    with pytest.raises(VedError, match=r"lacks \d+ tensors|do not fit its config"):
        call(tmp_path / "made", settings)


# Pickles


def test_pickled_weights_are_refused_until_allowed(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder", layout="pickle")
    with pytest.raises(VedError) as caught:
        source("encoder", encoder)
    assert caught.value.code == ErrorCode.NO_USABLE_WEIGHTS
    assert "allow_pickle: true" in caught.value.remedy
    assert source("encoder", encoder, allow_pickle=True).weight_paths == [
        encoder / "pytorch_model.bin"
    ]


def test_allowed_pickle_that_asks_for_os_system_is_refused_and_does_not_run(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder", layout="pickle")
    marker = tmp_path / "ran"
    command = f"touch '{marker}'".encode()
    program = b"cos\nsystem\n(X" + struct.pack("<I", len(command)) + command + b"tR."
    pickle.loads(program)
    assert marker.exists(), "the pickle is harmless, and so the test"
    marker.unlink()
    with zipfile.ZipFile(encoder / "pytorch_model.bin", "w") as archive:
        archive.writestr("pytorch_model/data.pkl", program)
    with pytest.raises(VedError, match=r"asks to run os\.system"):
        assemble_pair(encoder, gpt2(tmp_path / "decoder"), tmp_path / "made", allow_pickle=True)
    assert not marker.exists()


def test_index_cannot_slip_a_pickle_past_the_refusal(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder", layout="pickle")
    index = encoder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"embeddings.cls_token": "pytorch_model.bin"}}')
    with pytest.raises(VedError):
        source("encoder", encoder)


# Families


@pytest.mark.parametrize(
    ("role", "model_type", "reason"),
    [
        ("encoder", "clip", "dual model of text and image"),
        ("encoder", "resnet", "a feature map, not a sequence"),
        ("encoder", "swin", "no Flax classes"),
        ("encoder", "gpt2", "reads text, not images"),
        ("decoder", "llama", "no cross-attention"),
        ("decoder", "electra", "token type ids"),
        ("decoder", "xglm", "its config lacks settings"),
        ("decoder", "vit", "reads images, not text"),
    ],
)
def test_family_that_cannot_work_is_refused_before_weights_are_looked_for(
    role: Role, model_type: str, reason: str, tmp_path: Path
) -> None:
    directory = config_only(tmp_path / "source", model_type)
    with pytest.raises(VedError, match=reason) as caught:
        resolve_source(role, SourceRef(model=str(directory)), HfApi())
    assert f"{directory} is a '{model_type}' checkpoint" in caught.value.cause
    works = {"encoder": "beit, dinov2, vit", "decoder": "bart, bert, gpt-sw3, gpt2, roberta"}
    assert works[role] in caught.value.remedy


def test_config_without_a_model_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(VedError, match="names no model_type") as caught:
        resolve_source("decoder", SourceRef(model=str(tmp_path)), HfApi())
    assert str(tmp_path) in caught.value.cause


def test_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VedError, match="nowhere"):
        resolve_source("encoder", SourceRef(model=str(tmp_path / "nowhere")), HfApi())


# What must not be published


def assert_nothing_contains(directory: Path, text: str) -> None:
    assert [name for name, content in files_of(directory).items() if text.encode() in content] == []


def test_no_file_names_a_directory_of_this_machine(pair: Pair) -> None:
    assert_nothing_contains(pair.directory, str(pair.directory.parent))


def test_no_file_names_the_directory_that_a_relative_source_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vit(tmp_path / "encoder")
    gpt2(tmp_path / "decoder")
    monkeypatch.chdir(tmp_path)
    assemble_pair(Path("encoder"), Path("decoder"), tmp_path / "made")
    assert_nothing_contains(tmp_path / "made", str(tmp_path))


def test_config_holds_no_remote_code(tmp_path: Path) -> None:
    encoder, decoder = beit(tmp_path / "encoder"), bart(tmp_path / "decoder")
    for directory in (encoder, decoder):
        edit_json(directory / "config.json", auto_map={"AutoConfig": "code.Config"})
    assemble_pair(encoder, decoder, tmp_path / "made")
    assert "auto_map" not in (tmp_path / "made" / "config.json").read_text()


@pytest.mark.parametrize(
    ("family", "setting", "value"),
    [
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("bert", "position_embedding_type", "relative_key"),
        ("roberta", "position_embedding_type", "relative_key_query"),
        ("bart", "quantization_config", {"quant_method": "bitsandbytes"}),
    ],
)
def test_settings_that_flax_would_ignore_are_refused(
    family: str, setting: str, value: object, tmp_path: Path
) -> None:
    decoder = checkpoints.DECODERS[family](tmp_path / family)
    edit_json(decoder / "config.json", **{setting: value})
    with raises(ErrorCode.UNSUPPORTED_SETTINGS):
        source("decoder", decoder)


def test_more_layers_than_tensors_are_refused_before_they_are_traced(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder")
    edit_json(encoder / "config.json", num_hidden_layers=10**6)
    with pytest.raises(VedError, match="1000000 layers"):
        assemble_pair(encoder, gpt2(tmp_path / "decoder"), tmp_path / "made")


def test_trained_layers_that_the_config_leaves_out_are_warned_of(tmp_path: Path) -> None:
    encoder = vit(tmp_path / "encoder")
    edit_json(encoder / "config.json", num_hidden_layers=1)
    checkpoint = assemble_pair(encoder, gpt2(tmp_path / "decoder"), tmp_path / "made")
    (warning,) = checkpoint.warnings
    assert warning.startswith("Tensors of the encoder are not used, because nothing in the model")
    assert "encoder.layer.*.attention.attention.key.bias" in warning
    assert warning.endswith("more.")


def test_generation_settings_that_contradict_one_another_are_an_error_before_weights_are_written(
    tmp_path: Path,
) -> None:
    decoder = gpt2(tmp_path / "decoder")
    edit_json(decoder / "config.json", temperature=0.3)
    with pytest.raises(VedError, match="generation settings"):
        assemble_pair(vit(tmp_path / "encoder"), decoder, tmp_path / "made")
    assert not list((tmp_path / "made").glob("*model*"))


def test_number_too_large_for_float16_is_an_error_that_names_it(tmp_path: Path) -> None:
    decoder = gpt2(tmp_path / "decoder")
    tensors = safetensors.numpy.load_file(decoder / "model.safetensors")
    tensors["wte.weight"][3, 3] = 1e6
    safetensors.numpy.save_file(tensors, decoder / "model.safetensors", metadata={"format": "pt"})
    encoder = vit(tmp_path / "encoder")
    with pytest.raises(VedError, match=r"decoder/transformer/wte/embedding is too large"):
        assemble_pair(encoder, decoder, tmp_path / "made", CheckpointSettings(dtype="float16"))
    assemble_pair(encoder, decoder, tmp_path / "again", CheckpointSettings(dtype="bfloat16"))
