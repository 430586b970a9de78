"""A source with weights in several formats: a notice, and a choice in the manifest."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import checkpoints
from tests.support.building import parameters_in
from tests.support.publishing import build_pair, client, download, manifest, pair, publish
from ved.commands import RunOptions, build, plan
from ved.errors import ErrorCode
from ved.localhub import LocalHub
from ved.manifest.fields import WeightFormat
from ved.planning.findings import Finding
from ved.record.build_record import parse_record

FILES = {"safetensors": "model.safetensors", "flax": "flax_model.msgpack"}
WTE = ("decoder", "transformer", "wte", "embedding")


@pytest.fixture(scope="module")
def two_formats(module_hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish a decoder whose two weight files differ as team/two-formats."""
    directory = checkpoints.gpt2(tmp_path_factory.mktemp("formats"))
    checkpoints.gpt2(directory, layout="flax", seed=1)
    publish(module_hub, "team/two-formats", directory)
    return directory


def found_by_plan(hub: LocalHub, decoder: Any) -> list[Finding]:
    report = plan(manifest(pair("owner/formats", decoder=decoder)), RunOptions(), client(hub))
    (result,) = report.results
    assert result.action == "build", result.reason
    code = ErrorCode.SEVERAL_WEIGHT_FORMATS
    return [finding for finding in result.findings if finding.code == code]


@pytest.mark.usefixtures("two_formats")
def test_plan_has_a_notice_of_several_formats(hub: LocalHub) -> None:
    (notice,) = found_by_plan(hub, "team/two-formats")
    assert (notice.level, notice.key) == ("notice", "decoder")
    assert all(name in notice.message for name in FILES.values())


def test_plan_has_a_notice_of_a_pickle_beside_other_weights(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.bart(tmp_path / "bart", layout="sharded")
    (directory / "pytorch_model.bin").write_bytes(b"not read")
    (notice,) = found_by_plan(hub, str(directory))
    assert "model.safetensors" in notice.message
    assert "pytorch_model.bin" in notice.message


@pytest.mark.usefixtures("two_formats")
@pytest.mark.parametrize("weights_from", ["safetensors", "flax"])
def test_plan_has_no_notice_after_a_choice(weights_from: str, hub: LocalHub) -> None:
    source = {"model": "team/two-formats", "weights_from": weights_from}
    assert found_by_plan(hub, source) == []


def test_plan_refuses_a_format_that_the_source_lacks(hub: LocalHub) -> None:
    entry = pair("owner/formats", decoder={"model": "team/gpt2", "weights_from": "flax"})
    (result,) = plan(manifest(entry), RunOptions(), client(hub)).results
    errors = [(each.key, each.code) for each in result.findings if each.level == "error"]
    assert errors == [("decoder", ErrorCode.NO_USABLE_WEIGHTS)]


@pytest.mark.parametrize("weights_from", ["safetensors", "flax"])
def test_build_records_the_weights_that_it_read(
    weights_from: WeightFormat, hub: LocalHub, two_formats: Path, tmp_path: Path
) -> None:
    repo = f"owner/from-{weights_from}"
    decoder = {"model": "team/two-formats", "weights_from": weights_from}
    assert build_pair(hub, pair(repo, decoder=decoder)).action == "built"

    files = download(hub, repo, tmp_path)
    record = parse_record(files["ved.json"], repo)
    used, other = FILES[weights_from], FILES["flax" if weights_from != "flax" else "safetensors"]
    recorded = record.sources["decoder"].files
    assert recorded[used] == hashlib.sha256((two_formats / used).read_bytes()).hexdigest()
    assert other not in recorded
    assert record.pair is not None
    assert record.pair.decoder.weights_from == weights_from


@pytest.mark.usefixtures("two_formats")
def test_build_of_both_formats_in_one_run_gives_two_checkpoints(
    hub: LocalHub, tmp_path: Path
) -> None:
    entries = [
        pair(
            f"owner/both-{name}",
            decoder={"model": "team/two-formats", "weights_from": name},
            weights="flax",
        )
        for name in FILES
    ]
    options = RunOptions(output_directory=tmp_path, push=False)
    results = build(manifest(*entries), options, client(hub))
    assert [result.reason for result in results if result.action != "built"] == []
    one, other = (parameters_in(tmp_path / entry["repo"])[WTE] for entry in entries)
    assert not np.array_equal(one, other)
