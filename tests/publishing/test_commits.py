"""ved.publishing.commits: what is committed to a repo, what is left alone, and who sees it."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from tests.support.publishing import TOKEN, client, download, heads, publish
from tests.support.raising import raises
from ved.errors import ErrorCode, VedError
from ved.hub import http, retries
from ved.localhub import ActionLimit, LocalHub
from ved.publishing import commits, repos


@pytest.fixture
def api(hub: LocalHub) -> HfApi:
    return client(hub)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Write the smallest directory that VED would publish."""
    return folder(tmp_path / "checkpoint", "config.json", "flax_model.msgpack", "ved.json")


def folder(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"{directory.name}: {name}")
    return directory


def publish_checkpoint(api: HfApi, repo: str, directory: Path, private: bool | None = None) -> str:
    target = repos.read_repo(repo, api)
    return commits.publish(target, directory, private=private, api=api)


def files(api: HfApi, repo: str) -> set[str]:
    return set(api.list_repo_files(repo)) - {".gitattributes"}


# Commits


def test_publish_makes_one_commit_with_all_files(
    hub: LocalHub, api: HfApi, checkpoint: Path, tmp_path: Path
) -> None:
    commit = publish_checkpoint(api, "owner/new", checkpoint)

    latest, *earlier = api.list_repo_commits("owner/new")
    assert latest.commit_id == commit
    assert [files(api, "owner/new"), len(earlier)] == [
        {"config.json", "flax_model.msgpack", "ved.json"},
        1,  # the Hub's own, with .gitattributes
    ]
    served = download(hub, "owner/new", tmp_path)
    assert served["flax_model.msgpack"] == (checkpoint / "flax_model.msgpack").read_bytes()


def test_publish_makes_no_commit_for_same_files(api: HfApi, checkpoint: Path) -> None:
    first = publish_checkpoint(api, "owner/same", checkpoint)
    assert publish_checkpoint(api, "owner/same", checkpoint) == first
    assert len(api.list_repo_commits("owner/same")) == 2


def test_publish_deletes_old_weights_and_keeps_other_files(
    hub: LocalHub, api: HfApi, checkpoint: Path, tmp_path: Path
) -> None:
    weights = (
        *("pytorch_model.bin", "tf_model.h5", "model.safetensors", "model.ckpt", "optimizer.pt"),
        *("model-00001-of-00002.safetensors", "model.safetensors.index.json", "onnx/model.bin"),
    )
    others = ("LICENSE", "notes.txt", "training/log.json", ".gitignore")
    publish(hub, "owner/adopted", folder(tmp_path / "foreign", *weights, *others))

    publish_checkpoint(api, "owner/adopted", checkpoint)

    assert files(api, "owner/adopted") == {
        *("config.json", "flax_model.msgpack", "ved.json"),
        *others,
    }
    assert len(api.list_repo_commits("owner/adopted")) == 3


