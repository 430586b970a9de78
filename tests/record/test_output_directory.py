"""The directory of a built checkpoint: what may be replaced, and how."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tests.support.building import source
from tests.support.publishing import SAMPLES
from ved.errors import ErrorCode, VedError
from ved.execution.checkpoint_dir import build_checkpoint
from ved.manifest.settings import CheckpointSettings
from ved.record.output_directory import check_output_directory, replace_output_directory


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a checkpoint without a model card, as `ved assemble` does."""
    folder = tmp_path_factory.mktemp("output")
    encoder = source("encoder", SAMPLES["vit"](folder / "vit"))
    decoder = source("decoder", SAMPLES["gpt2"](folder / "gpt2"))
    built = folder / "built"
    built.mkdir()
    build_checkpoint(encoder, decoder, built, HfApi(), CheckpointSettings())
    return built


@pytest.fixture
def built(checkpoint: Path, tmp_path: Path) -> Path:
    return copy(checkpoint, tmp_path / "new")


def copy(directory: Path, to: Path) -> Path:
    to.mkdir(parents=True)
    for path in directory.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def add_file(directory: Path) -> None:
    (directory / "thesis.txt").write_text("years of work")


def add_folder(directory: Path) -> None:
    (directory / "logs").mkdir()


def train(directory: Path) -> None:
    weights = directory / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def link(directory: Path) -> None:
    weights = directory / "model.safetensors"
    weights.rename(directory.parent / "elsewhere")
    weights.symlink_to(directory.parent / "elsewhere")


def remove_record(directory: Path) -> None:
    (directory / "ved.json").unlink()


def note_in_record(directory: Path) -> None:
    record = directory / "ved.json"
    record.write_text(record.read_text().rstrip() + "\n\n")


def link_record(directory: Path) -> None:
    record = directory / "ved.json"
    record.rename(directory.parent / "record")
    record.symlink_to(directory.parent / "record")


def train_without_trace(directory: Path) -> None:
    weights = directory / "model.safetensors"
    check_output_directory(directory)  # caches its digest
    before = weights.stat()
    train(directory)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))


def add_repository(directory: Path) -> None:
    (directory / ".git").mkdir()


def add_similar_name(directory: Path) -> None:
    (directory / "CONFIG.json").write_text("{}")


def add_link(directory: Path) -> None:
    (directory / "linked").symlink_to(directory.parent)


def damage_record(directory: Path) -> None:
    (directory / "ved.json").write_text("{}")


@pytest.mark.parametrize(
    "change",
    [
        *(add_file, add_folder, add_repository, add_similar_name, add_link),
        *(train, train_without_trace, link),
        *(remove_record, damage_record, note_in_record, link_record),
    ],
)
def test_output_directory_with_foreign_content_is_not_replaced(
    change: Callable[[Path], None], checkpoint: Path, built: Path, tmp_path: Path
) -> None:
    owned = copy(checkpoint, tmp_path / "owned")
    change(owned)
    before = {path.name: path.is_file() and path.read_bytes() for path in owned.iterdir()}
    with pytest.raises(VedError) as refused:
        replace_output_directory(built, owned)
    assert refused.value.code == ErrorCode.DIRECTORY_IN_USE
    after = {path.name: path.is_file() and path.read_bytes() for path in owned.iterdir()}
    assert after == before
    assert built.exists()


@pytest.mark.parametrize("kind", ["pipe", "device", "8 TiB"])
def test_output_directory_with_a_record_without_end_is_not_replaced(kind: str, built: Path) -> None:
    record = built / "ved.json"
    record.unlink()
    if kind == "pipe":
        os.mkfifo(record)
    elif kind == "device":
        record.symlink_to("/dev/zero")
    else:
        with record.open("wb") as file:
            file.truncate(2**43)
    with pytest.raises(VedError) as caught:
        check_output_directory(built)
    assert caught.value.code == ErrorCode.DIRECTORY_IN_USE


@pytest.mark.parametrize("kind", ["file", "link", "broken link"])
def test_output_directory_that_is_no_directory_is_refused(
    kind: str, checkpoint: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("")
    else:
        place.symlink_to(checkpoint if kind == "link" else tmp_path / "nowhere")
    with pytest.raises(VedError) as refused:
        check_output_directory(place)
    assert refused.value.code == ErrorCode.DIRECTORY_IN_USE


@pytest.mark.parametrize("state", ["missing", "empty", "as written"])
def test_output_directory_is_replaced(
    state: str, checkpoint: Path, built: Path, tmp_path: Path
) -> None:
    place = tmp_path / "owner" / "place"
    if state == "empty":
        place.mkdir(parents=True)
    elif state == "as written":
        copy(checkpoint, place)
    expected = names(built)
    replace_output_directory(built, place)
    assert names(place) == expected
    assert not built.exists()
    assert names(place.parent) == {"place"}


def test_output_directory_is_restored_if_the_move_fails(checkpoint: Path, tmp_path: Path) -> None:
    place = copy(checkpoint, tmp_path / "place")
    with pytest.raises(OSError, match="missing"):
        replace_output_directory(tmp_path / "missing", place)
    assert names(place) == names(checkpoint)


def test_output_directory_is_restored_after_an_interrupt(
    checkpoint: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = copy(checkpoint, tmp_path / "place")
    move = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if self == built:
            raise KeyboardInterrupt
        return move(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_output_directory(built, place)
    assert names(place) == names(built) == names(checkpoint)


@pytest.mark.parametrize("kind", ["file", "broken link"])
def test_output_directory_below_a_file_is_refused(kind: str, tmp_path: Path) -> None:
    parent = tmp_path / "owner"
    if kind == "file":
        parent.write_text("")
    else:
        parent.symlink_to(tmp_path / "nowhere")
    with pytest.raises(VedError) as refused:
        check_output_directory(parent / "name")
    assert refused.value.code == ErrorCode.DIRECTORY_IN_USE


def test_output_directory_keeps_a_file_that_is_added_while_it_is_replaced(
    checkpoint: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = copy(checkpoint, tmp_path / "place")
    move = Path.replace

    def add_and_move(self: Path, target: Path) -> Path:
        if self == place:
            add_file(place)
        return move(self, target)

    monkeypatch.setattr(Path, "replace", add_and_move)
    with pytest.raises(VedError) as refused:
        replace_output_directory(built, place)
    assert refused.value.code == ErrorCode.DIRECTORY_IN_USE
    (kept,) = tmp_path.rglob("thesis.txt")
    assert str(kept.parent) in str(refused.value)
    assert names(place) == names(checkpoint)
