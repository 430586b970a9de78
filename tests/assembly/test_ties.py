"""Tied tensors are compared: equal ones are one, and different ones are said to differ."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from tests import checkpoints
from tests.checkpoints import bart, bert, gpt2, vit
from tests.support.building import (
    assemble_pair,
    assert_same_parameters,
    edit_json,
    parameters_in,
    read_json,
)
from tests.support.heads import change_tensors, decoder_with_head
from ved.assembly.assemble import Checkpoint
from ved.families.table import DECODERS
from ved.tensors.names import DIFFERS, NOT_COMPARED, SAME

pytestmark = pytest.mark.hub

TWO_BIASES = [family for family in checkpoints.DECODERS if DECODERS[family].head_biases]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vit(tmp_path_factory.mktemp("encoder"))


def unused(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the reasons of tied tensors, by name, without the family's prefix."""
    ledger = checkpoint.ledgers[1]
    assert NOT_COMPARED not in ledger.unused.values()
    found = {name: why for name, why in ledger.unused.items() if why in (SAME, DIFFERS)}
    return {name.removeprefix("model."): why for name, why in found.items()}


def second_bias(family: str) -> dict[str, str]:
    """Return the reason of the second bias of a tied head, which equals the first one."""
    return dict.fromkeys((DECODERS[family].head_biases or ())[1:], SAME)


@pytest.mark.parametrize("family", checkpoints.DECODERS)
def test_equal_names_of_a_tied_tensor_are_the_same_tensor(
    family: str, encoder: Path, tmp_path: Path
) -> None:
    decoder = checkpoints.DECODERS[family](tmp_path / "decoder", tied="both", prefix=True)

    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")

    shared = {"shared.weight": SAME} if family in ("bart", "mbart", "pegasus") else {}
    expected = {DECODERS[family].head: SAME, **second_bias(family), **shared}
    assert unused(checkpoint) == expected
    assert checkpoint.tie_warnings == ()


@pytest.mark.parametrize("family", checkpoints.DECODERS)
def test_different_head_of_a_tied_config_is_dropped_and_said(
    family: str, encoder: Path, tmp_path: Path
) -> None:
    decoder = decoder_with_head(family, tmp_path / "decoder", tie_word_embeddings=True)
    same = checkpoints.DECODERS[family](tmp_path / "same", tied="embedding", prefix=True)

    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")

    head = DECODERS[family].head
    assert unused(checkpoint)[head] == DIFFERS
    assert [head in warning for warning in checkpoint.tie_warnings] == [True]
    assert checkpoint.tie_warnings[0] in checkpoint.warnings
    # The config decides: the checkpoint computes what transformers 4.57 computes with the source.
    assemble_pair(encoder, same, tmp_path / "expected")
    assert_same_parameters(parameters_in(tmp_path / "out"), parameters_in(tmp_path / "expected"))


@pytest.mark.parametrize("family", checkpoints.DECODERS)
def test_head_of_an_untied_config_is_published_under_its_own_name(
    family: str, encoder: Path, tmp_path: Path
) -> None:
    decoder = decoder_with_head(family, tmp_path / "decoder", tie_word_embeddings=False)
    source = safetensors.numpy.load_file(decoder / "model.safetensors")

    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")

    facts = DECODERS[family]
    written = safetensors.numpy.load_file(tmp_path / "out" / "model.safetensors")
    for name in (facts.head, *(facts.head_biases or ())):
        np.testing.assert_array_equal(written[f"decoder.{name}"], source[name])
    path = ("decoder", *facts.head.split(".")[:-1], "kernel")
    np.testing.assert_array_equal(parameters_in(tmp_path / "out")[path].T, source[facts.head])
    assert read_json(tmp_path / "out" / "config.json")["decoder"]["tie_word_embeddings"] is False
    assert facts.head not in unused(checkpoint)
    assert checkpoint.tie_warnings == ()


