"""Source tensors are found by Flax path, under every name that real checkpoints use."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ved.errors import ErrorCode, VedError
from ved.families.family import Family
from ved.families.table import DECODERS, ENCODERS
from ved.tensors.files import Layout, StoredWeight
from ved.tensors.names import SourceNames, pytorch_name, transpose_kernel
from ved.tensors.tensor import LazyTensor, read

MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3)
IMAGE = np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7)


def weight(name: str, array: NDArray[Any] = MATRIX, layout: Layout = "pytorch") -> StoredWeight:
    return StoredWeight(name, "file", layout, LazyTensor(array.shape, array.dtype, lambda: array))


def names(family: Family, *weights: StoredWeight) -> SourceNames:
    return SourceNames(weights, family, "org/source")


def found(source: SourceNames, path: str) -> str | None:
    """Return the name of the tensor that is found at a path; slashes join its keys."""
    match = source.find(tuple(path.split("/")))
    return None if match is None else match.weight.name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("h/0/attn/c_attn/kernel", "h.0.attn.c_attn.weight"),
        ("ln_f/scale", "ln_f.weight"),
        ("wte/embedding", "wte.weight"),
        ("ln_f/bias", "ln_f.bias"),
        ("embeddings/cls_token", "embeddings.cls_token"),
        ("kernel/scale/bias", "kernel.scale.bias"),
    ],
)
def test_pytorch_name_translates_the_last_key(path: str, name: str) -> None:
    assert pytorch_name(tuple(path.split("/"))) == name


@pytest.mark.parametrize(
    ("family", "path", "name"),
    [
        ("gpt2", "transformer/wte/embedding", "wte.weight"),
        ("gpt2", "transformer/wte/embedding", "transformer.wte.weight"),
        ("gpt2", "transformer/wte/embedding", "lm_head.weight"),
        ("gpt2", "lm_head/kernel", "lm_head.weight"),
        ("gpt2", "lm_head/kernel", "transformer.wte.weight"),
        ("vit", "layernorm/scale", "layernorm.weight"),
        ("vit", "layernorm/scale", "vit.layernorm.weight"),
        ("bert", "bert/embeddings/LayerNorm/scale", "bert.embeddings.LayerNorm.gamma"),
        ("bert", "bert/embeddings/LayerNorm/bias", "embeddings.LayerNorm.beta"),
        ("bert", "cls/predictions/bias", "cls.predictions.decoder.bias"),
        (
            "bert",
            "bert/embeddings/word_embeddings/embedding",
            "cls.predictions.decoder.weight",
        ),
        ("roberta", "roberta/embeddings/word_embeddings/embedding", "lm_head.decoder.weight"),
        ("roberta", "lm_head/bias", "lm_head.decoder.bias"),
        ("bart", "model/decoder/embed_tokens/embedding", "model.shared.weight"),
        ("bart", "model/decoder/embed_tokens/embedding", "shared.weight"),
        ("bart", "model/decoder/embed_tokens/embedding", "lm_head.weight"),
    ],
)
def test_find_returns_a_tensor_under_each_of_its_names(family: str, path: str, name: str) -> None:
    known = (ENCODERS | DECODERS)[family]  # type: ignore[operator]
    assert found(names(known, weight(name), weight("other")), path) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("transformer/h/0/attn/bias", "h.0.attn.c_attn.bias"),
        ("transformer/h/1/ln_1/scale", "h.11.ln_1.weight"),
        ("transformer/wte/embedding", "wpe.weight"),
        ("transformer/wte/embedding", "roberta.wte.weight"),
        ("lm_head/kernel", "transformer.wpe.weight"),
    ],
)
def test_find_returns_none_for_other_names(path: str, name: str) -> None:
    assert found(names(DECODERS["gpt2"], weight(name)), path) is None


def test_find_prefers_the_own_name_to_that_of_a_tied_tensor() -> None:
    both = weight("lm_head.weight"), weight("wte.weight")
    assert found(names(DECODERS["gpt2"], *both), "transformer/wte/embedding") == "wte.weight"


def test_source_names_refuses_a_tensor_with_and_without_prefix() -> None:
    with pytest.raises(VedError) as caught:
        names(DECODERS["gpt2"], weight("wte.weight"), weight("transformer.wte.weight"))
    assert caught.value.code == ErrorCode.DAMAGED_SOURCE
    for part in ("org/source", "'transformer.wte.weight'", "'wte.weight'"):
        assert part in caught.value.cause


def test_unused_and_in_source_order_keep_the_order_of_the_source() -> None:
    source = names(
        DECODERS["gpt2"], *map(weight, ("b", "wte.weight", "a", "ln_f.weight", "ln_f.bias"))
    )
    paths = [("transformer", "ln_f", "scale"), ("transformer", "wte", "embedding"), ("absent",)]
    matches = source.in_source_order(map(source.find, paths))
    assert [match.weight.name for match in matches] == ["wte.weight", "ln_f.weight"]
    assert list(source.unused(matches)) == ["b", "a", "ln_f.bias"]


@pytest.mark.parametrize(
    ("name", "array", "layout", "path", "in_flax", "in_pytorch"),
    [
        ("d.weight", MATRIX, "pytorch", "d/kernel", MATRIX.T, MATRIX),
        ("d.kernel", MATRIX, "flax", "d/kernel", MATRIX, MATRIX.T),
        ("d.weight", MATRIX, "pytorch", "d/embedding", MATRIX, MATRIX),
        ("d.embedding", MATRIX, "flax", "d/embedding", MATRIX, MATRIX),
        ("d.weight", IMAGE, "pytorch", "d/kernel", IMAGE.transpose(2, 3, 1, 0), IMAGE),
        ("d.kernel", IMAGE, "flax", "d/kernel", IMAGE, IMAGE.transpose(3, 2, 0, 1)),
        ("d.weight", MATRIX[0], "pytorch", "d/scale", MATRIX[0], MATRIX[0]),
        ("d.bias", MATRIX[0], "flax", "d/bias", MATRIX[0], MATRIX[0]),
        # A tied tensor under its other name.
        ("lm_head.weight", MATRIX, "pytorch", "wte/embedding", MATRIX, MATRIX),
        ("lm_head.kernel", MATRIX, "flax", "wte/embedding", MATRIX.T, MATRIX.T),
    ],
)
def test_in_layout_transposes_kernels_only(
    name: str,
    array: NDArray[Any],
    layout: Layout,
    path: str,
    in_flax: NDArray[Any],
    in_pytorch: NDArray[Any],
) -> None:
    match = names(DECODERS["gpt2"], weight(name, array, layout)).find(tuple(path.split("/")))
    assert match is not None
    np.testing.assert_array_equal(read(match.in_layout("flax")), in_flax)
    np.testing.assert_array_equal(read(match.in_layout("pytorch")), in_pytorch)


@pytest.mark.parametrize("array", [MATRIX, IMAGE, MATRIX[0]])
def test_transpose_kernel_twice_gives_the_original(array: NDArray[Any]) -> None:
    tensor = weight("a", array).tensor
    there = transpose_kernel(tensor, "flax")
    np.testing.assert_array_equal(read(transpose_kernel(there, "pytorch")), array)
    assert there.shape == {1: (3,), 2: (3, 2), 4: (5, 7, 3, 2)}[array.ndim]
