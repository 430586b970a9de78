"""Every parameter is copied, initialized for a known reason, or an error."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path as FilePath

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from tests import checkpoints
from tests.support.building import groups_of, model_shapes, read_json
from ved.assembly.ledger import Ledger, match_parameters
from ved.errors import ErrorCode, VedError
from ved.families import lookup
from ved.families.config_classes import BERT
from ved.families.family import Family, Role
from ved.families.table import DECODERS
from ved.tensors.files import StoredWeight, open_weights
from ved.tensors.names import UNKNOWN, ParameterPath, pytorch_name
from ved.tensors.tensor import LazyTensor

pytestmark = pytest.mark.hub

FAMILIES: dict[str, Callable[..., FilePath]] = {**checkpoints.ENCODERS, **checkpoints.DECODERS}

# The tensors that a source may lack, as patterns of names, and the reasons in the ledger.
MAY_LACK = {
    "vit": {r"pooler\.dense\.(weight|bias)": "absent from the source"},
    "beit": {r"beit\.pooler\.layernorm\.(weight|bias)": "absent from the source"},
    "dinov2": {r"embeddings\.mask_token": "absent from the source"},
    "deit": {r"pooler\.dense\.(weight|bias)": "absent from the source"},
    "dinov2_with_registers": {r"embeddings\.mask_token": "absent from the source"},
    "dinov3_vit": {r"embeddings\.mask_token": "absent from the source"},
    "siglip_vision_model": {r"vision_model\.head\..*": "absent from the source"},
    "bert": {r"cls\.predictions\..*": "absent from the source"},
    "roberta": {r"lm_head\..*": "absent from the source"},
    "xlm-roberta": {r"lm_head\..*": "absent from the source"},
    "roberta-prelayernorm": {r"lm_head\..*": "absent from the source"},
    "electra": {r"generator_(predictions|lm_head)\..*": "absent from the source"},
    "bert-generation": {r"lm_head\..*": "absent from the source"},
}


def role_of(family: str) -> Role:
    return "encoder" if family in checkpoints.ENCODERS else "decoder"


def shapes_of(family: str, directory: FilePath) -> dict[ParameterPath, tuple[int, ...]]:
    tree = model_shapes(role_of(family), read_json(directory / "config.json"))
    return {path: shape.shape for path, shape in flatten_dict(tree).items()}


class Source:
    """A family's default checkpoint, with its tensors and its parameters' shapes."""

    def __init__(self, family: str, directory: FilePath) -> None:
        self.role = role_of(family)
        self.family = lookup.find_family(self.role, family, "a source")
        FAMILIES[family](directory)
        self.weights = open_weights([directory / "model.safetensors"])
        self.shapes = shapes_of(family, directory)

    def match(self, weights: Iterable[StoredWeight] | None = None) -> Ledger:
        if weights is None:
            weights = self.weights
        return match_parameters(
            self.role, self.shapes, weights, self.family, "org/weights", "org/config"
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_match_requires_every_tensor_that_a_source_must_have(
    family: str, tmp_path: FilePath
) -> None:
    source = Source(family, tmp_path)
    whole = source.match()
    for missing in source.weights:
        rest = [weight for weight in source.weights if weight is not missing]
        reasons = {
            reason
            for pattern, reason in MAY_LACK.get(family, {}).items()
            if re.fullmatch(pattern, missing.name)
        }
        if missing.name in whole.unused:
            assert source.match(rest).copied == whole.copied
        elif reasons:
            (path,) = whole.copied.keys() - source.match(rest).copied.keys()
            assert {source.match(rest).initialized[path]} == reasons
        else:
            with pytest.raises(VedError) as caught:
                source.match(rest)
            assert caught.value.code == ErrorCode.WEIGHTS_DO_NOT_FIT


@pytest.mark.parametrize("family", FAMILIES)
def test_match_accounts_for_every_parameter_and_tensor_once(
    family: str, tmp_path: FilePath
) -> None:
    source = Source(family, tmp_path)
    ledger = source.match()
    assert not ledger.copied.keys() & ledger.initialized.keys()
    assert ledger.copied.keys() | ledger.initialized.keys() == source.shapes.keys()
    used = {hit.weight.name for hit in ledger.copied.values()}
    names = [weight.name for weight in source.weights]
    assert list(ledger.unused) == [name for name in names if name not in used]


def test_error_counts_all_missing_tensors_and_lists_a_few(tmp_path: FilePath) -> None:
    source = Source("gpt2", tmp_path)
    with pytest.raises(VedError) as caught:
        source.match([])
    expected = sorted(pytorch_name(path) for path in source.shapes if "cross" not in "/".join(path))
    assert caught.value.code == ErrorCode.WEIGHTS_DO_NOT_FIT
    assert f"org/weights lacks {len(expected)} tensors" in caught.value.cause
    assert f"{', '.join(expected[:8])} and {len(expected) - 8} more" in caught.value.cause
    assert "Similar" not in caught.value.cause


def test_error_of_a_missing_tensor_names_similar_tensors(tmp_path: FilePath) -> None:
    source = Source("gpt2", tmp_path)
    renamed = [
        StoredWeight("final_ln_f.weight", weight.file, weight.layout, weight.tensor)
        if weight.name == "ln_f.weight"
        else weight
        for weight in source.weights
    ]
    with pytest.raises(VedError) as caught:
        source.match(renamed)
    assert "Similar names in the source: final_ln_f.weight." in caught.value.cause


def test_error_of_many_missing_tensors_compares_a_few_names(tmp_path: FilePath) -> None:
    source = Source("gpt2", tmp_path)
    shape = next(iter(source.shapes.values()))
    source.shapes |= {("h", f"{n}", "attn", "c_attn", "scale"): shape for n in range(100, 400)}
    first, *_ = source.weights
    others = [replace(first, name=f"h.attn.c_attn.{n}.weight") for n in range(3000)]
    start = time.process_time()
    with pytest.raises(VedError) as caught:
        source.match(others)
    assert time.process_time() - start < 10  # with all names, minutes
    assert "h.attn.c_attn." in caught.value.cause.partition("Similar")[2]


def test_error_names_every_tensor_of_a_wrong_shape(tmp_path: FilePath) -> None:
    source = Source("vit", tmp_path)
    del source.shapes["layernorm", "scale"]
    source.shapes["layernorm", "bias"] = (7,)
    source.shapes["embeddings", "patch_embeddings", "projection", "kernel"] = (4, 4, 3, 32)
    with pytest.raises(VedError) as caught:
        source.match()
    assert caught.value.code == ErrorCode.WEIGHTS_DO_NOT_FIT
    for wrong in (
        "layernorm.bias in model.safetensors of org/weights has shape (32,), but the config of "
        "org/config gives encoder/layernorm/bias the shape (7,)",
        "embeddings.patch_embeddings.projection.weight in model.safetensors of org/weights has "
        "shape (8, 8, 3, 32), but the config of org/config gives "
        "encoder/embeddings/patch_embeddings/projection/kernel the shape (4, 4, 3, 32)",
    ):
        assert wrong in caught.value.cause
    assert "layernorm.weight" not in caught.value.cause


def test_tensor_with_and_without_prefix_is_refused(tmp_path: FilePath) -> None:
    source = Source("gpt2", tmp_path)
    twice = next(weight for weight in source.weights if weight.name == "ln_f.bias")
    again = StoredWeight("transformer.ln_f.bias", "other.safetensors", "pytorch", twice.tensor)
    with pytest.raises(VedError) as caught:
        source.match([*source.weights, again])
    assert caught.value.code == ErrorCode.DAMAGED_SOURCE
    assert "'transformer.ln_f.bias'" in caught.value.cause


VALUE = LazyTensor((1,), np.dtype(np.float32), lambda: np.zeros(1, np.float32))
ANY_FAMILY = Family(
    prefix="model", config_class=BERT, optional=("pooler.",), cross_attention=(".cross.",)
)


def ledger_of(present: Iterable[str], absent: Iterable[str]) -> Ledger:
    """Match parameters with a source that has the present ones; slashes join the keys of paths."""
    weights = [StoredWeight(path.replace("/", "."), "file", "flax", VALUE) for path in present]
    shapes = {tuple(path.split("/")): (1,) for path in (*present, *absent)}
    return match_parameters("decoder", shapes, weights, ANY_FAMILY, "org/weights", "org/config")


@pytest.mark.parametrize(
    ("present", "absent", "groups"),
    [
        (["h/0/attn/bias"], [], {}),
        (
            ["h/0/attn/bias", "h/1/attn/bias"],
            ["h/0/cross/q/bias", "h/0/cross/k/bias", "h/1/cross/q/bias"],
            {"h/*/cross": "cross-attention"},
        ),
        (["norm/bias"], ["pooler/dense/bias"], {"pooler": "absent from the source"}),
        (
            ["pooler/dense/kernel"],
            ["pooler/dense/bias"],
            {"pooler/dense/bias": "absent from the source"},
        ),
        (
            ["h/0/bias"],
            ["h/0/cross/q/bias", "pooler/bias"],
            {"h/*/cross": "cross-attention", "pooler": "absent from the source"},
        ),
    ],
)
def test_initialized_groups_are_the_shortest_starts_without_copied_parameters(
    present: list[str], absent: list[str], groups: dict[str, str]
) -> None:
    assert groups_of(ledger_of(present, absent)) == groups


def test_cross_attention_of_some_layers_only_is_refused() -> None:
    with pytest.raises(VedError, match=r"h\.1\.cross\.q\.bias") as caught:
        ledger_of(["h/0/cross/q/bias"], ["h/1/cross/q/bias"])
    assert caught.value.code == ErrorCode.WEIGHTS_DO_NOT_FIT


def test_initialized_groups_of_one_layer_is_the_whole_path() -> None:
    ledger = ledger_of(["pooler/0/bias"], ["pooler/1/bias"])
    assert groups_of(ledger) == {"pooler/1/bias": "absent from the source"}


def test_unused_tensors_have_the_reason_of_the_family_or_unknown() -> None:
    weights = [
        StoredWeight(name, "file", "pytorch", VALUE)
        for name in ("h.0.attn.bias", "h.0.attn.c_attn.bias", "score.weight")
    ]
    ledger = match_parameters("decoder", {}, weights, DECODERS["gpt2"], "org/weights", "org/config")
    known = DECODERS["gpt2"].unused
    assert ledger.unused == {
        "h.0.attn.bias": known[".attn.bias"],
        "h.0.attn.c_attn.bias": UNKNOWN,
        "score.weight": known[".score."],
    }


def test_quantized_weights_are_refused() -> None:
    eight_bits = LazyTensor((1,), np.dtype(np.int8), lambda: np.zeros(1, np.int8))
    weights = [StoredWeight("norm.bias", "file", "pytorch", eight_bits)]
    with pytest.raises(VedError, match=r"norm\.bias in file is int8") as caught:
        match_parameters("decoder", {("norm", "bias"): (1,)}, weights, ANY_FAMILY, "org/x", "org/x")
    assert caught.value.code == ErrorCode.UNSUPPORTED_SETTINGS
