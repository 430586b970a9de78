"""The plan: what it builds, renews, skips and refuses, and how few requests that takes."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from dulwich.diff_tree import tree_changes
from dulwich.objects import Commit, ObjectID
from dulwich.repo import Repo
from huggingface_hub import HfApi

from tests import checkpoints
from tests.support.many import publish_many
from tests.support.publishing import (
    TOKEN,
    asked_for,
    build_pair,
    client,
    download,
    heads,
    manifest,
    pair,
    publish,
)
from ved.commands import RunOptions, build
from ved.commands import plan as make_report
from ved.errors import ErrorCode, RequestError
from ved.hub.access import HubAccess
from ved.localhub import LocalHub
from ved.manifest.loading import Manifest, load
from ved.planning import plan
from ved.planning.actions import PlannedAction, Skip
from ved.planning.plan import INSPECTED_REPOS
from ved.publishing.repos import list_repos
from ved.record import fingerprint
from ved.results.result import Result

OWN = {"encoder": "team/plan-vit", "decoder": "team/plan-gpt2"}
"""Sources that nobody else uses, so that nobody else has downloaded them."""

UNCHANGED = "Up to date."


@pytest.fixture(scope="module", autouse=True)
def own_sources(
    module_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    publish(module_hub, OWN["encoder"], checkpoints.vit(folder / "vit", seed=20))
    publish(module_hub, OWN["decoder"], checkpoints.gpt2(folder / "gpt2", seed=20))


@pytest.fixture(scope="module")
def published(module_hub: LocalHub, own_sources: None) -> dict[str, Any]:
    """Publish a pair that tests may change, because `hub` restores it, and return its entry."""
    entry = pair("owner/planned", **OWN)
    assert build_pair(module_hub, entry).action == "built"
    return entry


@pytest.fixture(scope="module")
def neighbour(module_hub: LocalHub, own_sources: None) -> dict[str, Any]:
    """Publish a pair that never changes, and return its entry."""
    entry = pair("owner/plan-neighbour", **OWN)
    assert build_pair(module_hub, entry).action == "built"
    return entry


def run(hub: LocalHub, *entries: Mapping[str, Any]) -> list[Result]:
    """Build what has to be, and leave in the log what that took."""
    hub.requests.clear()
    return build(manifest(*entries), RunOptions(), client(hub))


def planned(
    hub: LocalHub, *entries: Mapping[str, Any], token: str | None = TOKEN
) -> list[PlannedAction]:
    """Plan, make sure that nothing is written by that, and leave in the log what it took."""
    hub.requests.clear()
    made = make_report(manifest(*entries), RunOptions(), client(hub, token)).actions
    assert writes(hub) == []
    return list(made)


def writes(hub: LocalHub) -> list[tuple[str, str]]:
    """Return the requests that may have changed something on the Hub."""
    return [
        (exchange.method, exchange.path)
        for exchange in hub.requests
        if exchange.method not in ("GET", "HEAD") and exchange.path != "/api/validate-yaml"
    ]


def changed_heads(before: Mapping[str, str], hub: LocalHub) -> set[str]:
    """Return the repos that somebody committed to since."""
    return {repo for repo, head in heads(hub).items() if before.get(repo) != head}


def files_in_last_commit(hub: LocalHub, repo: str) -> set[str]:
    """Return the names of the files that the newest commit of a repo changed."""
    with Repo(str(hub.repository_path(repo))) as git:
        commit = git[ObjectID(heads(hub)[repo].encode())]
        assert isinstance(commit, Commit)
        (parent,) = (git[name] for name in commit.parents)
        assert isinstance(parent, Commit)
        changes = tree_changes(git.object_store, parent.tree, commit.tree)
        entries = [change.new or change.old for change in changes]
        return {entry.path.decode() for entry in entries if entry is not None and entry.path}


# Nothing to do


def test_plan_of_unchanged_pairs_builds_uploads_and_reads_nothing(hub: LocalHub) -> None:
    entries = [
        pair("owner/twice-1", **OWN, tags=["captioning"]),
        pair("owner/twice-2", **OWN, private=True, description="Hidden."),
    ]
    first = run(hub, *entries)
    before = heads(hub)

    second = run(hub, *entries)

    assert [result.action for result in second] == ["skipped", "skipped"]
    assert [result.reason for result in second] == [UNCHANGED] * 2
    assert [result.commit for result in second] == [result.commit for result in first]
    assert writes(hub) == []
    assert changed_heads(before, hub) == set()
    assert asked_for(hub, OWN["encoder"]) == asked_for(hub, OWN["decoder"]) == set()


@pytest.mark.parametrize(
    "keys",
    [
        {"encoder": "team/plan-vit@main"},
        {"encoder": "team/plan-vit@refs/heads/main"},
        {"encoder": {"model": "team/plan-vit", "revision": "{commit}"}},
        {"encoder": {"model": "team/plan-vit", "config": "team/plan-vit@{commit}"}},
        {"weights": "safetensors"},
        {"seed": 0, "dtype": "source", "tags": [], "token_ids": {}},
        {"private": False},
        {"adopt": True},
        {"overwrite": True},
    ],
    ids=str,
)
def test_plan_ignores_another_spelling_of_the_same_entry(
    keys: dict[str, Any], hub: LocalHub, neighbour: dict[str, Any]
) -> None:
    before = heads(hub)
    if isinstance(keys.get("encoder"), dict):
        commit = before[OWN["encoder"]]
        spelt = {key: text.format(commit=commit) for key, text in keys["encoder"].items()}
        keys = {"encoder": spelt}

    (result,) = run(hub, {**neighbour, **keys})

    assert (result.action, result.reason) == ("skipped", UNCHANGED)
    assert writes(hub) == []
    assert changed_heads(before, hub) == set()


# Something to do, and no more than that


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"seed": 1}, "seed was 0, is 1."),
        ({"dtype": "float16"}, "dtype was source, is float16."),
        ({"weights": ["safetensors", "flax"]}, "weights was safetensors, is flax, safetensors."),
        ({"token_ids": {"pad": 3}}, "token_ids was not given, is pad: 3."),
        (
            {"decoder": "team/bart"},
            "decoder was team/plan-gpt2@{team/plan-gpt2}, is team/bart@{team/bart}.",
        ),
        (
            {"encoder": {"model": "team/plan-vit", "config": "team/vit"}},
            "encoder's config was team/plan-vit@{team/plan-vit}, is team/vit@{team/vit}.",
        ),
        (
            {"seed": 2, "dtype": "bfloat16"},
            "seed was 0, is 2; dtype was source, is bfloat16.",
        ),
    ],
    ids=str,
)
def test_plan_builds_what_changes_the_bytes(
    keys: dict[str, Any], reason: str, hub: LocalHub, neighbour: dict[str, Any]
) -> None:
    for repo, head in heads(hub).items():
        reason = reason.replace(f"{{{repo}}}", head[:12])
    (made,) = planned(hub, {**neighbour, **keys})
    assert (made.name, made.reason) == ("build", reason)


def test_plan_names_a_new_assembly_version_as_the_reason(
    hub: LocalHub, neighbour: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "ASSEMBLY_VERSION", fingerprint.ASSEMBLY_VERSION + 1)
    (made,) = planned(hub, neighbour)
    assert made.name == "build"
    assert "version of VED" in made.reason
    assert "local source" not in made.reason


def test_plan_builds_only_changed_pairs(
    hub: LocalHub, published: dict[str, Any], neighbour: dict[str, Any]
) -> None:
    before = heads(hub)
    entries = [neighbour, {**published, "seed": 1, "tags": ["new"]}]

    results = run(hub, *entries)

    assert [result.action for result in results] == ["skipped", "built"]
    assert results[1].reason == "seed was 0, is 1."
    assert changed_heads(before, hub) == {published["repo"]}
    assert {"ved.json", "README.md"} < files_in_last_commit(hub, published["repo"])
    assert [result.action for result in run(hub, *entries)] == ["skipped", "skipped"]


def test_plan_builds_pairs_of_a_source_with_a_new_commit(
    hub: LocalHub, tmp_path: Path, neighbour: dict[str, Any]
) -> None:
    old = publish(hub, "team/plan-moving", checkpoints.vit(tmp_path / "old", seed=21))
    entries = [
        neighbour,
        pair("owner/follows", decoder=OWN["decoder"], encoder="team/plan-moving"),
        pair("owner/stays", decoder=OWN["decoder"], encoder=f"team/plan-moving@{old}"),
    ]
    run(hub, *entries)
    directory = checkpoints.vit(tmp_path / "new", seed=22)
    new = client(hub).upload_folder(repo_id="team/plan-moving", folder_path=directory).oid
    before = heads(hub)

    results = run(hub, *entries)

    assert [result.action for result in results] == ["skipped", "built", "skipped"]
    assert results[1].reason == (
        f"encoder was team/plan-moving@{old[:12]}, is team/plan-moving@{new[:12]}."
    )
    assert changed_heads(before, hub) == {"owner/follows"}


@pytest.mark.parametrize(
    "keys",
    [
        {"description": "For captions of photographs."},
        {"tags": ["captioning"]},
        {"license": "mit"},
        {"language": ["en", "de"]},
        {"tags": ["captioning"], "private": True},
    ],
    ids=str,
)
def test_plan_renews_only_the_card_if_only_the_card_changes(
    keys: dict[str, Any],
    hub: LocalHub,
    published: dict[str, Any],
    neighbour: dict[str, Any],
    tmp_path: Path,
) -> None:
    before, served = heads(hub), download(hub, published["repo"], tmp_path / "before")
    entries = [neighbour, {**published, **keys}]
    assert [each.name for each in planned(hub, *entries)] == ["skip", "card-only"]

    results = run(hub, *entries)

    assert [result.action for result in results] == ["skipped", "card-only"]
    assert changed_heads(before, hub) == {published["repo"]}
    assert files_in_last_commit(hub, published["repo"]) == {"README.md", "ved.json"}
    assert asked_for(hub, OWN["encoder"]) == asked_for(hub, OWN["decoder"]) == set()
    assert not [path for _, path in writes(hub) if path.startswith("/lfs/")]
    now = download(hub, published["repo"], tmp_path / "now")
    assert {name for name in served if served[name] != now[name]} == {"README.md", "ved.json"}
    assert client(hub).model_info(published["repo"]).private == keys.get("private", False)
    assert [result.action for result in run(hub, *entries)] == ["skipped", "skipped"]


@pytest.mark.parametrize(("private", "visibility"), [(True, "private"), (False, "public")])
def test_plan_sets_visibility_with_one_request(
    private: bool,
    visibility: str,
    hub: LocalHub,
    published: dict[str, Any],
    neighbour: dict[str, Any],
) -> None:
    client(hub).update_repo_settings(published["repo"], private=not private)
    before = heads(hub)
    entries = [neighbour, {**published, "private": private}]
    assert [each.name for each in planned(hub, *entries)] == ["skip", "card-only"]

    results = run(hub, *entries)

    assert [result.action for result in results] == ["skipped", "card-only"]
    assert visibility in results[1].reason
    assert writes(hub) == [("PUT", f"/api/models/{published['repo']}/settings")]
    assert changed_heads(before, hub) == set()
    assert client(hub).model_info(published["repo"]).private == private
    assert [result.action for result in run(hub, *entries)] == ["skipped", "skipped"]


def test_plan_leaves_visibility_that_the_pair_omits(
    hub: LocalHub, published: dict[str, Any]
) -> None:
    client(hub).update_repo_settings(published["repo"], private=True)
    (result,) = run(hub, published)
    assert result.action == "skipped"
    assert writes(hub) == []


@pytest.mark.parametrize("emptied", [True, False])
def test_plan_builds_into_an_empty_repo(
    emptied: bool, hub: LocalHub, published: dict[str, Any]
) -> None:
    api, entry = client(hub), published
    if emptied:
        api.delete_files(
            entry["repo"], ["*.json", "*.txt", "*.md", "*.svg", "*.msgpack", "*.safetensors"]
        )
    else:
        entry = {**published, "repo": f"{published['repo']}-new"}
        api.create_repo(entry["repo"])
    assert api.list_repo_files(entry["repo"]) == [".gitattributes"]

    (result,) = run(hub, entry)

    assert result.action == "built"
    assert [each.name for each in planned(hub, entry)] == ["skip"]


# What somebody else did there


def _upload(name: str, content: bytes) -> Callable[[HfApi, str], object]:
    return lambda api, repo: api.upload_file(
        path_or_fileobj=content, path_in_repo=name, repo_id=repo
    )


def _edit_card(api: HfApi, repo: str) -> object:
    card = Path(api.hf_hub_download(repo, "README.md")).read_bytes()
    return _upload("README.md", card + b"\nTrained by me.\n")(api, repo)


def _train(api: HfApi, repo: str) -> object:
    _upload("model.safetensors", b"trained")(api, repo)
    return _upload("flax_model.msgpack", b"trained")(api, repo)


CHANGES: dict[str, tuple[Callable[[HfApi, str], object], str]] = {
    "train": (_train, "flax_model.msgpack, model.safetensors"),
    "edit the card": (_edit_card, "README.md"),
    "replace the card": (
        _upload("README.md", b"---\nlicense: mit\n---\nMine.\n"),
        "README.md",
    ),
    "add weights": (_upload("pytorch_model.bin", b"trained"), "pytorch_model.bin"),
    "add a tokenizer's file": (_upload("added_tokens.json", b"{}"), "added_tokens.json"),
    "delete a file": (
        lambda api, repo: api.delete_file("tokenizer.json", repo),
        "tokenizer.json",
    ),
    "damage the record": (_upload("ved.json", b'{"format": 1'), "ved.json of"),
    "write a record of another format": (
        _upload("ved.json", b'{"format": 2}'),
        "format:",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_plan_refuses_a_changed_repo_without_overwrite(
    change: str, hub: LocalHub, published: dict[str, Any]
) -> None:
    do, expected = CHANGES[change]
    do(client(hub), published["repo"])
    before = heads(hub)
    for changes in ({}, {"seed": 1, "tags": ["new"], "private": True, "adopt": True}):
        (refused,) = run(hub, {**published, **changes})
        assert refused.action == "refused", changes
        assert expected in refused.reason
        assert "overwrite: true" in refused.reason
        (error,) = [found for found in refused.findings if found.level == "error"]
        assert (error.key, error.code) == ("repo", "changed-since")
        assert writes(hub) == []
        assert changed_heads(before, hub) == set()

    (made,) = planned(hub, {**published, "overwrite": True})
    assert made.name == "build"
    assert made.reason.startswith("overwrite: ")


def test_plan_with_overwrite_restores_every_file(
    hub: LocalHub, published: dict[str, Any], tmp_path: Path
) -> None:
    served = download(hub, published["repo"], tmp_path / "before")
    for do, _ in CHANGES.values():
        do(client(hub), published["repo"])

    (result,) = run(hub, {**published, "overwrite": True})

    assert result.action == "built"
    assert download(hub, published["repo"], tmp_path / "now") == served
    assert [each.name for each in planned(hub, published)] == ["skip"]


def test_plan_ignores_added_files_outside_the_checkpoint(
    hub: LocalHub, published: dict[str, Any]
) -> None:
    _upload("notes.txt", b"By hand.")(client(hub), published["repo"])
    assert [each.name for each in planned(hub, published)] == ["skip"]


def test_plan_refuses_a_repo_without_a_record(hub: LocalHub, published: dict[str, Any]) -> None:
    client(hub).delete_file("ved.json", published["repo"])
    before = heads(hub)
    for changes in ({}, {"overwrite": True}):
        (refused,) = run(hub, {**published, **changes})
        assert refused.action == "refused"
        assert refused.codes == [ErrorCode.FOREIGN_REPO]
        assert "adopt: true" in refused.reason
    assert changed_heads(before, hub) == set()

    (result,) = run(hub, {**published, "adopt": True})

    assert result.action == "built"
    assert [each.name for each in planned(hub, published)] == ["skip"]


# Who asks


def test_plan_without_a_token_sees_public_repos(
    hub: LocalHub, published: dict[str, Any], neighbour: dict[str, Any]
) -> None:
    hidden = pair("owner/plan-hidden", **OWN, private=True)
    foreign = pair("nobody/plan-knows", **OWN)
    run(hub, hidden)
    entries = [neighbour, {**published, "seed": 1}, hidden, foreign]

    made = planned(hub, *entries, token=None)

    assert [(each.name, each.reason) for each in made] == [
        ("skip", UNCHANGED),
        ("build", "seed was 0, is 1."),
        ("build", "New repo."),
        ("build", "New repo."),
    ]
    assert planned(hub, hidden)[0].name == "skip"


def test_plan_with_a_read_token_sees_private_repos(
    hub: LocalHub, neighbour: dict[str, Any]
) -> None:
    hub.add_user("owner", token="hf_plan_reads", role="read")
    hidden = pair("owner/plan-read", **OWN, private=True)
    run(hub, hidden)
    entries = [neighbour, hidden, pair("owner/plan-unknown", **OWN), pair("nobody/plan", **OWN)]

    made = planned(hub, *entries, token="hf_plan_reads")

    assert [each.name for each in made] == ["skip", "skip", "build", "refuse"]
    errors = [found.code for found in made[3].findings if found.level == "error"]
    assert errors == [ErrorCode.TOKEN_MAY_NOT_WRITE]
    assert [each.name for each in planned(hub, *entries)] == [each.name for each in made]
    doubts = [found for found in made[2].findings if found.code == ErrorCode.TOKEN_MAY_NOT_WRITE]
    assert [(found.level, found.key) for found in doubts] == [("warning", "repo")]
    assert made[0].findings == ()


def test_plan_refuses_what_fine_grained_token_certainly_cannot_write(hub: LocalHub) -> None:
    scopes = {"owner": ["repo.content.read"], "team": ["repo.content.read", "repo.write"]}
    hub.add_user("owner", token="hf_fine", role="fineGrained", scopes=scopes)
    entries = [pair("owner/plan-fine", **OWN), pair("team/plan-fine", **OWN)]

    refused, made = planned(hub, *entries, token="hf_fine")

    assert (refused.name, made.name) == ("refuse", "build")
    errors = [(found.key, found.code) for found in refused.findings if found.level == "error"]
    assert errors == [("repo", ErrorCode.TOKEN_MAY_NOT_WRITE)]


def test_plan_warns_of_doubtful_role(hub: LocalHub) -> None:
    hub.add_user("helper", token="hf_helper", organizations={"team": "Annotators"})
    (made,) = planned(hub, pair("team/plan-doubt", **OWN), token="hf_helper")
    warnings = [found.code for found in made.findings if found.level == "warning"]
    assert (made.name, warnings) == ("build", [ErrorCode.TOKEN_MAY_NOT_WRITE])


def test_build_with_oauth_token_publishes(hub: LocalHub) -> None:
    hub.add_user("owner", token="hf_oauth", role="oauth")
    assert build_pair(hub, pair("owner/plan-oauth", **OWN), token="hf_oauth").action == "built"


def test_plan_with_an_invalid_token_is_a_wrong_request(hub: LocalHub) -> None:
    with pytest.raises(RequestError):
        planned(hub, pair("owner/plan-wrong"), token="hf_wrong")


MISFORMED = [
    b"[]",
    b"null",
    b"{}",
    b"<html>",
    b'{"id": "a/b", "sha": 7, "siblings": []}',
    b'{"id": "a/b", "sha": "main", "siblings": []}',
    b'{"id": "a/b", "siblings": [{"rfilename": 5}]}',
    b'{"id": "a/b", "siblings": [{"rfilename": "config.json", "size": "big"}]}',
    b'{"id": "a/b", "siblings": [{"rfilename": "x", "lfs": {"size": 1}}]}',
    b'{"id": "a/b", "siblings": 5}',
    b'{"id": "a/b", "lastModified": "yesterday"}',
]


@pytest.mark.parametrize("answer", MISFORMED)
@pytest.mark.parametrize("repo", ["team/gpt2", "owner/plan-lone"])
def test_plan_reports_a_malformed_answer_at_its_own_pair(
    repo: str, answer: bytes, hub: LocalHub, neighbour: dict[str, Any]
) -> None:
    lone = pair("owner/plan-lone", encoder=OWN["encoder"], decoder="team/gpt2")
    hub.faults.add("GET", f"^/api/models/{repo}$", body=answer)

    made, beside = planned(hub, lone, neighbour)

    assert (made.name, beside.name) == ("refuse", "skip")
    assert repo in made.reason
    assert "VED itself failed" not in made.reason


def test_plan_inspects_the_repos_of_a_namespace_that_cannot_be_listed(
    hub: LocalHub, neighbour: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    entries = [neighbour, pair("team/plan-listed", **OWN), pair("owner/plan-listed", **OWN)]
    run(hub, *entries)
    hub.faults.add("GET", "^/api/models$", status=403, times=2)

    made = planned(hub, *entries)

    assert {each.name for each in made} == {"skip"}
    for namespace in ("owner", "team"):
        assert f"Cannot list the models of {namespace}" in caplog.text


# Very many pairs

ManyPairs: TypeAlias = tuple[LocalHub, Manifest]


@contextmanager
def hub_of_many(folder: Path, *, page_size: int, sources: int, pairs: int) -> Iterator[ManyPairs]:
    """Serve a Hub where every one of many pairs is published."""
    vit, gpt2 = checkpoints.vit(folder / "vit"), checkpoints.gpt2(folder / "gpt2")
    encoders = [f"team/vit-{number}" for number in range(sources // 2)]
    decoders = [f"team/gpt2-{number}" for number in range(sources - sources // 2)]
    with LocalHub(page_size=page_size, xet=True) as hub:
        hub.add_user("owner", token=TOKEN, organizations=("team",))
        for directory, repos in ((vit, encoders), (gpt2, decoders)):
            for repo in repos:
                publish(hub, repo, directory)
        yield hub, load(publish_many(hub, encoders, decoders, pairs, folder))


def make_plan(hub: LocalHub, pairs: Manifest) -> list[PlannedAction]:
    """Plan with the owner's token, and leave in the log what that took."""
    hub.requests.clear()
    return plan.make_plan(pairs.pairs, RunOptions(), HubAccess(client(hub)))


