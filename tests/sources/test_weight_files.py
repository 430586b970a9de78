"""ved.sources.weight_files: which weight files of a source VED reads."""

from pathlib import Path

import pytest

from tests import checkpoints
from tests.support.publishing import client
from tests.support.raising import raises
from ved.errors import ErrorCode
from ved.localhub import LocalHub
from ved.manifest.fields import WeightFormat
from ved.manifest.pair_models import SourceRef
from ved.sources import pin
from ved.sources.weight_files import select_weight_files

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def selected(
    hub: LocalHub,
    directory: Path,
    *,
    allow_pickle: bool = False,
    weights_from: WeightFormat | None = None,
) -> tuple[str, ...]:
    snapshot = pin(SourceRef(model=str(directory)), client(hub))
    return select_weight_files(snapshot, allow_pickle, client(hub), weights_from)


def with_files(directory: Path, *names: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).write_bytes(b"x")
    return directory


@pytest.mark.parametrize(
    ("present", "allow_pickle", "expected"),
    [
        (("model.safetensors", "flax_model.msgpack"), False, "model.safetensors"),
        (("flax_model.msgpack", "pytorch_model.bin"), False, "flax_model.msgpack"),
        (("model.safetensors", "pytorch_model.bin"), True, "model.safetensors"),
        (("pytorch_model.bin", "tf_model.h5"), True, "pytorch_model.bin"),
    ],
)
def test_select_prefers_best_format(
    present: tuple[str, ...], allow_pickle: bool, expected: str, hub: LocalHub, tmp_path: Path
) -> None:
    directory = with_files(tmp_path, *present)
    assert selected(hub, directory, allow_pickle=allow_pickle) == (expected,)


@pytest.mark.parametrize(
    ("weights_from", "expected"),
    [("safetensors", "model.safetensors"), ("flax", "flax_model.msgpack")],
)
def test_select_reads_the_format_of_the_manifest(
    weights_from: WeightFormat, expected: str, hub: LocalHub, tmp_path: Path
) -> None:
    directory = with_files(
        tmp_path, "model.safetensors", "flax_model.msgpack", "pytorch_model.bin", "tf_model.h5"
    )
    assert selected(hub, directory, weights_from=weights_from) == (expected,)
    assert selected(hub, directory, weights_from=weights_from, allow_pickle=True) == (expected,)


@pytest.mark.parametrize(
    ("present", "weights_from"),
    [
        (("model.safetensors",), "flax"),
        (("flax_model.msgpack", "pytorch_model.bin"), "safetensors"),
        (("pytorch_model.bin",), "flax"),
        (("config.json",), "safetensors"),
    ],
)
def test_select_refuses_a_source_without_the_format_of_the_manifest(
    present: tuple[str, ...], weights_from: WeightFormat, hub: LocalHub, tmp_path: Path
) -> None:
    directory = with_files(tmp_path, *present)
    with raises(ErrorCode.NO_USABLE_WEIGHTS, f"weights_from: {weights_from}"):
        selected(hub, directory, weights_from=weights_from, allow_pickle=True)


def test_select_reads_shards_of_the_format_of_the_manifest(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.vit(tmp_path / "vit", layout="sharded")
    with_files(directory, "flax_model.msgpack")
    assert selected(hub, directory, weights_from="safetensors") == (FIRST, SECOND)


def test_select_returns_shards_of_index(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.vit(tmp_path / "vit", layout="sharded")
    (directory / "model-00003-of-00002.safetensors").write_bytes(b"of an older upload")
    assert selected(hub, directory) == (FIRST, SECOND)


@pytest.mark.parametrize("present", [("pytorch_model.bin",), ("pytorch_model.bin.index.json",)])
def test_select_refuses_pickle_unless_allowed(
    present: tuple[str, ...], hub: LocalHub, tmp_path: Path
) -> None:
    directory = with_files(tmp_path, *present)
    with raises(ErrorCode.NO_USABLE_WEIGHTS, present[0], "allow_pickle: true"):
        selected(hub, directory)


def test_select_refuses_source_without_weights(hub: LocalHub, tmp_path: Path) -> None:
    directory = with_files(tmp_path, "tf_model.h5")
    with raises(ErrorCode.NO_USABLE_WEIGHTS, "model.safetensors, flax_model.msgpack"):
        selected(hub, directory)


@pytest.mark.parametrize(
    ("index", "shown"),
    [
        (b"{", ""),
        (b"[]", ""),
        (b"{}", ""),
        (b'{"weight_map": []}', ""),
        (b'{"weight_map": {"a": "b"}}', "'b'"),
        (b'{"weight_map": {"a": "../config.json"}}', "'../config.json'"),
        (b'{"weight_map": {"a": "config.json"}}', "'config.json'"),
        (b'{"weight_map": {"a": 1}}', "'1'"),
        (b'{"weight_map": {"a": ["b"]}}', ""),
    ],
)
def test_select_refuses_damaged_index(
    index: bytes, shown: str, hub: LocalHub, tmp_path: Path
) -> None:
    directory = checkpoints.config_only(tmp_path / "encoder", "vit")
    (directory / "model.safetensors.index.json").write_bytes(index)
    with raises(ErrorCode.DAMAGED_SOURCE, "model.safetensors.index.json", str(directory), shown):
        selected(hub, directory)
