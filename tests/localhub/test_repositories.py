"""Accounts, rights, settings, listings and collections, as the client sees them."""

from collections.abc import Callable

import pytest
import requests
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
)

from tests.localhub.helpers import head, status
from ved.localhub import LocalHub

Ask = Callable[..., requests.Response]
Client = Callable[[str | bool], HfApi]

CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-to-text
language: [en, no]
base_model:
- google/vit-base-patch16-224
- openai-community/gpt2
base_model_relation: merge
tags: [captioning, transformers]
---
# A card
"""


def test_whoami_tells_user_organizations_and_role(client: Client) -> None:
    alice = client("hf_alice").whoami()
    assert (alice["name"], [org["name"] for org in alice["orgs"]]) == ("alice", ["acme"])
    assert alice["auth"]["accessToken"]["role"] == "write"
    assert client("hf_alice_read").whoami()["auth"]["accessToken"]["role"] == "read"


def test_unknown_token_is_401(client: Client) -> None:
    with pytest.raises(requests.HTTPError, match="Invalid user token"):
        client("hf_nobody").whoami()


def test_creating_a_repo_twice_is_409_unless_it_may_exist(alice: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        alice.create_repo(repo)
    assert status(error) == 409
    assert alice.create_repo(repo, exist_ok=True).repo_id == repo


def test_a_name_without_namespace_is_the_users_own(alice: HfApi, hub: LocalHub) -> None:
    url = alice.create_repo("bare-name")
    assert (url, url.repo_id) == (f"{hub.endpoint}/alice/bare-name", "alice/bare-name")


@pytest.mark.parametrize(("repo_type", "sdk"), [("dataset", None), ("space", "static")])
def test_other_kinds_of_repo_are_apart_from_models(
    alice: HfApi, repo: str, repo_type: str, sdk: str | None
) -> None:
    url = alice.create_repo(repo, repo_type=repo_type, space_sdk=sdk)
    assert (url.repo_id, url.repo_type) == (repo, repo_type)
    commit = alice.upload_file(
        path_or_fileobj=b"x", path_in_repo="x.bin", repo_id=repo, repo_type=repo_type
    )
    assert (commit.repo_url.repo_id, commit.repo_url.repo_type) == (repo, repo_type)
    assert "x.bin" in alice.list_repo_files(repo, repo_type=repo_type)
    assert "x.bin" not in alice.list_repo_files(repo)


@pytest.mark.parametrize("token", ["hf_bob", "hf_alice_read"])
def test_without_write_rights_everything_that_writes_is_403(
    client: Client, repo: str, token: str
) -> None:
    stranger = client(token)
    attempts: list[Callable[[], object]] = [
        lambda: stranger.create_repo("acme/new"),
        lambda: stranger.delete_repo(repo),
        lambda: stranger.update_repo_settings(repo, private=True),
        lambda: stranger.create_branch(repo, branch="new"),
        lambda: stranger.create_tag(repo, tag="new"),
        lambda: stranger.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id=repo),
    ]
    for attempt in attempts:
        with pytest.raises(HfHubHTTPError) as error:
            attempt()
        assert status(error) == 403
    assert stranger.list_repo_files(repo) == [".gitattributes"]


def test_writing_without_a_token_is_401(client: Client, repo: str) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        client(False).create_branch(repo, branch="new")
    assert status(error) == 401


def test_members_share_their_organizations_repos(client: Client, repo: str) -> None:
    client("hf_carol").upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    assert "x" in client("hf_alice").list_repo_files(repo)


def test_a_private_repo_exists_only_for_members(client: Client, repo: str) -> None:
    client("hf_alice").update_repo_settings(repo, private=True)
    assert client("hf_carol").model_info(repo).private is True
    assert client("hf_alice_read").model_info(repo).private is True
    strangers: list[tuple[str | bool, int]] = [("hf_bob", 404), (False, 401)]
    for token, expected in strangers:
        with pytest.raises(RepositoryNotFoundError) as error:
            client(token).model_info(repo)
        assert status(error) == expected
        assert repo not in [model.id for model in client(token).list_models(author="acme")]
    assert repo in [model.id for model in client("hf_alice").list_models(author="acme")]


def test_a_repo_can_be_private_from_its_creation(alice: HfApi, bob: HfApi) -> None:
    alice.create_repo("born-private", private=True)
    assert not bob.repo_exists("alice/born-private")


@pytest.mark.parametrize("missing", ["acme/no-such-repo", "gpt2", "acme/..%2Facme", "acme/x.git"])
def test_a_missing_repo_is_not_found(ask: Ask, missing: str) -> None:
    answer = ask("GET", f"/api/models/{missing}", token="hf_alice")
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RepoNotFound")


def test_files_of_a_gated_repo_are_for_members_and_its_metadata_for_all(
    client: Client, repo: str, hub: LocalHub
) -> None:
    client("hf_alice").update_repo_settings(repo, gated="auto")
    strangers: list[tuple[str | bool, int]] = [("hf_bob", 403), (False, 401)]
    for token, expected in strangers:
        assert client(token).model_info(repo).gated == "auto"
        assert client(token).list_repo_files(repo) == [".gitattributes"]
        with pytest.raises(GatedRepoError) as error:
            hf_hub_download(repo, ".gitattributes", endpoint=hub.endpoint, token=token)
        assert status(error) == expected
        with pytest.raises(GatedRepoError):
            client(token).auth_check(repo)
    hf_hub_download(repo, ".gitattributes", endpoint=hub.endpoint, token="hf_carol")
    client("hf_alice").update_repo_settings(repo, gated=False)
    client("hf_bob").auth_check(repo)


def test_a_deleted_repo_is_gone_and_its_name_is_free(alice: HfApi, repo: str) -> None:
    alice.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    alice.delete_repo(repo)
    with pytest.raises(RepositoryNotFoundError):
        alice.delete_repo(repo)
    alice.delete_repo(repo, missing_ok=True)
    alice.create_repo(repo)
    assert alice.list_repo_files(repo) == [".gitattributes"]


@pytest.mark.parametrize("name", ["..", "a--b", "-a", "a.", "a.git", "a/b", "a b", "", "é"])
def test_a_bad_repo_name_is_400(ask: Ask, name: str) -> None:
    answer = ask("POST", "/api/repos/create", json={"name": name, "organization": "acme"})
    assert answer.status_code == 400


def test_a_malformed_request_is_400(ask: Ask) -> None:
    assert ask("POST", "/api/repos/create", data="{").status_code == 400
    assert ask("POST", "/api/repos/create", json={"name": 1}).status_code == 400


def test_card_data_and_tags_come_from_the_card(alice: HfApi, repo: str) -> None:
    alice.upload_file(path_or_fileobj=CARD.encode(), path_in_repo="README.md", repo_id=repo)
    info = alice.model_info(repo)
    assert info.card_data is not None
    assert info.card_data.language == ["en", "no"]
    assert (info.library_name, info.pipeline_tag) == ("transformers", "image-to-text")
    assert info.tags == [
        "transformers",
        "image-to-text",
        "captioning",
        "en",
        "no",
        "base_model:google/vit-base-patch16-224",
        "base_model:merge:google/vit-base-patch16-224",
        "base_model:openai-community/gpt2",
        "base_model:merge:openai-community/gpt2",
        "license:apache-2.0",
    ]


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ("license: [", "YAML"),
        ("just words", "mapping"),
        ("license: Apache 2.0", "license"),
        ("license: 2.0", "license"),
        ("license: [mit, 'No License']", "license"),
        ("base_model: a/b/c", "base_model"),
        ("base_model: [gpt2, 'not a model']", "base_model"),
        ("language: [en, 3]", "language"),
        ("tags: captioning", "tags"),
        ("tags: [1]", "tags"),
        ("pipeline_tag: [image-to-text]", "pipeline_tag"),
    ],
)
def test_wrong_metadata_stops_a_commit(
    alice: HfApi, repo: str, metadata: str, complaint: str
) -> None:
    card = f"---\n{metadata}\n---\n".encode()
    with pytest.raises(ValueError, match=f"Invalid metadata in README.md.\n.*{complaint}"):
        alice.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo)
    assert alice.list_repo_files(repo) == [".gitattributes"]


def test_a_card_without_metadata_is_a_warning(alice: HfApi, repo: str) -> None:
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        alice.upload_file(path_or_fileobj=b"# Hi", path_in_repo="README.md", repo_id=repo)
    assert alice.model_info(repo).card_data is None


def test_listing_pages_and_filters(alice: HfApi, bob: HfApi, hub: LocalHub) -> None:
    names = [f"bob/listed-{number}" for number in range(7)]
    for name in names:
        bob.create_repo(name)
    bob.upload_file(path_or_fileobj=CARD.encode(), path_in_repo="README.md", repo_id=names[2])
    hub.requests.clear()
    assert [model.id for model in alice.list_models(author="bob")] == names
    assert len(hub.requests) == 3  # pages of three
    tagged = list(alice.list_models(author="bob", filter=["license:apache-2.0", "en"], full=True))
    assert [model.id for model in tagged] == [names[2]]
    assert {file.rfilename for file in tagged[0].siblings or []} == {".gitattributes", "README.md"}
    assert [model.id for model in alice.list_models(search="LISTED-3")] == [names[3]]
    assert len(list(alice.list_models(author="bob", limit=2))) == 2


def test_expand_chooses_what_info_tells(alice: HfApi, repo: str) -> None:
    info = alice.model_info(repo, expand=["gated", "sha"])
    assert (info.gated, info.sha) == (False, head(alice, repo))
    assert info.siblings is None
    assert alice.model_info(repo, securityStatus=True).security_repo_status is not None


def test_collections_take_each_item_once(alice: HfApi, bob: HfApi, repo: str) -> None:
    collection = alice.create_collection("Warm starts!", namespace="acme", description="All")
    assert alice.create_collection("Warm starts!", namespace="acme", exists_ok=True) == collection
    for _ in range(2):
        collection = alice.add_collection_item(
            collection.slug, repo, "model", note="New", exists_ok=True
        )
    assert [(item.item_id, item.note) for item in collection.items] == [(repo, "New")]
    assert alice.get_collection(collection.slug).items == collection.items
    assert [found.slug for found in alice.list_collections(owner="acme")] == [collection.slug]
    attempts: list[Callable[[], object]] = [
        lambda: bob.add_collection_item(collection.slug, repo, "model"),
        lambda: bob.create_collection("Mine", namespace="acme"),
    ]
    for attempt in attempts:
        with pytest.raises(HfHubHTTPError) as error:
            attempt()
        assert status(error) == 403


def test_an_item_of_a_collection_is_moved_and_the_others_make_way(alice: HfApi, bob: HfApi) -> None:
    names = [alice.create_repo(f"acme/item-{number}").repo_id for number in range(6)]
    slug = alice.create_collection("In order", namespace="acme").slug
    for name in names:
        alice.add_collection_item(slug, name, "model")

    def there() -> list[str]:
        return [item.item_id for item in alice.get_collection(slug).items]

    last = alice.get_collection(slug).items[-1].item_object_id
    alice.update_collection_item(slug, last, position=1, note="New")

    moved = [names[0], names[5], *names[1:5]]
    assert there() == moved
    items = alice.get_collection(slug).items
    assert [item.position for item in items] == [0, 1, 2, 3, 4, 5]
    assert [item.note for item in items] == [None, "New", None, None, None, None]
    (listed,) = (each for each in alice.list_collections(owner="acme") if each.slug == slug)
    assert [item.item_id for item in listed.items] == moved[:4]
    attempts: list[tuple[int, Callable[[], object]]] = [
        (403, lambda: bob.update_collection_item(slug, last, position=0)),
        (404, lambda: alice.update_collection_item(slug, "nothing", position=0)),
        (404, lambda: alice.add_collection_item(slug, "acme/nowhere", "model")),
    ]
    for expected, attempt in attempts:
        with pytest.raises(HfHubHTTPError) as error:
            attempt()
        assert status(error) == expected
    assert there() == moved


def test_a_private_collection_is_for_members(alice: HfApi, bob: HfApi) -> None:
    collection = alice.create_collection("Secret", namespace="acme", private=True)
    assert alice.get_collection(collection.slug).private
    with pytest.raises(HfHubHTTPError) as error:
        bob.get_collection(collection.slug)
    assert status(error) == 404
    assert collection.slug not in [found.slug for found in bob.list_collections(owner="acme")]


def test_bad_request_names_what_is_wrong(alice: HfApi, repo: str) -> None:
    with pytest.raises(BadRequestError, match="Invalid reference name"):
        alice.create_branch(repo, branch="refs/pr/7")
