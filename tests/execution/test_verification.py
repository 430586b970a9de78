"""`ved verify`: every bit is accounted for, whatever the settings, and every change is found."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from tests import checkpoints
from tests.support.publishing import (
    asked_for,
    build_locally,
    build_pair,
    client,
    damage,
    files_of,
    manifest,
    pair,
    publish,
)
from ved import cli
from ved.commands import RunOptions, build
from ved.errors import ErrorCode, VedError
from ved.execution import xet_comparison
from ved.execution.verification import verify
from ved.localhub import LocalHub
from ved.manifest.pair_models import ConfigRef
from ved.record import BuildRecord, build_record, card
from ved.record.fingerprint import compute_fingerprint
from ved.sources import Pinned, pin

ENTRIES: dict[str, dict[str, Any]] = {
    "gpt2": {"weights": ["flax", "safetensors"]},
    "bert": {"decoder": "team/bert"},
    "roberta": {"decoder": "team/roberta"},
    "bart": {"decoder": "team/bart"},
    "settings": {"seed": 3, "dtype": "float16", "token_ids": {"pad": 1, "eos": 2}},
    "one-file": {},
    "swapped-files": {"weights": ["safetensors", "flax"]},
    "other-file": {"weights": ["flax"], "decoder": "team/bart"},
    "described": {"description": "In words.", "tags": ["one tag"], "license": "mit"},
    "sharded": {"encoder": "team/verified-sharded"},
    "pickled": {"encoder": {"model": "team/verified-pickled", "allow_pickle": True}},
    "flax": {"decoder": {"model": "team/verified-two-formats", "weights_from": "flax"}},
    "other-config": {"encoder": {"model": "team/vit", "config": "team/verified-config"}},
    # Beside its parameters, model.safetensors has buffers of both halves.
    "buffers": {
        **{"encoder": "team/verified-swin", "decoder": "team/verified-pegasus"},
        "dtype": "float16",
    },
}
"""The pairs that are published once, and looked at by many tests."""

WEIGHTS = {"flax_model.msgpack", "model.safetensors"}

PAIR = ("vit", "gpt2")
"""The sources of a pair that does not name others."""


@pytest.fixture(scope="module")
def published(
    module_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Publish `owner/verified-<name>` for each entry."""
    folder = tmp_path_factory.mktemp("published")
    for layout in ("sharded", "pickle"):
        name = "pickled" if layout == "pickle" else layout
        source = checkpoints.vit(folder / name, layout=layout, seed=1)
        publish(module_hub, f"team/verified-{name}", source)
    two_formats = checkpoints.gpt2(folder / "two-formats")
    checkpoints.gpt2(two_formats, layout="flax", seed=1)
    publish(module_hub, "team/verified-two-formats", two_formats)
    publish(module_hub, "team/verified-swin", checkpoints.swin(folder / "swin"))
    publish(module_hub, "team/verified-pegasus", checkpoints.pegasus(folder / "pegasus"))
    config = folder / "config"
    config.mkdir()
    values = json.loads((sources["vit"] / "config.json").read_text())
    (config / "config.json").write_text(json.dumps({**values, "layer_norm_eps": 1e-5}))
    publish(module_hub, "team/verified-config", config)
    entries = [pair(f"owner/verified-{name}", **keys) for name, keys in ENTRIES.items()]
    results = build(manifest(*entries), RunOptions(), client(module_hub))
    assert [result.reason for result in results if result.action != "built"] == []


Change = Callable[[str, bytes | None], str]


@pytest.fixture
def changed(hub: LocalHub, published: None) -> Iterator[Change]:
    """Change or delete a file of owner/verified-gpt2 on a branch; return the repo at its commit."""
    api, repo, branch = client(hub), "owner/verified-gpt2", "changed"

    def change(name: str, content: bytes | None) -> str:
        api.create_branch(repo, branch=branch)
        if content is None:
            commit = api.delete_file(name, repo, revision=branch)
        else:
            commit = api.upload_file(
                path_or_fileobj=content, path_in_repo=name, repo_id=repo, revision=branch
            )
        return f"{repo}@{commit.oid}"

    yield change
    api.delete_branch(repo, branch=branch)


