"""Tokens, roles, moved repos and refusals of the local Hub, as the real one has them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

from tests.localhub.helpers import Ask, Client, Names, status
from tests.support.web import web
from ved.localhub import LocalHub, Organization

pytestmark = pytest.mark.hub


@pytest.fixture(autouse=True)
def plain_behavior(hub: LocalHub) -> Iterator[None]:
    """Restore the behavior of the shared hub after a test."""
    before = {**vars(hub.behavior), "restrictions": {}}
    yield
    vars(hub.behavior).update(before)


def refused(action: Callable[[], object]) -> int | None:
    """Return the status with which the Hub refuses an action; None if it does not."""
    try:
        action()
    except HfHubHTTPError as error:
        return None if error.response is None else int(error.response.status_code)
    return None


def write(api: HfApi, repo: str) -> int | None:
    return refused(
        lambda: api.create_commit(repo, [CommitOperationAdd("x", b"x")], commit_message="x")
    )


def test_whoami_of_oauth_token_has_type_only(hub: LocalHub, names: Names) -> None:
    hub.add_user(names.alice, token="hf_oauth", role="oauth")
    api = HfApi(hub.endpoint, token="hf_oauth")
    assert api.whoami()["auth"] == {"type": "oauth"}
    api.create_repo(f"{names.alice}/by-oauth")


@pytest.mark.parametrize(
    ("role", "creates", "writes_own", "writes_other"),
    [
        ("admin", None, None, None),
        ("write", None, None, None),
        ("my-role", None, None, None),
        ("contributor", None, None, 403),
        ("read", 403, 403, 403),
        ("no_access", 403, 403, 403),
    ],
)
def test_role_in_organization_decides_writes(
    role: str,
    creates: int | None,
    writes_own: int | None,
    writes_other: int | None,
    hub: LocalHub,
    names: Names,
    repo: str,
) -> None:
    hub.add_user("member", token="hf_member", organizations={names.acme: role})
    api = HfApi(hub.endpoint, token="hf_member")
    (organization,) = [each for each in api.whoami()["orgs"] if each["name"] == names.acme]
    assert organization["roleInOrg"] == role
    own = f"{names.acme}/own"
    assert refused(lambda: api.create_repo(own)) == creates
    assert write(api, own) in ((writes_own,) if creates is None else (404,))
    assert write(api, repo) == writes_other


def test_fine_grained_token_writes_where_scoped(hub: LocalHub, names: Names, repo: str) -> None:
    scopes = {names.alice: ["repo.content.read"], repo: ["repo.write"]}
    hub.add_user(names.alice, token="hf_fine", role="fineGrained", scopes=scopes)
    api = HfApi(hub.endpoint, token="hf_fine")
    token = api.whoami()["auth"]["accessToken"]
    assert token["role"] == "fineGrained"
    types = {
        each["entity"]["name"]: each["entity"]["type"] for each in token["fineGrained"]["scoped"]
    }
    assert types == {names.alice: "user", repo: "model"}
    assert write(api, repo) is None
    assert refused(lambda: api.create_repo(f"{names.alice}/new")) == 403
    assert refused(lambda: api.create_repo(f"{names.acme}/new")) == 403
    assert refused(lambda: api.create_collection("x", namespace=names.acme)) == 403


def test_organization_can_demand_groups_and_security(hub: LocalHub, names: Names) -> None:
    api = HfApi(hub.endpoint, token=names.token("alice"))
    hub.add_organization(
        names.acme, Organization(resource_groups=["ml"], demands_resource_group=True)
    )
    (organization,) = api.whoami()["orgs"]
    assert [each["name"] for each in organization["resourceGroups"]] == ["ml"]
    assert refused(lambda: api.create_repo(f"{names.acme}/new")) == 403
    hub.add_organization(names.acme, Organization(security_restrictions=["sso"]))
    (organization,) = api.whoami()["orgs"]
    assert organization["securityRestrictions"] == ["sso"]
    assert refused(lambda: api.create_repo(f"{names.acme}/new")) == 403


def test_moved_repo_redirects_reads_and_writes(names: Names, alice: HfApi, repo: str) -> None:
    new = f"{names.alice}/elsewhere"
    alice.move_repo(repo, new)
    assert alice.model_info(repo).id == new
    assert alice.list_repo_files(repo) == [".gitattributes"]
    assert write(alice, repo) is None
    assert alice.list_repo_files(new) == [".gitattributes", "x"]
    assert alice.file_exists(repo, "x")


def test_moved_repo_answers_307(names: Names, alice: HfApi, repo: str, ask: Ask) -> None:
    alice.move_repo(repo, f"{names.alice}/moved")
    for method, path in (
        ("GET", f"/api/models/{repo}?blobs=true"),
        ("POST", f"/api/models/{repo}/preupload/main"),
        ("HEAD", f"/{repo}/resolve/main/x"),
    ):
        answer = ask(method, path, follow_redirects=False)
        assert answer.status_code == 307
        assert answer.headers["Location"] == path.replace(repo, f"{names.alice}/moved")


def test_moved_private_repo_is_missing_for_strangers(
    names: Names, alice: HfApi, bob: HfApi, repo: str
) -> None:
    alice.update_repo_settings(repo, private=True)
    alice.move_repo(repo, f"{names.alice}/moved-private")
    assert not bob.repo_exists(repo)


def test_listing_without_digests_has_them_in_tree(hub: LocalHub, alice: HfApi, repo: str) -> None:
    hub.behavior.lists_digests = False
    siblings = alice.model_info(repo, files_metadata=True).siblings or []
    assert [each.blob_id for each in siblings] == [None]
    (file,) = alice.list_repo_tree(repo)
    assert len(file.blob_id) == 40  # type: ignore[union-attr]


def test_private_is_ignored_if_hub_disobeys(hub: LocalHub, names: Names, alice: HfApi) -> None:
    hub.behavior.obeys_private = False
    repo = alice.create_repo(f"{names.alice}/open", private=True).repo_id
    alice.update_repo_settings(repo, private=True)
    assert alice.model_info(repo).private is False


@pytest.mark.parametrize("restriction", ["private-storage", "storage-patterns", "disabled"])
@pytest.mark.parametrize("whole_namespace", [True, False])
def test_restriction_refuses_writes(
    restriction: str, whole_namespace: bool, hub: LocalHub, names: Names, alice: HfApi, repo: str
) -> None:
    alice.update_repo_settings(repo, private=True)
    hub.behavior.restrictions[names.acme if whole_namespace else repo] = restriction  # type: ignore[assignment]
    with pytest.raises(HfHubHTTPError) as error:
        alice.create_commit(repo, [CommitOperationAdd("x", b"x")], commit_message="x")
    assert status(error) == 403


def test_new_repo_with_license_has_a_card(names: Names, alice: HfApi, ask: Ask) -> None:
    body = {"name": "licensed", "organization": names.alice, "license": "mit"}
    assert ask("POST", "/api/repos/create", json=body).is_success
    path = alice.hf_hub_download(f"{names.alice}/licensed", "README.md")
    assert Path(path).read_text() == "---\nlicense: mit\n---\n"


def test_collection_titles_are_not_unique_in_production(
    hub: LocalHub, names: Names, alice: HfApi
) -> None:
    first = alice.create_collection("Twice", namespace=names.alice)
    assert first.owner["name"] == names.alice  # type: ignore[index]
    assert refused(lambda: alice.create_collection("Twice", namespace=names.alice)) == 409
    hub.behavior.unique_collection_titles = False
    second = alice.create_collection("Twice", namespace=names.alice)
    assert first.slug < second.slug


def test_read_only_publisher_cannot_write(hub: LocalHub, repo: str, client: Client) -> None:
    client("alice").update_repo_settings(repo, private=True)
    hub.add_publisher(repo, repository="octo/repo", read_only=True)
    job = hub.add_job(repository="octo/repo", workflow="w.yml")
    bearer = {"Authorization": f"Bearer {job['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
    url = f"{job['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={hub.endpoint}"
    id_token = web.get(url, headers=bearer).json()["value"]
    body = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "subject_token": id_token,
        "resource": repo,
    }
    answer = web.post(f"{hub.endpoint}/oauth/token", json=body).json()
    api = HfApi(hub.endpoint, token=answer["access_token"])
    assert api.model_info(repo).id == repo
    assert write(api, repo) == 403