def test_plan_of_many_unchanged_pairs_inspects_the_last_changed(tmp_path: Path) -> None:
    with hub_of_many(tmp_path, page_size=1000, sources=20, pairs=100) as (hub, pairs):
        made = make_plan(hub, pairs)

        assert Counter((each.name, each.reason) for each in made) == {("skip", UNCHANGED): 100}
        asked = Counter(re.sub(r"(team|owner)/.*", r"\1", each.path) for each in hub.requests)
        assert asked == {
            "/api/models/team": 20,
            "/api/models": 1,
            "/api/models/owner": INSPECTED_REPOS,
            "/owner": INSPECTED_REPOS,
        }
        assert len(hub.requests) <= 20 + 15
        modified = {repo: each.modified for repo, each in list_repos("owner", client(hub)).items()}
        last = sorted(modified, key=lambda repo: modified[repo])[-INSPECTED_REPOS:]
        looked_at = {
            each.pair.repo for each in made if isinstance(each, Skip) and each.target is not None
        }
        assert looked_at == {*last} != {each.pair.repo for each in made[-INSPECTED_REPOS:]}
        assert {repo for repo in modified if asked_for(hub, repo)} == looked_at


def test_plan_reads_all_pages_of_a_listing(
    tmp_path: Path,
) -> None:
    with hub_of_many(tmp_path, page_size=4, sources=2, pairs=11) as (hub, pairs):
        made = make_plan(hub, pairs)
        assert [each.name for each in made] == ["skip"] * 11
        assert [each.path for each in hub.requests].count("/api/models") == 3

        # Of all of them it was the one that had been left alone for longest.
        modified = {repo: each.modified for repo, each in list_repos("owner", client(hub)).items()}
        trained = min(modified, key=lambda repo: modified[repo])
        assert trained not in {
            each.pair.repo for each in made if isinstance(each, Skip) and each.target is not None
        }
        _train(client(hub), trained)

        made = make_plan(hub, pairs)

        assert {each.pair.repo for each in made if each.name != "skip"} == {trained}
        (refused,) = [each for each in made if each.name == "refuse"]
        assert "flax_model.msgpack, model.safetensors" in refused.reason