@pytest.mark.parametrize("is_theirs", [True, False])
def test_publish_deletes_only_the_empty_repo_that_it_created(
    is_theirs: bool,
    hub: LocalHub,
    api: HfApi,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned = repos.read_repo("owner/limited", api)
    if is_theirs:  # somebody has created it since the plan
        api.create_repo("owner/limited", private=True)
    monkeypatch.setattr(hub.behavior, "commit_limit", ActionLimit(0, "hour"))
    with raises(ErrorCode.RATE_LIMIT):
        commits.publish(planned, checkpoint, private=None, api=http.connect(TOKEN))
    assert api.repo_exists("owner/limited") == is_theirs


def test_publish_card_keeps_weights(api: HfApi, checkpoint: Path, tmp_path: Path) -> None:
    publish_checkpoint(api, "owner/with-a-card", checkpoint)
    before = repos.read_repo("owner/with-a-card", api)
    card = folder(tmp_path / "card", "ved.json", "notes.md")

    commit = commits.publish_card(before, card, private=None, api=api)

    after = repos.read_repo("owner/with-a-card", api)
    assert after.head == commit
    assert after.files.keys() == before.files.keys() | {"notes.md"}
    changed = {name for name, file in after.files.items() if before.files.get(name) != file}
    assert changed == {"ved.json", "notes.md"}


def test_publish_recognizes_own_commit_whose_answer_is_lost(
    hub: LocalHub, api: HfApi, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    publish_checkpoint(api, "owner/lost", checkpoint)
    (checkpoint / "config.json").write_text("changed")
    hub.faults.add("POST", "/commit/main$", drop_response=True)

    commit = publish_checkpoint(http.connect(TOKEN), "owner/lost", checkpoint)

    assert commit == heads(hub)["owner/lost"]
    assert len(api.list_repo_commits("owner/lost")) == 3


def test_publish_recognizes_own_repo_whose_answer_is_lost(
    hub: LocalHub, api: HfApi, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    hub.faults.add("POST", "/api/repos/create$", drop_response=True)
    commit = publish_checkpoint(http.connect(TOKEN), "owner/lost-repo", checkpoint)
    assert commit == heads(hub)["owner/lost-repo"]


def test_publish_refuses_commit_made_right_after_creation(
    hub: LocalHub, api: HfApi, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_repo = api.create_repo

    def create_and_commit(repo: str, **keys: Any) -> None:
        create_repo(repo, **keys)
        client(hub).upload_file(path_or_fileobj=b"theirs", path_in_repo="notes.txt", repo_id=repo)

    monkeypatch.setattr(api, "create_repo", create_and_commit)
    with raises(ErrorCode.CHANGED_MEANWHILE, "owner/contested"):
        publish_checkpoint(api, "owner/contested", checkpoint)
    assert files(api, "owner/contested") == {"notes.txt"}


@pytest.mark.parametrize("status", [400, 403, 501])
def test_publish_commits_nothing_if_lfs_upload_fails(
    status: int, hub: LocalHub, api: HfApi, checkpoint: Path, without_xet: None
) -> None:
    hub.faults.add("PUT", "/lfs/models/owner/upload/", times=100, status=status)
    with pytest.raises(VedError) as caught:
        publish_checkpoint(api, "owner/upload", checkpoint)
    code = ErrorCode.TOKEN_MAY_NOT_WRITE if status == 403 else ErrorCode.HUB_DOES_NOT_ANSWER
    assert caught.value.code == code
    assert files(api, "owner/upload") == set()


@pytest.mark.parametrize("oid", ["main", "0123", ""])
def test_publish_refuses_answer_that_is_not_a_commit(
    oid: str, hub: LocalHub, api: HfApi, checkpoint: Path
) -> None:
    body = b'{"success": true, "commitOid": "%s", "commitUrl": "%s/a/b/commit/x"}'
    hub.faults.add("POST", "/commit/main$", body=body % (oid.encode(), hub.endpoint.encode()))
    with pytest.raises(VedError) as caught:
        publish_checkpoint(api, "owner/odd", checkpoint)
    assert caught.value.code == ErrorCode.HUB_DOES_NOT_ANSWER


# Commits by others


def test_publish_does_not_overwrite_commit_made_meanwhile(
    hub: LocalHub, api: HfApi, checkpoint: Path, tmp_path: Path
) -> None:
    publish_checkpoint(api, "owner/raced", checkpoint)
    target = repos.read_repo("owner/raced", api)
    theirs = api.upload_folder(
        repo_id="owner/raced", folder_path=folder(tmp_path / "theirs", "notes.txt")
    )
    (checkpoint / "config.json").write_text("changed")

    with pytest.raises(VedError) as caught:
        commits.publish(target, checkpoint, private=None, api=api)

    assert caught.value.code == ErrorCode.CHANGED_MEANWHILE
    assert heads(hub)["owner/raced"] == theirs.oid


def test_publish_keeps_visibility_if_commit_fails(
    api: HfApi, checkpoint: Path, tmp_path: Path
) -> None:
    publish_checkpoint(api, "owner/raced-in-private", checkpoint, private=True)
    target = repos.read_repo("owner/raced-in-private", api)
    api.upload_folder(
        repo_id="owner/raced-in-private", folder_path=folder(tmp_path / "theirs", "secret.txt")
    )
    (checkpoint / "config.json").write_text("changed")

    with pytest.raises(VedError) as caught:
        commits.publish(target, checkpoint, private=False, api=api)

    assert caught.value.code == ErrorCode.CHANGED_MEANWHILE
    assert api.model_info("owner/raced-in-private").private


def test_publish_does_not_overwrite_repo_created_meanwhile(
    hub: LocalHub, api: HfApi, checkpoint: Path, tmp_path: Path
) -> None:
    target = repos.read_repo("owner/taken", api)
    theirs = publish(hub, "owner/taken", folder(tmp_path / "theirs", "notes.txt"))

    with pytest.raises(VedError) as caught:
        commits.publish(target, checkpoint, private=None, api=api)

    assert caught.value.code == ErrorCode.CHANGED_MEANWHILE
    assert heads(hub)["owner/taken"] == theirs


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/preupload/"),
        ("POST", "/info/lfs/objects/batch"),
        ("POST", "/commit/main"),
    ],
)
def test_publish_fills_empty_repo_of_failed_run(
    method: str, path: str, hub: LocalHub, api: HfApi, checkpoint: Path, without_xet: None
) -> None:
    repo = "owner/interrupted"
    (checkpoint / "README.md").write_text("---\nlicense: mit\n---\n")
    hub.faults.add(method, path, status=400)

    with pytest.raises(VedError) as caught:
        publish_checkpoint(api, repo, checkpoint)
    assert repo in caught.value.cause
    assert files(api, repo) == set()

    target = repos.read_repo(repo, api)
    assert not target.is_foreign
    commits.publish(target, checkpoint, private=None, api=api)
    assert files(api, repo) == {"README.md", "config.json", "flax_model.msgpack", "ved.json"}


# Secrets


@pytest.mark.parametrize("in_environment", [False, True])
def test_publish_refuses_files_that_contain_the_token(
    in_environment: bool,
    hub: LocalHub,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (checkpoint / "config.json").write_text(f'{{"note": "{TOKEN}"}}')
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    api = client(hub, None if in_environment else TOKEN)
    with pytest.raises(VedError) as caught:
        publish_checkpoint(api, "owner/leaking", checkpoint)
    assert caught.value.code == ErrorCode.SECRET_IN_CHECKPOINT
    assert "config.json" in caught.value.cause
    assert TOKEN not in str(caught.value)
    assert not api.repo_exists("owner/leaking")


# Visibility


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        (None, None, False),
        (None, True, True),
        (None, False, False),
        (False, None, False),
        (False, True, True),
        (True, None, True),
        (True, False, False),
        (True, True, True),
    ],
)
def test_publish_sets_or_keeps_visibility(
    before: bool | None, wanted: bool | None, after: bool, api: HfApi, checkpoint: Path
) -> None:
    repo = f"owner/private-{before}-{wanted}"
    if before is not None:
        publish_checkpoint(api, repo, checkpoint, private=before)
    publish_checkpoint(api, repo, checkpoint, private=wanted)
    assert api.model_info(repo).private == after


def test_publish_creates_private_repo_that_is_never_public(hub: LocalHub, checkpoint: Path) -> None:
    publish_checkpoint(client(hub), "owner/secret", checkpoint, private=True)
    assert not [exchange for exchange in hub.requests if exchange.path.endswith("/settings")]


def test_publish_names_commit_if_repo_stays_private(
    hub: LocalHub, api: HfApi, checkpoint: Path
) -> None:
    publish_checkpoint(api, "owner/refused", checkpoint, private=True)
    (checkpoint / "config.json").write_text("changed")
    hub.faults.add("PUT", "/owner/refused/settings$", status=403)

    with pytest.raises(commits.VisibilityError) as caught:
        publish_checkpoint(api, "owner/refused", checkpoint, private=False)

    error = caught.value
    assert error.code == ErrorCode.VISIBILITY_NOT_CHANGED
    assert error.commit == heads(hub)["owner/refused"]
    assert error.commit in error.cause
    assert api.model_info("owner/refused").private
    assert publish_checkpoint(api, "owner/refused", checkpoint, private=False) == error.commit
    assert not api.model_info("owner/refused").private


def test_publish_commits_nothing_if_repo_cannot_become_private(
    hub: LocalHub, api: HfApi, checkpoint: Path
) -> None:
    head = publish_checkpoint(api, "owner/open", checkpoint)
    (checkpoint / "config.json").write_text("for few eyes")
    hub.faults.add("PUT", "/owner/open/settings$", status=403)

    with pytest.raises(VedError) as caught:
        publish_checkpoint(api, "owner/open", checkpoint, private=True)

    assert caught.value.code == ErrorCode.VISIBILITY_NOT_CHANGED
    assert not isinstance(caught.value, commits.VisibilityError)
    assert heads(hub)["owner/open"] == head


def test_set_visibility_has_code_if_refused(hub: LocalHub, api: HfApi) -> None:
    api.create_repo("owner/x")
    commits.set_visibility("owner/x", True, api)
    assert api.model_info("owner/x").private
    hub.faults.add("PUT", "/owner/x/settings$", status=403)
    with pytest.raises(VedError) as caught:
        commits.set_visibility("owner/x", False, api)
    assert caught.value.code == ErrorCode.VISIBILITY_NOT_CHANGED
