"""Accounts, rights, settings, listings and collections, as the client sees them."""

from collections.abc import Callable

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
)

from tests.localhub.helpers import Ask, Client, Names, head, status
from ved.localhub import LocalHub

pytestmark = pytest.mark.hub

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


def test_whoami_returns_user_organizations_and_role(names: Names, client: Client) -> None:
    alice = client("alice").whoami()
    assert (alice["name"], [org["name"] for org in alice["orgs"]]) == (names.alice, [names.acme])
    assert alice["auth"]["accessToken"]["role"] == "write"
    assert client("alice_read").whoami()["auth"]["accessToken"]["role"] == "read"


def test_whoami_refuses_an_unknown_token(hub: LocalHub) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        HfApi(hub.endpoint, token="hf_unknown").whoami()
    assert error.value.response is not None
    assert error.value.response.status_code == 401


def test_create_repo_refuses_an_existing_repo(alice: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        alice.create_repo(repo)
    assert status(error) == 409
    assert alice.create_repo(repo, exist_ok=True).repo_id == repo


def test_create_repo_defaults_to_the_users_namespace(
    names: Names, alice: HfApi, hub: LocalHub
) -> None:
    url = alice.create_repo("bare-name")
    assert (url, url.repo_id) == (
        f"{hub.endpoint}/{names.alice}/bare-name",
        f"{names.alice}/bare-name",
    )


@pytest.mark.parametrize(("repo_type", "sdk"), [("dataset", None), ("space", "static")])
def test_datasets_and_spaces_are_separate_from_models(
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


@pytest.mark.parametrize("user", ["bob", "alice_read"])
def test_write_endpoints_refuse_a_token_without_rights(
    names: Names, client: Client, repo: str, user: str
) -> None:
    stranger = client(user)
    attempts: list[Callable[[], object]] = [
        lambda: stranger.create_repo(f"{names.acme}/new"),
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


def test_write_endpoints_refuse_a_request_without_token(client: Client, repo: str) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        client(None).create_branch(repo, branch="new")
    assert status(error) == 401


def test_organization_members_write_to_its_repos(client: Client, repo: str) -> None:
    client("carol").upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    assert "x" in client("alice").list_repo_files(repo)


def test_private_repo_is_visible_to_members_only(names: Names, client: Client, repo: str) -> None:
    client("alice").update_repo_settings(repo, private=True)
    assert client("carol").model_info(repo).private is True
    assert client("alice_read").model_info(repo).private is True
    strangers: list[tuple[str | None, int]] = [("bob", 404), (None, 401)]
    for user, expected in strangers:
        with pytest.raises(RepositoryNotFoundError) as error:
            client(user).model_info(repo)
        assert status(error) == expected
        assert repo not in [model.id for model in client(user).list_models(author=names.acme)]
    assert repo in [model.id for model in client("alice").list_models(author=names.acme)]


def test_create_repo_can_create_a_private_repo(names: Names, alice: HfApi, bob: HfApi) -> None:
    alice.create_repo("born-private", private=True)
    assert not bob.repo_exists(f"{names.alice}/born-private")


@pytest.mark.parametrize("missing", ["ACME/no-such-repo", "gpt2", "ACME/..%2FACME", "ACME/x.git"])
def test_model_info_of_a_missing_repo_is_404(names: Names, ask: Ask, missing: str) -> None:
    answer = ask("GET", f"/api/models/{missing.replace('ACME', names.acme)}")
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RepoNotFound")


def test_gated_repo_has_files_for_members_and_metadata_for_all(
    names: Names, client: Client, repo: str, hub: LocalHub
) -> None:
    client("alice").update_repo_settings(repo, gated="auto")
    strangers: list[tuple[str | None, int]] = [("bob", 403), (None, 401)]
    for user, expected in strangers:
        assert client(user).model_info(repo).gated == "auto"
        assert client(user).list_repo_files(repo) == [".gitattributes"]
        with pytest.raises(GatedRepoError) as error:
            client(user).hf_hub_download(repo, ".gitattributes")
        assert status(error) == expected
        with pytest.raises(GatedRepoError):
            client(user).auth_check(repo)
    client("carol").hf_hub_download(repo, ".gitattributes")
    client("alice").update_repo_settings(repo, gated=False)
    client("bob").auth_check(repo)


def test_delete_repo_frees_the_name(alice: HfApi, repo: str) -> None:
    alice.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    alice.delete_repo(repo)
    with pytest.raises(RepositoryNotFoundError):
        alice.delete_repo(repo)
    alice.delete_repo(repo, missing_ok=True)
    alice.create_repo(repo)
    assert alice.list_repo_files(repo) == [".gitattributes"]


@pytest.mark.parametrize("name", ["..", "a--b", "-a", "a.", "a.git", "a/b", "a b", "", "é"])
def test_create_repo_refuses_a_malformed_name(names: Names, ask: Ask, name: str) -> None:
    answer = ask("POST", "/api/repos/create", json={"name": name, "organization": names.acme})
    assert answer.status_code == 400


def test_create_repo_refuses_a_malformed_body(ask: Ask) -> None:
    assert ask("POST", "/api/repos/create", content="{").status_code == 400
    assert ask("POST", "/api/repos/create", json={"name": 1}).status_code == 400


def test_model_info_has_card_data_and_tags(alice: HfApi, repo: str) -> None:
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
    ("metadata", "key"),
    [
        ("license: [", ""),
        ("just words", ""),
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
def test_validate_yaml_refuses_wrong_metadata(
    alice: HfApi, repo: str, metadata: str, key: str
) -> None:
    card = f"---\n{metadata}\n---\n".encode()
    with pytest.raises(ValueError, match=f"Invalid metadata in README.md.\n.*{key}"):
        alice.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo)
    assert alice.list_repo_files(repo) == [".gitattributes"]


def test_validate_yaml_warns_about_missing_metadata(alice: HfApi, repo: str) -> None:
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        alice.upload_file(path_or_fileobj=b"# Hi", path_in_repo="README.md", repo_id=repo)
    assert alice.model_info(repo).card_data is None


def test_list_models_pages_and_filters(
    names: Names, alice: HfApi, bob: HfApi, hub: LocalHub
) -> None:
    repos = [f"{names.bob}/listed-{number}" for number in range(7)]
    for name in repos:
        bob.create_repo(name)
    bob.upload_file(path_or_fileobj=CARD.encode(), path_in_repo="README.md", repo_id=repos[2])
    hub.requests.clear()
    assert [model.id for model in alice.list_models(author=names.bob)] == repos
    assert len(hub.requests) == 3  # pages of three
    tagged = list(
        alice.list_models(author=names.bob, filter=["license:apache-2.0", "en"], full=True)
    )
    assert [model.id for model in tagged] == [repos[2]]
    assert {file.rfilename for file in tagged[0].siblings or []} == {".gitattributes", "README.md"}
    assert [model.id for model in alice.list_models(search=f"{names.bob}/LISTED-3")] == [repos[3]]
    assert len(list(alice.list_models(author=names.bob, limit=2))) == 2


def test_model_info_expand_selects_properties(alice: HfApi, repo: str) -> None:
    info = alice.model_info(repo, expand=["gated", "sha"])
    assert (info.gated, info.sha) == (False, head(alice, repo))
    assert info.siblings is None
    assert alice.model_info(repo, securityStatus=True).security_repo_status is not None


def test_collection_has_each_item_once(names: Names, alice: HfApi, bob: HfApi, repo: str) -> None:
    collection = alice.create_collection("Warm starts!", namespace=names.acme, description="All")
    assert (
        alice.create_collection("Warm starts!", namespace=names.acme, exists_ok=True) == collection
    )
    for _ in range(2):
        collection = alice.add_collection_item(
            collection.slug, repo, "model", note="New", exists_ok=True
        )
    assert [(item.item_id, item.note) for item in collection.items] == [(repo, "New")]
    assert alice.get_collection(collection.slug).items == collection.items
    assert [found.slug for found in alice.list_collections(owner=names.acme)] == [collection.slug]
    attempts: list[Callable[[], object]] = [
        lambda: bob.add_collection_item(collection.slug, repo, "model"),
        lambda: bob.create_collection("Mine", namespace=names.acme),
    ]
    for attempt in attempts:
        with pytest.raises(HfHubHTTPError) as error:
            attempt()
        assert status(error) == 403


def test_collection_item_moves_and_others_keep_their_order(
    names: Names, alice: HfApi, bob: HfApi
) -> None:
    repos = [alice.create_repo(f"{names.acme}/item-{number}").repo_id for number in range(6)]
    slug = alice.create_collection("In order", namespace=names.acme).slug
    for name in repos:
        alice.add_collection_item(slug, name, "model")

    def item_ids() -> list[str]:
        return [item.item_id for item in alice.get_collection(slug).items]

    last = alice.get_collection(slug).items[-1].item_object_id
    alice.update_collection_item(slug, last, position=1, note="New")

    moved = [repos[0], repos[5], *repos[1:5]]
    assert item_ids() == moved
    items = alice.get_collection(slug).items
    assert [item.position for item in items] == [0, 1, 2, 3, 4, 5]
    assert [item.note for item in items] == [None, "New", None, None, None, None]
    (listed,) = (each for each in alice.list_collections(owner=names.acme) if each.slug == slug)
    assert [item.item_id for item in listed.items] == moved[:4]
    attempts: list[tuple[int, Callable[[], object]]] = [
        (403, lambda: bob.update_collection_item(slug, last, position=0)),
        (404, lambda: alice.update_collection_item(slug, "nothing", position=0)),
        (404, lambda: alice.add_collection_item(slug, f"{names.acme}/nowhere", "model")),
    ]
    for expected, attempt in attempts:
        with pytest.raises(HfHubHTTPError) as error:
            attempt()
        assert status(error) == expected
    assert item_ids() == moved


def test_private_collection_is_visible_to_members_only(
    names: Names, alice: HfApi, bob: HfApi
) -> None:
    collection = alice.create_collection("Secret", namespace=names.acme, private=True)
    assert alice.get_collection(collection.slug).private
    with pytest.raises(HfHubHTTPError) as error:
        bob.get_collection(collection.slug)
    assert status(error) == 404
    assert collection.slug not in [found.slug for found in bob.list_collections(owner=names.acme)]
