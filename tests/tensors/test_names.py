"""A source's tensors are found by Flax path, under whatever name real checkpoints give them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ved.errors import VedError
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
    """Return the name of the tensor that is the parameter at a path written with slashes."""
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
def test_last_part_of_a_path_is_pytorchs(path: str, name: str) -> None:
    assert pytorch_name(tuple(path.split("/"))) == name


@pytest.mark.parametrize(
    ("family", "path", "name"),
    [
        ("gpt2", "transformer/wte/embedding", "wte.weight"),
        ("gpt2", "transformer/wte/embedding", "transformer.wte.weight"),
        ("gpt2", "transformer/wte/embedding", "lm_head.weight"),
        ("gpt2", "lm_head/kernel", "lm_head.weight"),
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
def test_tensor_is_found_under_each_of_its_names(family: str, path: str, name: str) -> None:
    known = (ENCODERS | DECODERS)[family]  # type: ignore[operator]
    assert found(names(known, weight(name), weight("other")), path) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("transformer/h/0/attn/bias", "h.0.attn.c_attn.bias"),
        ("transformer/h/1/ln_1/scale", "h.11.ln_1.weight"),
        ("transformer/wte/embedding", "wpe.weight"),
        ("transformer/wte/embedding", "roberta.wte.weight"),
        ("lm_head/kernel", "transformer.wte.weight"),
    ],
)
def test_tensor_of_another_name_is_not_found(path: str, name: str) -> None:
    assert found(names(DECODERS["gpt2"], weight(name)), path) is None


def test_its_own_name_goes_before_that_of_a_tied_tensor() -> None:
    both = weight("lm_head.weight"), weight("wte.weight")
    assert found(names(DECODERS["gpt2"], *both), "transformer/wte/embedding") == "wte.weight"


def test_same_tensor_with_and_without_prefix_is_refused() -> None:
    with pytest.raises(VedError) as caught:
        names(DECODERS["gpt2"], weight("wte.weight"), weight("transformer.wte.weight"))
    for part in ("org/source", "'transformer.wte.weight'", "'wte.weight'", "twice"):
        assert part in caught.value.cause


def test_unused_tensors_and_matches_come_in_the_sources_order() -> None:
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
        # Tied tensors under each other's name.
        ("lm_head.weight", MATRIX, "pytorch", "wte/embedding", MATRIX, MATRIX),
        ("lm_head.kernel", MATRIX, "flax", "wte/embedding", MATRIX.T, MATRIX.T),
    ],
)
def test_kernels_alone_are_turned_into_the_layout_asked_for(
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
def test_turning_to_and_fro_changes_nothing(array: NDArray[Any]) -> None:
    tensor = weight("a", array).tensor
    there = transpose_kernel(tensor, "flax")
    np.testing.assert_array_equal(read(transpose_kernel(there, "pytorch")), array)
    assert there.shape == {1: (3,), 2: (3, 2), 4: (5, 7, 3, 2)}[array.ndim]
