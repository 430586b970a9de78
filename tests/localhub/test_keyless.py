"""Keyless publishing: id tokens, their exchange, and the rights of access tokens."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
)

from tests.localhub.helpers import Ask, Names, status
from tests.support.web import web
from ved.errors import ErrorCode, VedError
from ved.localhub import LocalHub

pytestmark = pytest.mark.hub

GITHUB = "octo-org/octo-repo"
WORKFLOW = "checkpoints.yml"
REFUSED = (400, "invalid_grant")


def job(hub: LocalHub, **changes: Any) -> dict[str, str]:
    return hub.add_job(**{"repository": GITHUB, "workflow": WORKFLOW} | changes)


def id_token(hub: LocalHub, audience: str | None = None, **changes: Any) -> str:
    """Return an id token of a new job, by default for the hub."""
    variables = job(hub, **changes)
    answer = web.get(
        f"{variables['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={audience or hub.endpoint}",
        headers={"Authorization": f"Bearer {variables['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    )
    assert answer.status_code == 200
    value: str = answer.json()["value"]
    return value


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return found


def exchange(hub: LocalHub, token: str, resource: str, **changes: str) -> httpx2.Response:
    wanted = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "subject_token": token,
        "resource": resource,
    }
    return web.post(f"{hub.endpoint}/oauth/token", json=wanted | changes)


def access_token(hub: LocalHub, resource: str) -> str:
    """Add a publisher, and return the access token of its job."""
    hub.add_publisher(resource, repository=GITHUB)
    value: str = exchange(hub, id_token(hub), resource).json()["access_token"]
    return value


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.json()["error_description"]
    return answer.status_code, answer.json()["error"]


# Id tokens


def test_id_token_has_the_claims_of_github(hub: LocalHub) -> None:
    found = claims(id_token(hub))
    assert found["exp"] - found["iat"] == 300
    assert found["nbf"] <= found["iat"]
    times_and_numbers = {"iat", "nbf", "exp", "jti", "sha", "run_id"}
    assert {key: value for key, value in found.items() if key not in times_and_numbers} == {
        "iss": "https://token.actions.githubusercontent.com",
        "aud": hub.endpoint,
        "sub": "repo:octo-org/octo-repo:ref:refs/heads/main",
        "repository": GITHUB,
        "repository_owner": "octo-org",
        "repository_id": found["repository_id"],
        "repository_owner_id": found["repository_owner_id"],
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "workflow": ".github/workflows/checkpoints.yml",
        "workflow_ref": f"{GITHUB}/.github/workflows/checkpoints.yml@refs/heads/main",
        "job_workflow_ref": f"{GITHUB}/.github/workflows/checkpoints.yml@refs/heads/main",
        "event_name": "push",
        "run_number": "1",
        "run_attempt": "1",
    }


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"environment": "prod"}, "environment:prod"),
        ({"event_name": "pull_request", "ref": "refs/pull/7/merge"}, "pull_request"),
        ({"ref": "refs/tags/v1"}, "ref:refs/tags/v1"),
    ],
)
def test_id_token_subject_depends_on_the_event(
    changes: dict[str, str], subject: str, hub: LocalHub
) -> None:
    found = claims(id_token(hub, **changes))
    assert found["sub"] == f"repo:{GITHUB}:{subject}"
    assert found.get("environment") == changes.get("environment")


def test_id_token_has_a_new_id_each_time(hub: LocalHub) -> None:
    assert claims(id_token(hub))["jti"] != claims(id_token(hub))["jti"]


def test_id_token_audience_defaults_to_the_owner(hub: LocalHub) -> None:
    variables = job(hub)
    answer = web.get(
        variables["ACTIONS_ID_TOKEN_REQUEST_URL"],
        headers={"Authorization": f"Bearer {variables['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    )
    assert claims(answer.json()["value"])["aud"] == "https://github.com/octo-org"


def test_id_token_needs_the_token_of_the_job(hub: LocalHub, names: Names) -> None:
    one, other = job(hub), job(hub)
    for headers in (
        {"Authorization": f"Bearer {other['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
        {"Authorization": f"Bearer {names.token('alice')}"},
        {},
    ):
        answer = web.get(one["ACTIONS_ID_TOKEN_REQUEST_URL"], headers=headers)
        assert answer.status_code == 401


# Exchanges


def test_exchange_returns_an_access_token(hub: LocalHub, repo: str) -> None:
    hub.add_publisher(repo, repository=GITHUB, workflow=WORKFLOW, ref="refs/heads/main")
    answer = exchange(hub, id_token(hub), repo)
    assert answer.status_code == 200
    token = answer.json().pop("access_token")
    assert token.startswith("hf_jwt_")
    assert answer.json() == {
        "access_token": token,
        "token_type": "bearer",
        "expires_in": 3600,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }


@pytest.mark.parametrize(
    "other",
    [
        {"repository": "octo-org/other"},
        {"repository": "OCTO-ORG/octo-repo"},
        {"workflow": "other.yml"},
        {"ref": "refs/heads/main-backup"},
        {"environment": "production"},
        {"environment": None},
    ],
)
def test_exchange_compares_each_claim_exactly(
    other: dict[str, str], hub: LocalHub, repo: str
) -> None:
    hub.add_publisher(
        repo, repository=GITHUB, workflow=WORKFLOW, ref="refs/heads/main", environment="prod"
    )
    wrong = id_token(hub, **{"environment": "prod"} | other)
    assert refusal(exchange(hub, wrong, repo)) == REFUSED
    assert exchange(hub, id_token(hub, environment="prod"), repo).status_code == 200


def test_exchange_accepts_any_of_several_publishers(hub: LocalHub, repo: str) -> None:
    for workflow in ("first.yml", "second.yml"):
        hub.add_publisher(repo, repository=GITHUB, workflow=workflow)
    assert exchange(hub, id_token(hub, workflow="second.yml"), repo).status_code == 200


def test_exchange_gives_the_same_refusal_for_every_check(hub: LocalHub, repo: str) -> None:
    untrusted = id_token(hub)
    refused = [exchange(hub, untrusted, name) for name in (repo, f"{repo}-missing", "nobody")]
    hub.add_publisher(repo, repository=GITHUB)
    header, payload, signature = id_token(hub, repository="evil/repo").split(".")
    _, trusted, _ = id_token(hub).split(".")
    tokens = [
        id_token(hub, lifetime=0),
        id_token(hub, "https://huggingface.co"),
        f"{header}.{trusted}.{signature}",
        *("", ".", "..", "é.è.à", f"{header}.{payload}."),
    ]
    refused += [exchange(hub, token, repo) for token in tokens]
    assert {refusal(answer) for answer in refused} == {REFUSED}
    assert len({answer.text for answer in refused}) == 1
    assert exchange(hub, untrusted, repo).status_code == 200


def test_exchange_accepts_an_id_token_once(hub: LocalHub, repo: str) -> None:
    hub.add_publisher(repo, repository=GITHUB)
    token = id_token(hub)
    assert exchange(hub, token, repo).status_code == 200
    assert refusal(exchange(hub, token, repo)) == REFUSED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
        ({"resource": ""}, "invalid_request"),
        ({"resource": "kernels/acme/x"}, "invalid_request"),
    ],
)
def test_exchange_names_unsupported_requests(
    changes: dict[str, str], code: str, hub: LocalHub, repo: str
) -> None:
    answer = exchange(hub, id_token(hub), **{"resource": repo} | changes)
    assert refusal(answer) == (400, code)


@pytest.mark.parametrize("body", ["", "[]", "{", '{"grant_type": 1}', '{"resource": "acme/x"}'])
def test_exchange_refuses_malformed_requests(body: str, ask: Ask) -> None:
    assert refusal(ask("POST", "/oauth/token", content=body)) == (400, "invalid_request")


# Rights of access tokens


def test_repo_token_writes_files_and_tags(hub: LocalHub, repo: str) -> None:
    job = HfApi(hub.endpoint, token=access_token(hub, repo))
    commit = job.upload_file(path_or_fileobj=bytes(999), path_in_repo="x.bin", repo_id=repo)
    job.create_tag(repo, tag="v1")
    assert job.model_info(repo, revision="v1").sha == commit.oid
    (latest, *_) = job.list_repo_commits(repo)
    assert (latest.commit_id, latest.authors) == (commit.oid, ["[OIDC]"])


def test_repo_token_cannot_do_anything_else(
    hub: LocalHub, names: Names, alice: HfApi, repo: str
) -> None:
    other = alice.create_repo(f"{repo}-other").repo_id
    job = HfApi(hub.endpoint, token=access_token(hub, repo))
    attempts: list[Callable[[], object]] = [
        lambda: job.whoami(),
        lambda: job.create_repo(f"{names.acme}/new"),
        lambda: job.delete_repo(repo),
        lambda: job.update_repo_settings(repo, private=True),
        lambda: job.create_collection("Mine", namespace=names.acme),
        lambda: job.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id=other),
        lambda: job.upload_file(path_or_fileobj=b"", path_in_repo="x.bin", repo_id=other),
        lambda: job.create_tag(other, tag="v1"),
    ]
    for attempt in attempts:
        with pytest.raises(HfHubHTTPError) as error:
            attempt()
        assert status(error) == 403
    assert alice.list_repo_files(other) == [".gitattributes"]
    assert alice.model_info(repo).private is False


def test_repo_token_of_a_dataset_does_not_open_the_model(
    hub: LocalHub, alice: HfApi, repo: str
) -> None:
    alice.create_repo(repo, repo_type="dataset")
    job = HfApi(hub.endpoint, token=access_token(hub, f"datasets/{repo}"))
    job.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo, repo_type="dataset")
    with pytest.raises(HfHubHTTPError) as error:
        job.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    assert status(error) == 403


def test_repo_token_opens_only_its_private_repo(
    hub: LocalHub, names: Names, alice: HfApi, repo: str
) -> None:
    other = alice.create_repo(f"{repo}-other", private=True).repo_id
    alice.update_repo_settings(repo, private=True, gated="auto")
    job = HfApi(hub.endpoint, token=access_token(hub, repo))
    assert job.model_info(repo).private is True
    job.auth_check(repo)
    with pytest.raises(RepositoryNotFoundError):
        job.model_info(other)
    assert [model.id for model in job.list_models(author=names.acme, search=repo)] == [repo]


def test_user_token_reads_gated_but_not_private_repos(
    hub: LocalHub, names: Names, alice: HfApi, bob: HfApi, repo: str, tmp_path: Path
) -> None:
    secret = alice.create_repo(f"{repo}-secret", private=True).repo_id
    collection = alice.create_collection(f"Secret {repo}", namespace=names.alice, private=True)
    alice.update_repo_settings(repo, gated="auto")
    token = access_token(hub, names.alice)
    assert token.startswith("hf_oauth_")
    job = HfApi(hub.endpoint, token=token)
    assert job.whoami()["name"] == names.alice
    hf_hub_download(repo, ".gitattributes", endpoint=hub.endpoint, token=token, cache_dir=tmp_path)
    with pytest.raises(GatedRepoError):
        bob.auth_check(repo)
    with pytest.raises(RepositoryNotFoundError):
        job.model_info(secret)
    attempts: list[Callable[[], object]] = [
        lambda: job.get_collection(collection.slug),
        lambda: job.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id=repo),
    ]
    for attempt, expected in zip(attempts, (404, 403), strict=True):
        with pytest.raises(HfHubHTTPError) as error:
            attempt()
        assert status(error) == expected


def test_access_token_expires(tmp_path: Path) -> None:
    with LocalHub(tmp_path, access_token_lifetime=0) as hub:
        hub.add_user("alice", token="hf_alice")
        HfApi(hub.endpoint, token="hf_alice").create_repo("alice/model")
        job = HfApi(hub.endpoint, token=access_token(hub, "alice/model"))
        with pytest.raises(HfHubHTTPError) as error:
            job.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id="alice/model")
        assert status(error) == 401


# Publishers


def test_publishers_are_kept_until_their_repo_is_deleted(tmp_path: Path) -> None:
    with LocalHub(tmp_path) as hub:
        hub.add_user("alice", token="hf_alice")
        HfApi(hub.endpoint, token="hf_alice").create_repo("alice/model")
        hub.add_publisher("alice/model", repository=GITHUB)
    with LocalHub(tmp_path) as hub:
        assert exchange(hub, id_token(hub), "alice/model").status_code == 200
        alice = HfApi(hub.endpoint, token="hf_alice")
        alice.delete_repo("alice/model")
        alice.create_repo("alice/model")
        assert refusal(exchange(hub, id_token(hub), "alice/model")) == REFUSED


@pytest.mark.parametrize("resource", ["acme/no-such-repo", "datasets/acme/none", "nobody", "", "/"])
def test_add_publisher_needs_an_existing_resource(resource: str, hub: LocalHub) -> None:
    with pytest.raises(VedError) as error:
        hub.add_publisher(resource, repository=GITHUB)
    assert error.value.code == ErrorCode.LOCAL_HUB
