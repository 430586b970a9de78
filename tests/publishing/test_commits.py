"""What is done to the repos that VED publishes to, and what is left alone."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tests.support.publishing import TOKEN, client, download, heads, publish
from ved.errors import RequestError, VedError
from ved.hub import account, card_validation
from ved.localhub import LocalHub
from ved.publishing import commits, repos
from ved.publishing.repos import TargetRepo


@pytest.fixture
def api(hub: LocalHub) -> HfApi:
    return client(hub)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Write the least that VED would publish."""
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


# Who may publish where


def test_a_token_can_publish_to_its_user_and_organisations(api: HfApi) -> None:
    assert account.writable_namespaces(api) == {"owner", "team"}


def test_namespaces_are_in_lower_case_however_their_accounts_are_spelt(hub: LocalHub) -> None:
    hub.add_user("Camel", token="hf_camel", organizations=("Hump",))
    namespaces = account.writable_namespaces(client(hub, "hf_camel"))
    assert namespaces == {"camel", "hump"}
    account.check_namespace("HUMP/x", namespaces)


def test_a_namespace_that_is_not_ours_is_refused() -> None:
    with pytest.raises(VedError) as caught:
        account.check_namespace("stranger/x", frozenset({"owner", "team"}))
    assert caught.value.cause == "The token may not publish to stranger."
    assert "It may publish to owner, team" in caught.value.remedy


@pytest.mark.parametrize(
    ("token", "cause", "remedy"),
    [
        ("hf_wrong", "the token is not valid", "Make a new one in the Hub's settings"),
        (None, "There is no token, so nothing can be published", "the variable HF_TOKEN"),
        ("hf_read", "The token can only read", "Make one with the role 'write'"),
    ],
)
def test_a_token_that_cannot_publish_is_a_wrong_request(
    token: str | None, cause: str, remedy: str, hub: LocalHub
) -> None:
    hub.add_user("owner", token="hf_read", role="read")
    with pytest.raises(RequestError) as caught:
        account.writable_namespaces(client(hub, token))
    assert cause in caught.value.cause
    assert remedy in caught.value.remedy


def test_the_token_may_be_in_the_environment(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "owner" in account.writable_namespaces(client(hub, None))


def test_without_a_token_nobody_knows_the_namespaces(hub: LocalHub) -> None:
    assert account.known_namespaces(client(hub, None)) is None
    assert hub.requests == []


def test_namespaces_are_known_by_a_token_that_can_only_read(hub: LocalHub) -> None:
    hub.add_user("owner", token="hf_reader", role="read")
    known = account.known_namespaces(client(hub, "hf_reader"))
    assert known == frozenset({"owner", "team"})


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        ("hf_wrong", "Cannot log in to the Hub: the token is not valid"),
        ("hf_a token", "The token has characters that no token has"),
        ("hf_token\n", "The token has characters that no token has"),
    ],
)
def test_a_wrong_token_is_a_wrong_request_in_a_plan_too(
    token: str, cause: str, hub: LocalHub
) -> None:
    with pytest.raises(RequestError) as caught:
        account.known_namespaces(client(hub, token))
    assert caught.value.cause.startswith(cause)


# What the Hub has to say before anything is built


def test_metadata_that_the_hub_would_refuse_is_refused_beforehand(
    hub: LocalHub, api: HfApi
) -> None:
    card_validation.validate_card("license: mit", "owner/x", api)
    with pytest.raises(VedError) as caught:
        card_validation.validate_card("license: [", "owner/x", api)
    assert caught.value.cause.startswith("Cannot describe owner/x: the Hub refuses it (")
    assert caught.value.remedy == "Correct what it names in the manifest."


# Whose a repo is


def test_a_repo_that_is_not_there_is_nobodys(api: HfApi) -> None:
    assert repos.read_repo("owner/nothing", api) == TargetRepo("owner/nothing")
    assert not TargetRepo("owner/nothing").is_foreign


