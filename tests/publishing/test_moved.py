"""Repos that have moved, on the Hub that redirects their old names."""

import json
from pathlib import Path

import pytest

from tests.support.publishing import build_pair, client, download, heads, manifest, pair, publish
from ved.commands import RunOptions, plan
from ved.errors import ErrorCode, VedError
from ved.localhub import LocalHub
from ved.manifest.loading import Manifest
from ved.planning import PlannedAction
from ved.publishing.commits import publish as publish_directory
from ved.publishing.repos import read_repo

OWN = {"encoder": "owner/moving-vit"}


@pytest.fixture
def moving(hub: LocalHub, sources: dict[str, Path]) -> None:
    """Publish a source that a test moves."""
    publish(hub, "owner/moving-vit", sources["vit"])


def planned(hub: LocalHub, entries: Manifest) -> PlannedAction:
    (action,) = plan(entries, RunOptions(), client(hub)).actions
    return action


def test_read_repo_refuses_moved_target(hub: LocalHub) -> None:
    client(hub).create_repo("owner/before")
    client(hub).move_repo("owner/before", "team/after")
    with pytest.raises(VedError) as caught:
        read_repo("owner/before", client(hub))
    assert caught.value.code == ErrorCode.REPO_MOVED
    assert "team/after" in caught.value.cause


def test_build_refuses_moved_target_and_writes_nothing(hub: LocalHub) -> None:
    assert build_pair(hub, pair("owner/before")).action == "built"
    client(hub).move_repo("owner/before", "team/after")
    before = heads(hub)
    result = build_pair(hub, pair("owner/before", seed=1))
    assert (result.action, result.codes) == ("refused", [ErrorCode.REPO_MOVED])
    assert "team/after" in result.reason
    assert heads(hub) == before


def test_build_refuses_moved_target_that_the_plan_did_not_inspect(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ved.planning.plan.INSPECTED_NEW_REPOS", 0)
    client(hub).create_repo("owner/before")
    client(hub).move_repo("owner/before", "team/after")
    before = heads(hub)
    result = build_pair(hub, pair("owner/before"))
    assert (result.action, result.codes) == ("failed", [ErrorCode.REPO_MOVED])
    assert heads(hub) == before


def test_publish_refuses_target_that_moves_after_the_plan(hub: LocalHub, tmp_path: Path) -> None:
    from ved.hub.http import connect

    api = connect("hf_the_owners_token")
    api.create_repo("owner/before")
    target = read_repo("owner/before", api)
    api.move_repo("owner/before", "team/after")
    before = heads(hub)
    (tmp_path / "x").write_text("x")
    with pytest.raises(VedError) as caught:
        publish_directory(target, tmp_path, private=None, api=api)
    assert caught.value.code == ErrorCode.REPO_MOVED
    assert heads(hub) == before


def test_plan_keeps_checkpoint_of_repo_that_is_renamed_in_manifest_too(hub: LocalHub) -> None:
    assert build_pair(hub, pair("owner/old-name")).action == "built"
    client(hub).move_repo("owner/old-name", "owner/new-name")
    assert planned(hub, manifest(pair("owner/new-name"))).name in ("skip", "card-only")


@pytest.mark.usefixtures("moving")
def test_moved_source_is_noted_and_named_on_card(hub: LocalHub, tmp_path: Path) -> None:
    client(hub).move_repo("owner/moving-vit", "team/moved-vit")
    result = build_pair(hub, pair("owner/moved-source", **OWN))
    assert result.action == "built"
    notes = [each for each in result.findings if each.code == ErrorCode.REPO_MOVED]
    assert [(each.level, each.key) for each in notes] == [("notice", "encoder")]
    assert "team/moved-vit" in notes[0].message
    files = download(hub, "owner/moved-source", tmp_path)
    assert b"- team/moved-vit\n" in files["README.md"]
    source = json.loads(files["ved.json"])["sources"]["encoder"]
    assert (source["name"], source["metadata"]["moved_to"]) == (OWN["encoder"], "team/moved-vit")


@pytest.mark.usefixtures("moving")
def test_source_that_moves_renews_the_card_only(hub: LocalHub) -> None:
    entry = pair("owner/renewed", **OWN)
    assert build_pair(hub, entry).action == "built"
    client(hub).move_repo("owner/moving-vit", "team/moved-vit")
    assert planned(hub, manifest(entry)).name == "card-only"
    assert build_pair(hub, entry).action == "card-only"
    assert planned(hub, manifest(entry)).name == "skip"


@pytest.mark.usefixtures("moving")
def test_plan_refuses_to_replace_a_source_by_its_new_name(hub: LocalHub) -> None:
    client(hub).move_repo("owner/moving-vit", "owner/itself")
    action = planned(hub, manifest(pair("owner/itself", **OWN)))
    assert [each.code for each in action.findings if each.level == "error"] == [
        ErrorCode.REPO_IS_ITS_OWN_SOURCE
    ]


def test_source_without_owner_is_found_under_its_full_name(hub: LocalHub) -> None:
    hub._hub.storage.redirect("models", "gpt2", "team/gpt2")
    action = planned(hub, manifest(pair("owner/ownerless", decoder="gpt2")))
    assert action.name == "build"
    decoder = action.subject.pinned["decoder"].snapshot
    assert decoder.metadata.moved_to == "team/gpt2"