def test_ties_are_compared_to_the_last_number(encoder: Path, tmp_path: Path) -> None:
    def with_other_end(weight: Any) -> Any:
        changed = weight.copy()
        changed[-1, -1] = np.nextafter(changed[-1, -1], np.float32(1))
        return changed

    decoder = gpt2(tmp_path / "decoder", tied="both")
    change_tensors(decoder, {"lm_head.weight": with_other_end})

    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")

    assert unused(checkpoint) == {"lm_head.weight": DIFFERS}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda weight: weight.astype(np.float64), SAME),
        (lambda weight: weight.astype(np.float16), DIFFERS),
        (lambda weight: weight[:-1], DIFFERS),
        (lambda weight: weight.T, DIFFERS),
    ],
    ids=["wider", "rounded", "shorter", "transposed"],
)
def test_ties_of_other_dtypes_and_shapes_are_compared_by_their_numbers(
    change: Any, reason: str, encoder: Path, tmp_path: Path
) -> None:
    decoder = gpt2(tmp_path / "decoder", tied="both")
    change_tensors(decoder, {"lm_head.weight": change})

    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")

    assert unused(checkpoint) == {"lm_head.weight": reason}


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("layout", ["flax", "pickle"])
def test_ties_are_compared_in_every_format(
    layout: Any, tie: bool, encoder: Path, tmp_path: Path
) -> None:
    # The Flax class has a head of its own only if the config does not tie it.
    config = {"tie_word_embeddings": False}
    decoder = gpt2(tmp_path / "decoder", tied="both", layout=layout, config=config)
    edit_json(decoder / "config.json", tie_word_embeddings=tie)

    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out", allow_pickle=True)

    head = "lm_head.kernel" if layout == "flax" else "lm_head.weight"
    assert unused(checkpoint) == ({head: SAME} if tie else {})


@pytest.mark.parametrize("family", TWO_BIASES)
@pytest.mark.parametrize("tie", [True, False])
def test_different_biases_of_a_head_are_said(
    family: str, tie: bool, encoder: Path, tmp_path: Path
) -> None:
    config = {"tie_word_embeddings": tie}
    decoder = checkpoints.DECODERS[family](tmp_path / "decoder", tied="both", config=config)
    first, second = DECODERS[family].head_biases or ("", "")
    change_tensors(decoder, {second: lambda bias: bias + np.float32(1)})

    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")

    # transformers 5 computes with the second bias if the head is not tied.
    kept, dropped = (first, second) if tie else (second, first)
    source = safetensors.numpy.load_file(decoder / "model.safetensors")
    path = ("decoder", *first.split("."))
    np.testing.assert_array_equal(parameters_in(tmp_path / "out")[path], source[kept])
    assert unused(checkpoint)[dropped] == DIFFERS
    assert [dropped in warning for warning in checkpoint.tie_warnings] == [True]


def test_different_shared_embeddings_of_bart_are_said(encoder: Path, tmp_path: Path) -> None:
    decoder = bart(tmp_path / "decoder", tied="both")
    change_tensors(decoder, {"model.shared.weight": lambda weight: -weight})

    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")

    assert unused(checkpoint) == {"lm_head.weight": SAME, "shared.weight": DIFFERS}
    assert len(checkpoint.tie_warnings) == 1


@pytest.mark.parametrize(("write", "tied"), [(gpt2, "embedding"), (bert, "head")])
def test_one_tensor_for_an_untied_head_and_embeddings_is_said(
    write: Any, tied: Any, encoder: Path, tmp_path: Path
) -> None:
    decoder = write(
        tmp_path / "decoder", tied=tied, prefix=True, config={"tie_word_embeddings": False}
    )

    checkpoint = assemble_pair(encoder, decoder, tmp_path / "out")

    assert len(checkpoint.tie_warnings) == 1
    kinds = {path[-1]: array for path, array in parameters_in(tmp_path / "out").items()}
    assert kinds["kernel"].dtype == np.float32