def test_an_empty_repo_is_nobodys(api: HfApi) -> None:
    api.create_repo("owner/empty", private=True)
    target = repos.read_repo("owner/empty", api)
    assert target.files.keys() == {".gitattributes"}
    assert target.private is True
    assert not target.is_foreign


def test_a_repo_of_ved_is_ours(api: HfApi, checkpoint: Path) -> None:
    publish_checkpoint(api, "owner/ours", checkpoint)
    assert not repos.read_repo("owner/ours", api).is_foreign


def test_any_other_repo_is_somebodys(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    publish(hub, "owner/somebodys", folder(tmp_path / "work", "notes.txt"))
    assert repos.read_repo("owner/somebodys", api).is_foreign


# One commit


def test_a_new_repo_gets_one_commit_with_every_file(
    hub: LocalHub, api: HfApi, checkpoint: Path, tmp_path: Path
) -> None:
    commit = publish_checkpoint(api, "owner/new", checkpoint)

    latest, *earlier = api.list_repo_commits("owner/new")
    assert latest.commit_id == commit
    url = repos.commit_url("owner/new", commit, api.endpoint)
    assert url == f"{hub.endpoint}/owner/new/commit/{commit}"
    assert [files(api, "owner/new"), len(earlier)] == [
        {"config.json", "flax_model.msgpack", "ved.json"},
        1,  # the Hub's own, with .gitattributes
    ]
    served = download(hub, "owner/new", tmp_path)
    assert served["flax_model.msgpack"] == (checkpoint / "flax_model.msgpack").read_bytes()


def test_publishing_the_same_again_makes_no_commit(api: HfApi, checkpoint: Path) -> None:
    first = publish_checkpoint(api, "owner/same", checkpoint)
    assert publish_checkpoint(api, "owner/same", checkpoint) == first
    assert len(api.list_repo_commits("owner/same")) == 2


def test_old_weights_go_and_other_files_stay(
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


def test_a_new_card_leaves_the_weights_that_are_there(
    hub: LocalHub, api: HfApi, checkpoint: Path, tmp_path: Path
) -> None:
    publish_checkpoint(api, "owner/with-a-card", checkpoint)
    before = repos.read_repo("owner/with-a-card", api)
    card = folder(tmp_path / "card", "ved.json", "notes.md")

    commit = commits.publish_card(before, card, private=None, api=api)

    after = repos.read_repo("owner/with-a-card", api)
    assert after.head == commit
    assert after.files.keys() == before.files.keys() | {"notes.md"}
    changed = {name for name, file in after.files.items() if before.files.get(name) != file}
    assert changed == {"ved.json", "notes.md"}


def test_a_commit_made_meanwhile_is_not_overwritten(
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

    assert caught.value.cause == (
        "Cannot publish owner/raced: somebody else committed to it meanwhile."
    )
    assert caught.value.remedy == "Nothing was changed; run again."
    assert heads(hub)["owner/raced"] == theirs.oid


def test_a_commit_made_meanwhile_leaves_the_visibility_as_it_was(
    api: HfApi, checkpoint: Path, tmp_path: Path
) -> None:
    publish_checkpoint(api, "owner/raced-in-private", checkpoint, private=True)
    target = repos.read_repo("owner/raced-in-private", api)
    api.upload_folder(
        repo_id="owner/raced-in-private", folder_path=folder(tmp_path / "theirs", "secret.txt")
    )
    (checkpoint / "config.json").write_text("changed")

    with pytest.raises(VedError, match="meanwhile"):
        commits.publish(target, checkpoint, private=False, api=api)

    assert api.model_info("owner/raced-in-private").private


def test_a_repo_created_meanwhile_is_not_overwritten(
    hub: LocalHub, api: HfApi, checkpoint: Path, tmp_path: Path
) -> None:
    target = repos.read_repo("owner/taken", api)
    theirs = publish(hub, "owner/taken", folder(tmp_path / "theirs", "notes.txt"))

    with pytest.raises(VedError, match=r"Cannot create owner/taken: it exists"):
        commits.publish(target, checkpoint, private=None, api=api)

    assert heads(hub)["owner/taken"] == theirs


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/preupload/"),
        ("POST", "/info/lfs/objects/batch"),
        ("POST", "/api/validate-yaml"),
        ("POST", "/commit/main"),
    ],
)
def test_a_failure_on_the_way_leaves_an_empty_repo_that_is_filled_next_time(
    method: str, path: str, hub: LocalHub, api: HfApi, checkpoint: Path
) -> None:
    repo = f"owner/interrupted-at-{path.strip('/').replace('/', '-')}"
    (checkpoint / "README.md").write_text("---\nlicense: mit\n---\n")
    hub.faults.add(method, path, status=400)

    with pytest.raises(VedError, match=f"Cannot publish {repo}: "):
        publish_checkpoint(api, repo, checkpoint)
    assert files(api, repo) == set()

    target = repos.read_repo(repo, api)
    assert not target.is_foreign
    commits.publish(target, checkpoint, private=None, api=api)
    assert files(api, repo) == {"README.md", "config.json", "flax_model.msgpack", "ved.json"}


@pytest.mark.parametrize("in_environment", [False, True])
def test_no_repo_is_created_for_files_that_hold_the_token(
    in_environment: bool,
    hub: LocalHub,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (checkpoint / "config.json").write_text(f'{{"note": "{TOKEN}"}}')
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    api = client(hub, None if in_environment else TOKEN)
    with pytest.raises(VedError, match=r"config\.json holds the token that it would be published"):
        publish_checkpoint(api, "owner/leaking", checkpoint)
    assert not api.repo_exists("owner/leaking")


# Who sees a repo


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
def test_a_repo_is_as_private_as_the_manifest_says_or_as_it_was(
    before: bool | None, wanted: bool | None, after: bool, api: HfApi, checkpoint: Path
) -> None:
    repo = f"owner/private-{before}-{wanted}"
    if before is not None:
        publish_checkpoint(api, repo, checkpoint, private=before)
    publish_checkpoint(api, repo, checkpoint, private=wanted)
    assert api.model_info(repo).private == after


def test_a_repo_that_is_to_be_private_is_never_public(hub: LocalHub, checkpoint: Path) -> None:
    api = client(hub)
    publish_checkpoint(api, "owner/secret", checkpoint, private=True)
    assert not [exchange for exchange in hub.requests if exchange.path.endswith("/settings")]


# What the Hub answers, in words


@pytest.mark.parametrize(
    ("status", "cause", "remedy"),
    [
        (400, "the Hub refuses it", ""),
        (403, "the token may not do that", "Give the token the right to read it"),
        (404, "the Hub answers with status 404", "Run again"),
        (429, "the Hub asks for fewer requests", "Wait a few minutes and run again."),
        (500, "the Hub answers with status 500", "Run again; if it stays, the Hub is ill."),
        (503, "the Hub answers with status 503", "Run again; if it stays, the Hub is ill."),
    ],
)
def test_what_the_hub_answers_is_explained(
    status: int, cause: str, remedy: str, hub: LocalHub, api: HfApi
) -> None:
    hub.faults.add("GET", "/api/models/owner/x", status=status)
    with pytest.raises(VedError) as caught:
        repos.read_repo("owner/x", api)
    assert caught.value.cause.startswith(f"Cannot read owner/x: {cause}")
    assert remedy in caught.value.remedy


def test_a_hub_that_is_not_there_is_explained(unused_port: int) -> None:
    with pytest.raises(RequestError) as caught:
        account.writable_namespaces(HfApi(f"http://127.0.0.1:{unused_port}", token=TOKEN))
    assert caught.value.cause == "Cannot log in to the Hub: the Hub does not answer."
    assert "Check the endpoint and the network" in caught.value.remedy
