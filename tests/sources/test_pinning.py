"""ved.sources.pinning: which commit a reference means, and what decides what is built from it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import checkpoints
from tests.support.publishing import client, publish
from tests.support.raising import raises
from ved.errors import ErrorCode
from ved.localhub import LocalHub
from ved.manifest.pair_models import ConfigRef, SourceRef
from ved.sources import Pinned, Snapshot, pin


def pinned(hub: LocalHub, model: str, **keys: Any) -> Snapshot:
    return pin(SourceRef(model=model, **keys), client(hub))


def test_pin_resolves_branch_tag_and_commit_in_one_request(hub: LocalHub, tmp_path: Path) -> None:
    api = client(hub)
    first = publish(hub, "team/history", checkpoints.vit(tmp_path / "first"))
    api.create_tag("team/history", tag="v1")
    api.create_branch("team/history", branch="feature/old")
    second = api.upload_folder(
        repo_id="team/history", folder_path=checkpoints.vit(tmp_path / "second", hidden_size=48)
    ).oid

    revisions = {None: second, "main": second, "v1": first, "feature/old": first, first: first}
    for revision, commit in revisions.items():
        hub.requests.clear()
        assert pinned(hub, "team/history", revision=revision).commit == commit
        assert [each.method for each in hub.requests] == ["GET"]


def test_pin_lists_sizes_and_digests(hub: LocalHub, sources: dict[str, Path]) -> None:
    snapshot = pinned(hub, "team/vit")
    weights = sources["vit"] / "model.safetensors"
    assert snapshot.files["model.safetensors"] == weights.stat().st_size
    assert snapshot.files["config.json"] == (sources["vit"] / "config.json").stat().st_size
    assert snapshot.sha256.keys() == {"model.safetensors"}
    assert str(snapshot) == f"team/vit@{(snapshot.commit or '')[:12]}"


@pytest.mark.parametrize(
    ("front_matter", "license"),
    [
        ("license: mit", "mit"),
        ("license: [apache-2.0]", "apache-2.0"),
        ("license: [mit, gpl-3.0]", None),
        ("tags: [a]", None),
    ],
)
def test_pin_reads_license_of_card_at_commit(
    front_matter: str, license: str | None, hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(sources["vit"], tmp_path / "vit")
    (tmp_path / "vit" / "README.md").write_text(f"---\n{front_matter}\n---\n")
    commit = publish(hub, "team/licensed", tmp_path / "vit")
    client(hub).upload_file(
        path_or_fileobj=b"---\nlicense: isc\n---\n",
        path_in_repo="README.md",
        repo_id="team/licensed",
    )
    assert pinned(hub, "team/licensed", revision=commit).metadata.license == license


def test_pin_of_missing_repo_and_revision(hub: LocalHub) -> None:
    with raises(ErrorCode.NO_SUCH_REPO, "team/missing"):
        pinned(hub, "team/missing")
    with raises(ErrorCode.NO_SUCH_REVISION, "team/vit at v9"):
        pinned(hub, "team/vit", revision="v9")


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"id": "team/vit"}',
        b'{"id": "team/vit", "sha": "main"}',
        b'{"id": "team/vit", "sha": "%s", "siblings": [{"rfilename": 5}]}' % (b"0" * 40),
    ],
)
def test_pin_explains_malformed_answer(body: bytes, hub: LocalHub) -> None:
    hub.faults.add("GET", "^/api/models/team/vit$", body=body)
    with raises(ErrorCode.HUB_DOES_NOT_ANSWER, "team/vit"):
        pinned(hub, "team/vit")


# Local directories


def test_pin_of_local_directory_makes_no_request(hub: LocalHub, sources: dict[str, Path]) -> None:
    directory = sources["gpt2"]
    snapshot = pinned(hub, str(directory))
    assert (snapshot.commit, snapshot.directory, str(snapshot)) == (None, directory, str(directory))
    assert snapshot.files["config.json"] == (directory / "config.json").stat().st_size
    assert hub.requests == []


def test_pin_names_absolute_directory_without_its_path(hub: LocalHub, tmp_path: Path) -> None:
    checkpoints.vit(tmp_path / "my-vit")
    snapshot = pinned(hub, str(tmp_path / "my-vit"))
    assert snapshot.name == "my-vit"
    source = Pinned(snapshot, snapshot)
    assert str(tmp_path) not in str(source.identity("encoder", client(hub)))


def test_pin_names_relative_directory_as_manifest_does(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoints.vit(tmp_path / "my-vit")
    snapshot = pinned(hub, "./my-vit")
    assert snapshot.name == "./my-vit"
    assert str(snapshot) == "./my-vit"


def test_pin_of_missing_directory(hub: LocalHub, tmp_path: Path) -> None:
    with raises(ErrorCode.NO_SUCH_DIRECTORY, "nothing"):
        pinned(hub, str(tmp_path / "nothing"))


# What decides what is built


def test_identity_of_repo_is_its_commit(hub: LocalHub) -> None:
    vit, gpt2 = pinned(hub, "team/vit"), pin(ConfigRef(model="team/gpt2"), client(hub))
    assert Pinned(vit, gpt2).identity("encoder", client(hub)) == {
        "name": "team/vit",
        "commit": vit.commit,
        "config": {"name": "team/gpt2", "commit": gpt2.commit},
    }


def test_identity_of_directory_is_digests_of_used_files(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.vit(tmp_path / "vit")
    (directory / "notes.txt").write_text("not used")

    def identity() -> dict[str, Any]:
        snapshot = pinned(hub, str(directory))
        return Pinned(snapshot, snapshot).identity("encoder", client(hub))

    before = identity()
    assert before["files"].keys() == {
        *("config.json", "model.safetensors", "preprocessor_config.json")
    }
    (directory / "notes.txt").write_text("changed")
    assert identity() == before
    (directory / "preprocessor_config.json").write_text("{}")
    assert identity() != before


def test_identity_of_directory_without_weights(hub: LocalHub, tmp_path: Path) -> None:
    snapshot = pinned(hub, str(checkpoints.config_only(tmp_path / "vit", "vit")))
    with raises(ErrorCode.NO_USABLE_WEIGHTS):
        Pinned(snapshot, snapshot).identity("encoder", client(hub))
