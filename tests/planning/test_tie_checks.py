"""A plan compares samples of tied tensors, and a build compares every number."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import checkpoints
from tests.checkpoints import bert, gpt2
from tests.support.heads import change_tensors, decoder_with_head
from tests.support.publishing import (
    build_pair,
    client,
    download,
    header_size,
    manifest,
    pair,
    publish,
    sent,
)
from ved.commands import RunOptions, plan
from ved.errors import ErrorCode, VedError
from ved.families.table import DECODERS
from ved.localhub import LocalHub
from ved.planning.findings import Finding
from ved.record.build_record import parse_record
from ved.sources import resolve_source
from ved.sources.samples import SAMPLE_BYTES, Place, have_same_samples
from ved.tensors.names import DIFFERS

WIDTH = 256  # the embeddings are then longer than all samples of them


def ties(findings: tuple[Finding, ...]) -> list[Finding]:
    return [found for found in findings if found.code == ErrorCode.TIED_TENSORS]


def planned(hub: LocalHub, **keys: Any) -> list[Finding]:
    """Return what a plan finds about tied tensors."""
    entry = pair("owner/tied", **keys)
    report = plan(manifest(entry), RunOptions(), client(hub))
    assert [result.action for result in report.results] == ["build"]
    return ties(report.results[0].findings)


@pytest.mark.parametrize("family", ["gpt2", "bert", "roberta", "bart"])
def test_plan_warns_of_a_tied_head_that_differs(family: str, hub: LocalHub, tmp_path: Path) -> None:
    decoder = decoder_with_head(family, tmp_path / "decoder", tie_word_embeddings=True)

    (found,) = planned(hub, decoder=str(decoder))

    assert (found.level, found.key) == ("warning", "decoder")
    assert DECODERS[family].head in found.message


@pytest.mark.parametrize("family", ["gpt2", "bert", "roberta", "bart"])
@pytest.mark.parametrize("tie", [True, False])
def test_plan_is_silent_about_equal_and_untied_tensors(
    family: str, tie: bool, hub: LocalHub, tmp_path: Path
) -> None:
    if tie:
        decoder = checkpoints.DECODERS[family](tmp_path / "decoder", tied="both", prefix=True)
    else:
        decoder = decoder_with_head(family, tmp_path / "decoder", tie_word_embeddings=False)

    assert planned(hub, decoder=str(decoder)) == []


def with_one_row_more(weight: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate((weight, weight[:1]))


@pytest.mark.parametrize(
    ("write", "tie", "change"),
    [(gpt2, True, with_one_row_more), (gpt2, False, None), (bert, False, None)],
    ids=["shapes", "gpt2-without-head", "bert-without-head"],
)
def test_plan_warns_of_what_headers_show_of_tied_tensors(
    write: Callable[..., Path], tie: bool, change: Any, hub: LocalHub, tmp_path: Path
) -> None:
    config = {"tie_word_embeddings": tie}
    decoder = write(tmp_path / "decoder", tied="both", prefix=True, config=config)
    change_tensors(decoder, {DECODERS[write.__name__].head: change})

    (found,) = planned(hub, decoder=str(decoder))

    assert (found.level, found.key) == ("warning", "decoder")


def test_plan_reads_samples_of_tied_tensors_only(hub: LocalHub, tmp_path: Path) -> None:
    decoder = gpt2(tmp_path / "decoder", tied="both", hidden_size=WIDTH)
    change_tensors(decoder, {"lm_head.weight": lambda weight: weight * -1})
    publish(hub, "team/tied-samples", decoder)
    hub.requests.clear()

    (found,) = planned(hub, decoder="team/tied-samples")

    weights = decoder / "model.safetensors"
    assert "lm_head.weight" in found.message
    assert header_size(weights) < sent(hub, weights) <= header_size(weights) + 6 * SAMPLE_BYTES


def test_build_finds_what_samples_do_not_show(hub: LocalHub, tmp_path: Path) -> None:
    def in_one_number(weight: NDArray[Any]) -> NDArray[Any]:
        changed = weight.copy()
        changed[weight.shape[0] // 4, 7] += 1
        return changed

    decoder = gpt2(tmp_path / "decoder", tied="both", hidden_size=WIDTH)
    change_tensors(decoder, {"lm_head.weight": in_one_number})
    publish(hub, "team/tied-number", decoder)
    assert planned(hub, decoder="team/tied-number") == []

    result = build_pair(hub, pair("owner/tied-number", decoder="team/tied-number"))

    assert result.action == "built", result.reason
    (found,) = ties(result.findings)
    assert "lm_head.weight" in found.message
    record = parse_record(download(hub, "owner/tied-number", tmp_path)["ved.json"], "the record")
    assert record.ledger["decoder"].unused["lm_head.weight"] == DIFFERS


def test_build_repeats_no_warning_of_its_plan(hub: LocalHub, tmp_path: Path) -> None:
    decoder = decoder_with_head("bart", tmp_path / "decoder", tie_word_embeddings=True)

    result = build_pair(hub, pair("owner/tied-once", decoder=str(decoder)))

    assert result.action == "built", result.reason
    assert len(ties(result.findings)) == 1


@pytest.mark.parametrize("offset", [-1, 0])
def test_samples_outside_of_a_file_are_refused(
    offset: int, hub: LocalHub, sources: dict[str, Path]
) -> None:
    entry = manifest(pair("owner/x")).pairs[0]
    source = resolve_source("decoder", entry.decoder, client(hub))
    name, end = "model.safetensors", (sources["gpt2"] / "model.safetensors").stat().st_size
    inside, place = Place(name, end - 8, 8), Place(name, end - 7 + offset, 8)
    if offset < 0:
        assert have_same_samples(inside, place, source, client(hub))
        return
    with pytest.raises(VedError) as caught:
        have_same_samples(inside, place, source, client(hub))
    assert caught.value.code == ErrorCode.DAMAGED_SOURCE