@pytest.fixture(scope="module")
def built(
    module_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a checkpoint that was built and not published."""
    weights = ["flax", "safetensors"]
    entry = pair("owner/verified-locally", decoder="team/bart", weights=weights)
    return build_locally(module_hub, entry, tmp_path_factory.mktemp("built") / "out")


@pytest.fixture
def directory(built: Path, tmp_path: Path) -> Path:
    """Return a copy of a checkpoint that was built and not published."""
    return shutil.copytree(built, tmp_path / "out" / built.name)


def run(
    *arguments: object, endpoint: str, folder: Path, home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `ved verify` in a process of its own, as somebody who has no file of the Hub's."""
    return subprocess.run(
        [sys.executable, "-m", "ved", "verify", *map(str, arguments), "--endpoint", endpoint],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(cli.__file__).parents[1]),
            "HF_HOME": str(home or folder / "hf-home-of-a-stranger"),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def flipped(content: bytes, position: int) -> bytes:
    """Return bytes with one bit changed."""
    changed = bytearray(content)
    changed[position] ^= 1
    return bytes(changed)


# What is what it is said to be


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.usefixtures("published")
def test_verify_accepts_every_published_pair(
    name: str, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xet_comparison, "SAMPLES", 2)
    monkeypatch.setattr(xet_comparison, "SAMPLE_BYTES", 1)
    verdict = verify(f"owner/verified-{name}", client(hub, None))
    assert verdict.differences == ()
    assert len(verdict.notes) == ("description" in ENTRIES[name])
    assert verdict.is_true
    assert verdict.files == len(client(hub).list_repo_files(f"owner/verified-{name}")) - 1
    weights = asked_for(hub, f"owner/verified-{name}") & WEIGHTS
    folder = f"/lfs/models/owner/verified-{name}/"
    sizes = [each.bytes_out for each in hub.requests if each.path.startswith(folder)]
    assert {*sizes} == {1}
    assert len(sizes) >= 2 * len(weights)  # a sentencepiece model is a large file, too


@pytest.mark.slow
@pytest.mark.usefixtures("published")
def test_verify_of_a_repo_in_a_new_process(hub: LocalHub, tmp_path: Path) -> None:
    ended = run("owner/verified-settings", endpoint=hub.endpoint, folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    head = client(hub).model_info("owner/verified-settings").sha
    assert head is not None
    assert ended.stdout.startswith(f"owner/verified-settings@{head[:12]}: 12 files are ")
    sources = [f"team/{name}@{client(hub).model_info(f'team/{name}').sha}" for name in PAIR]
    assert [line.split()[-1] for line in ended.stdout.splitlines()[1:]] == sources
    assert asked_for(hub, "owner/verified-settings") - WEIGHTS == {"ved.json", ".gitattributes"}


def test_verify_of_a_directory_counts_its_files(
    hub: LocalHub, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", str(directory), "--endpoint", hub.endpoint]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith(f"{directory}: {len(files_of(directory))} files are ")


def test_verify_accepts_an_assembled_directory(hub: LocalHub, tmp_path: Path) -> None:
    output = tmp_path / "assembled"
    arguments = ["assemble", "--encoder-model-name-or-path", "team/vit", "--output-dir", output]
    arguments += ["--decoder-model-name-or-path", "team/bart", "--endpoint", hub.endpoint]
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert "README.md" not in files_of(output)
    verdict = verify(str(output), client(hub, None))
    assert (verdict.differences, verdict.notes) == ((), ())


def test_verify_reads_sources_at_their_commits(hub: LocalHub, tmp_path: Path) -> None:
    publish(hub, "team/verified-moving", checkpoints.vit(tmp_path / "first"))
    result = build_pair(hub, pair("owner/verified-moved", encoder="team/verified-moving"))
    assert result.action == "built"
    later = checkpoints.vit(tmp_path / "later", seed=1)
    client(hub).upload_folder(repo_id="team/verified-moving", folder_path=later)
    assert verify("owner/verified-moved", client(hub, None)).is_true


def test_verify_accepts_a_renewed_card_and_the_commit_before(
    hub: LocalHub,
) -> None:
    entry = pair("owner/verified-twice", decoder="team/bart")
    first = build_pair(hub, entry)
    second = build_pair(hub, {**entry, "tags": ["of a new card"]})
    third = build_pair(hub, {**entry, "tags": ["of a new card"], "seed": 9})
    assert [each.action for each in (first, second, third)] == ["built", "card-only", "built"]
    for result in (first, second, third):
        verdict = verify(f"owner/verified-twice@{result.commit}", client(hub, None))
        assert verdict.is_true, str(verdict)


# Local sources


@pytest.fixture
def of_a_folder(hub: LocalHub, tmp_path: Path) -> Path:
    """Publish a checkpoint of a source that lies beside its manifest; return their folder."""
    folder = tmp_path / "project"
    checkpoints.vit(folder / "sources" / "vit")
    entry = pair("owner/verified-of-a-folder", encoder="./sources/vit", decoder="team/bart")
    result = build_pair(hub, {**entry, "overwrite": True}, folder=folder)
    assert not result.is_bad, result.reason
    return folder


def test_verify_finds_a_relative_local_source(
    hub: LocalHub,
    of_a_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(of_a_folder)
    name = "owner/verified-of-a-folder"
    assert cli.main(["verify", name, "--allow-local", "--endpoint", hub.endpoint]) == 0
    assert capsys.readouterr().err == ""


def test_verify_explains_a_missing_local_source(
    hub: LocalHub, of_a_folder: Path, tmp_path: Path
) -> None:
    name = "owner/verified-of-a-folder"
    ended = run(name, "--allow-local", endpoint=hub.endpoint, folder=tmp_path)
    assert ended.returncode == 1
    assert "there is no ./sources/vit here." in ended.stderr
    assert "TIP Run the command in the folder in which ./sources/vit exists." in ended.stderr


def test_verify_finds_the_source_of_an_absolute_path_by_its_name(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = checkpoints.vit(tmp_path / "sources" / "my-vit")
    entry = pair("owner/x", encoder=str(source), decoder="team/bart")
    built = build_locally(hub, entry, tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VedError) as caught:
        verify(str(built), client(hub, None), allow_local=True)
    assert caught.value.code == ErrorCode.NO_SUCH_DIRECTORY
    assert "./my-vit" in caught.value.remedy
    monkeypatch.chdir(source.parent)
    verdict = verify(str(built), client(hub, None), allow_local=True)
    assert (verdict.differences, verdict.notes) == ((), ())


def test_verify_explains_a_changed_local_source(
    hub: LocalHub, of_a_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = of_a_folder / "sources" / "vit" / "model.safetensors"
    weights.write_bytes(flipped(weights.read_bytes(), -1))
    monkeypatch.chdir(of_a_folder)
    with pytest.raises(VedError, match=r"model\.safetensors"):
        verify("owner/verified-of-a-folder", client(hub, None), allow_local=True)


# What has been changed


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "flax_model.msgpack", "generation_config.json", "model.safetensors"),
        *("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "README.md"),
        "architecture.svg",
    ],
)
@pytest.mark.parametrize("position", [0, -1])
def test_verify_finds_one_bit_in_every_file_of_a_directory(
    name: str, position: int, hub: LocalHub, directory: Path
) -> None:
    file = directory / name
    file.write_bytes(flipped(file.read_bytes(), position))
    verdict = verify(str(directory), client(hub, None))
    (difference,) = verdict.differences
    assert difference.startswith(f"{name} differs")
    assert not verdict.is_true


def test_verify_names_different_tensors_of_a_directory(hub: LocalHub, directory: Path) -> None:
    before = files_of(directory)
    for name in ("model.safetensors", "flax_model.msgpack"):
        (directory / name).write_bytes(flipped(before[name], -1))
    header = json.loads(before["model.safetensors"][8:].partition(b"}}")[0] + b"}}")
    header.pop("__metadata__", None)
    last = max(header, key=lambda name: header[name]["data_offsets"])
    flax, safetensors = verify(str(directory), client(hub, None)).differences
    assert safetensors == f"model.safetensors differs: different tensors: {last}."
    assert flax.startswith("flax_model.msgpack differs: different tensors: ")


@pytest.mark.parametrize(
    "name",
    ["config.json", "flax_model.msgpack", "model.safetensors", "tokenizer.json", "README.md"],
)
def test_verify_finds_one_bit_by_the_listing_of_a_repo(
    name: str, hub: LocalHub, changed: Change
) -> None:
    path = client(hub).hf_hub_download("owner/verified-gpt2", name)
    repo = changed(name, flipped(Path(path).read_bytes(), -1))
    hub.requests.clear()
    verdict = verify(repo, client(hub, None))
    (difference,) = verdict.differences
    assert difference.startswith(f"{name} differs: it has ")
    found, rebuilt = re.findall("[0-9a-f]{40,64}", difference)
    assert found != rebuilt
    assert asked_for(hub, "owner/verified-gpt2") - WEIGHTS == {"ved.json", ".gitattributes"}


@pytest.mark.parametrize("storage", ["xet", "lfs"])
def test_verify_finds_stored_bytes_that_are_not_those_of_the_listing(
    storage: str, hub: LocalHub, request: pytest.FixtureRequest
) -> None:
    if storage == "lfs":
        request.getfixturevalue("without_xet")
    repo = f"owner/verified-stored-{storage}"
    build_pair(hub, pair(repo, check="none"))
    assert verify(repo, client(hub)).is_true
    damage(hub, repo)
    (difference,) = verify(repo, client(hub)).differences
    assert difference.startswith("model.safetensors differs: ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('\n  "seed": 0', '\n  "seed": 1'),
        ('"format": 1', '"format":  1'),
        ('"num_parameters": ', '"num_parameters": 1'),
        ('"copied": {', '"copied": {"nowhere": {"file": "a", "tensor": "b"}, '),
    ],
)
def test_verify_finds_a_changed_record(old: str, new: str, hub: LocalHub, directory: Path) -> None:
    file = directory / build_record.FILE_NAME
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    verdict = verify(str(directory), client(hub, None))
    assert any(each.startswith(build_record.FILE_NAME) for each in verdict.differences)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('\n    "seed": 0', '\n    "seed": 1', "ved.json says seed: 1, but it was built with 0."),
        (
            '"model": "team/bart"',
            '"model": "team/gpt2"',
            "ved.json says decoder: team/gpt2, but it was built with team/bart.",
        ),
    ],
)
def test_verify_finds_an_entry_that_contradicts_the_record(
    old: str, new: str, said: str, hub: LocalHub, directory: Path
) -> None:
    file = directory / build_record.FILE_NAME
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    assert said in verify(str(directory), client(hub, None)).differences


def test_verify_finds_a_card_that_is_not_rendered_again(hub: LocalHub, directory: Path) -> None:
    file = directory / build_record.FILE_NAME
    content = json.loads(file.read_text())
    del content["files"]["README.md"]
    file.write_text(json.dumps({**content, "card_digest": "0" * 64}))
    assert not verify(str(directory), client(hub, None)).is_true


def test_verify_finds_a_missing_file_of_a_directory(hub: LocalHub, directory: Path) -> None:
    (directory / "tokenizer.json").unlink()
    assert verify(str(directory), client(hub, None)).differences == ("tokenizer.json is missing.",)


def test_verify_finds_a_missing_file_of_a_repo(hub: LocalHub, changed: Change) -> None:
    verdict = verify(changed("model.safetensors", None), client(hub, None))
    assert verdict.differences == ("model.safetensors is missing.",)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model-00001-of-00002.safetensors"])
def test_verify_finds_an_added_weight_file(
    name: str, hub: LocalHub, directory: Path, changed: Change
) -> None:
    (directory / name).write_bytes(b"weights")
    added = (f"{name} does not come from the sources.",)
    assert verify(str(directory), client(hub, None)).differences == added
    assert verify(changed(name, b"weights"), client(hub, None)).differences == added


def test_verify_exits_with_1_for_a_difference(
    hub: LocalHub, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "config.json").write_text("{}")
    capsys.readouterr()
    assert cli.main(["verify", str(directory), "--endpoint", hub.endpoint]) == 1
    assert capsys.readouterr().out.splitlines()[1] == "  config.json differs."


# Another version


def built_by_others(record: BuildRecord, directory: Path) -> None:
    """Write a record with other versions, and the card that belongs to it."""
    snapshots = (
        pin(ConfigRef(model=source.name, revision=source.commit), HfApi(record.endpoint))
        for source in record.sources.values()
    )
    encoder, decoder = (Pinned(snapshot, snapshot) for snapshot in snapshots)
    fingerprint = compute_fingerprint(
        encoder,
        decoder,
        record.settings,
        HfApi(record.endpoint),
        versions=record.versions,
        assembly_version=record.assembly_version,
    )
    files = {name: file for name, file in record.files.items() if name != card.FILE_NAME}
    record = record.model_copy(update={"fingerprint": fingerprint, "files": files})
    build_record.write_record(card.write_card(record, directory), directory)


@pytest.mark.parametrize("name", ["numpy", "transformers", "ved"])
def test_verify_notes_other_versions(name: str, hub: LocalHub, directory: Path) -> None:
    file = directory / build_record.FILE_NAME
    content = json.loads(file.read_bytes())
    mine = content["versions"][name]
    content["versions"][name] = "0.0.1"
    built_by_others(build_record.parse_record(json.dumps(content).encode(), ""), directory)
    verdict = verify(str(directory), client(hub, None))
    assert verdict.differences == ()
    (note,) = verdict.notes
    assert f"{name} 0.0.1 (here: {mine})" in note
    assert f"\n  {verdict.notes[0]}\n" in str(verdict)


def test_verify_notes_another_assembly_version(hub: LocalHub, directory: Path) -> None:
    record = build_record.parse_record((directory / build_record.FILE_NAME).read_bytes(), "")
    older = record.model_copy(update={"assembly_version": record.assembly_version - 1})
    built_by_others(older, directory)
    verdict = verify(str(directory), client(hub, None))
    assert (verdict.differences, len(verdict.notes)) == ((), 1)


# What cannot be verified


def test_verify_notes_changed_metadata(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    publish(hub, "team/to-be-gated", sources["gpt2"])
    entry = pair("owner/before-the-gate", decoder="team/to-be-gated")
    built = build_locally(hub, entry, tmp_path / "built")
    assert not verify(str(built), client(hub)).notes

    client(hub).update_repo_settings("team/to-be-gated", gated="auto")

    verdict = verify(str(built), client(hub))
    assert verdict.is_true
    (note,) = verdict.notes
    assert "team/to-be-gated@" in note


def test_verify_explains_a_missing_record(hub: LocalHub, sources: dict[str, Path]) -> None:
    for checkpoint in ("team/vit", str(sources["vit"])):
        with pytest.raises(VedError) as caught:
            verify(checkpoint, client(hub, None))
        assert caught.value.code == ErrorCode.NO_BUILD_RECORD


def test_verify_explains_a_damaged_record(hub: LocalHub, directory: Path) -> None:
    (directory / build_record.FILE_NAME).write_text('{"format": 2}')
    with pytest.raises(VedError) as caught:
        verify(str(directory), client(hub, None))
    assert caught.value.code == ErrorCode.RECORD_NOT_READABLE


@pytest.mark.parametrize(
    ("checkpoint", "status", "code"),
    [
        ("owner/nothing-there", 1, ErrorCode.NO_SUCH_REPO),
        ("owner/verified-gpt2@v9", 1, ErrorCode.NO_SUCH_REVISION),
        ("team/vit", 1, ErrorCode.NO_BUILD_RECORD),
        ("not a name", 2, ErrorCode.WRONG_INPUT),
        ("./not-there", 2, ErrorCode.WRONG_INPUT),
    ],
)
@pytest.mark.usefixtures("published")
def test_verify_explains_an_unknown_checkpoint(
    checkpoint: str,
    status: int,
    code: ErrorCode,
    hub: LocalHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["verify", checkpoint, "--endpoint", hub.endpoint]) == status
    printed = capsys.readouterr().err
    assert printed.endswith(f"  SEE {code.url}\n")
    assert checkpoint in printed
    assert "Traceback" not in printed


def test_verify_explains_missing_sources(hub: LocalHub, tmp_path: Path) -> None:
    publish(hub, "team/verified-passing", checkpoints.vit(tmp_path / "vit"))
    entry = pair("owner/verified-of-gone", encoder="team/verified-passing", decoder="team/bart")
    assert build_pair(hub, entry).action == "built"
    client(hub).delete_repo("team/verified-passing")
    with pytest.raises(VedError, match=r"team/verified-passing") as caught:
        verify("owner/verified-of-gone", client(hub, None))
    assert caught.value.code == ErrorCode.NO_SUCH_REPO
