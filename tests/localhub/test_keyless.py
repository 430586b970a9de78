"""Keyless publishing as the Hub and GitHub see it: id tokens, exchanges, and what comes of them."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
)

from tests.localhub.helpers import status
from ved.errors import VedError
from ved.localhub import LocalHub

Ask = Callable[..., requests.Response]
Client = Callable[[str | bool], HfApi]

GITHUB = "octo-org/octo-repo"
WORKFLOW = "checkpoints.yml"
REFUSED = (400, "invalid_grant", "The token exchange was refused")


def job(hub: LocalHub, **changes: Any) -> dict[str, str]:
    return hub.add_job(**{"repository": GITHUB, "workflow": WORKFLOW} | changes)


def id_token(hub: LocalHub, audience: str | None = None, **changes: Any) -> str:
    """Return an id token of a new job, for the hub unless said otherwise."""
    variables = job(hub, **changes)
    answer = requests.get(
        f"{variables['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={audience or hub.endpoint}",
        headers={"Authorization": f"Bearer {variables['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
        timeout=30,
    )
    assert answer.status_code == 200
    value: str = answer.json()["value"]
    return value


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return found


def exchange(hub: LocalHub, token: str, resource: str, **changes: str) -> requests.Response:
    wanted = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "subject_token": token,
        "resource": resource,
    }
    return requests.post(f"{hub.endpoint}/oauth/token", json=wanted | changes, timeout=30)


def access_token(hub: LocalHub, resource: str) -> str:
    """Trust a job, and return what it gets in exchange for an id token."""
    hub.add_publisher(resource, repository=GITHUB)
    value: str = exchange(hub, id_token(hub), resource).json()["access_token"]
    return value


def told(answer: requests.Response) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["error"], answer.json()["error_description"]


# Id tokens


def test_an_id_token_tells_what_github_tells(hub: LocalHub) -> None:
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
def test_the_subject_is_what_the_job_runs_for(
    changes: dict[str, str], subject: str, hub: LocalHub
) -> None:
    found = claims(id_token(hub, **changes))
    assert found["sub"] == f"repo:{GITHUB}:{subject}"
    assert found.get("environment") == changes.get("environment")


def test_every_id_token_is_another(hub: LocalHub) -> None:
    assert claims(id_token(hub))["jti"] != claims(id_token(hub))["jti"]


def test_without_an_audience_it_is_the_repositorys_owner(hub: LocalHub) -> None:
    variables = job(hub)
    answer = requests.get(
        variables["ACTIONS_ID_TOKEN_REQUEST_URL"],
        headers={"Authorization": f"Bearer {variables['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
        timeout=30,
    )
    assert claims(answer.json()["value"])["aud"] == "https://github.com/octo-org"


def test_only_the_job_itself_gets_its_id_token(hub: LocalHub) -> None:
    one, other = job(hub), job(hub)
    for headers in (
        {"Authorization": f"Bearer {other['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
        {"Authorization": "Bearer hf_alice"},
        {},
    ):
        answer = requests.get(one["ACTIONS_ID_TOKEN_REQUEST_URL"], headers=headers, timeout=30)
        assert answer.status_code == 401


# Exchanges


def test_an_id_token_is_exchanged_for_a_token(hub: LocalHub, repo: str) -> None:
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
def test_each_claim_has_to_be_exactly_as_configured(
    other: dict[str, str], hub: LocalHub, repo: str
) -> None:
    hub.add_publisher(
        repo, repository=GITHUB, workflow=WORKFLOW, ref="refs/heads/main", environment="prod"
    )
    wrong = id_token(hub, **{"environment": "prod"} | other)
    assert told(exchange(hub, wrong, repo)) == REFUSED
    assert exchange(hub, id_token(hub, environment="prod"), repo).status_code == 200


def test_one_of_several_publishers_suffices(hub: LocalHub, repo: str) -> None:
    for workflow in ("first.yml", "second.yml"):
        hub.add_publisher(repo, repository=GITHUB, workflow=workflow)
    assert exchange(hub, id_token(hub, workflow="second.yml"), repo).status_code == 200


def test_a_refusal_does_not_tell_which_check_failed(hub: LocalHub, repo: str) -> None:
    untrusted = id_token(hub)
    assert told(exchange(hub, untrusted, repo)) == REFUSED
    assert told(exchange(hub, untrusted, "acme/no-such-repo")) == REFUSED
    assert told(exchange(hub, untrusted, "nobody")) == REFUSED
    hub.add_publisher(repo, repository=GITHUB)
    assert told(exchange(hub, id_token(hub, lifetime=0), repo)) == REFUSED
    assert told(exchange(hub, id_token(hub, "https://huggingface.co"), repo)) == REFUSED
    header, payload, signature = id_token(hub, repository="evil/repo").split(".")
    _, trusted, _ = id_token(hub).split(".")
    assert told(exchange(hub, f"{header}.{trusted}.{signature}", repo)) == REFUSED
    for nonsense in ("", ".", "..", "é.è.à", f"{header}.{payload}."):
        assert told(exchange(hub, nonsense, repo)) == REFUSED
    assert exchange(hub, untrusted, repo).status_code == 200


def test_an_id_token_is_good_for_one_exchange(hub: LocalHub, repo: str) -> None:
    hub.add_publisher(repo, repository=GITHUB)
    token = id_token(hub)
    assert exchange(hub, token, repo).status_code == 200
    assert told(exchange(hub, token, repo)) == REFUSED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
        ({"resource": ""}, "invalid_request"),
        ({"resource": "kernels/acme/x"}, "invalid_request"),
    ],
)
def test_a_request_for_something_else_is_told_so(
    changes: dict[str, str], code: str, hub: LocalHub, repo: str
) -> None:
    answer = exchange(hub, id_token(hub), **{"resource": repo} | changes)
    assert told(answer)[:2] == (400, code)


@pytest.mark.parametrize("body", ["", "[]", "{", '{"grant_type": 1}', '{"resource": "acme/x"}'])
def test_a_malformed_exchange_is_an_invalid_request(body: str, ask: Ask) -> None:
    assert told(ask("POST", "/oauth/token", data=body))[:2] == (400, "invalid_request")


# What the tokens can do


def test_a_repos_token_writes_its_content(hub: LocalHub, client: Client, repo: str) -> None:
    job = client(access_token(hub, repo))
    commit = job.upload_file(path_or_fileobj=bytes(999), path_in_repo="x.bin", repo_id=repo)
    job.create_tag(repo, tag="v1")
    assert job.model_info(repo, revision="v1").sha == commit.oid
    (latest, *_) = job.list_repo_commits(repo)
    assert (latest.commit_id, latest.authors) == (commit.oid, ["[OIDC]"])


def test_a_repos_token_can_do_nothing_else(
    hub: LocalHub, client: Client, alice: HfApi, repo: str
) -> None:
    other = alice.create_repo(f"{repo}-other").repo_id
    job = client(access_token(hub, repo))
    attempts: list[Callable[[], object]] = [
        lambda: job.whoami(),
        lambda: job.create_repo("acme/new"),
        lambda: job.delete_repo(repo),
        lambda: job.update_repo_settings(repo, private=True),
        lambda: job.create_collection("Mine", namespace="acme"),
        lambda: job.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id=other),
        lambda: job.upload_file(path_or_fileobj=b"", path_in_repo="x.bin", repo_id=other),
        lambda: job.upload_file(
            path_or_fileobj=b"", path_in_repo="x", repo_id=other, create_pr=True
        ),
        lambda: job.create_tag(other, tag="v1"),
        lambda: job.create_discussion(other, title="Hi"),
    ]
    for attempt in attempts:
        with pytest.raises(HfHubHTTPError) as error:
            attempt()
        assert status(error) == 403
    assert alice.list_repo_files(other) == [".gitattributes"]
    assert alice.model_info(repo).private is False


def test_a_token_for_a_model_is_none_for_the_dataset_of_that_name(
    hub: LocalHub, client: Client, alice: HfApi, repo: str
) -> None:
    alice.create_repo(repo, repo_type="dataset")
    job = client(access_token(hub, f"datasets/{repo}"))
    job.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo, repo_type="dataset")
    with pytest.raises(HfHubHTTPError) as error:
        job.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    assert status(error) == 403


def test_a_repos_token_opens_that_private_repo_and_no_other(
    hub: LocalHub, client: Client, alice: HfApi, repo: str
) -> None:
    other = alice.create_repo(f"{repo}-other", private=True).repo_id
    alice.update_repo_settings(repo, private=True, gated="auto")
    job = client(access_token(hub, repo))
    assert job.model_info(repo).private is True
    job.auth_check(repo)
    with pytest.raises(RepositoryNotFoundError):
        job.model_info(other)
    assert [model.id for model in job.list_models(author="acme", search=repo)] == [repo]


def test_a_users_token_reads_gated_repos_and_nothing_private(
    hub: LocalHub, client: Client, alice: HfApi, repo: str, tmp_path: Path
) -> None:
    secret = alice.create_repo(f"{repo}-secret", private=True).repo_id
    collection = alice.create_collection(f"Secret {repo}", namespace="alice", private=True)
    alice.update_repo_settings(repo, gated="auto")
    token = access_token(hub, "alice")
    assert token.startswith("hf_oauth_")
    job = client(token)
    assert job.whoami()["name"] == "alice"
    hf_hub_download(repo, ".gitattributes", endpoint=hub.endpoint, token=token, cache_dir=tmp_path)
    with pytest.raises(GatedRepoError):
        client("hf_bob").auth_check(repo)
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


def test_a_token_that_has_expired_is_none(tmp_path: Path) -> None:
    with LocalHub(tmp_path, access_token_lifetime=0) as hub:
        hub.add_user("alice", token="hf_alice")
        HfApi(hub.endpoint, token="hf_alice").create_repo("alice/model")
        job = HfApi(hub.endpoint, token=access_token(hub, "alice/model"))
        with pytest.raises(HfHubHTTPError, match="Invalid credentials") as error:
            job.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id="alice/model")
        assert status(error) == 401


# Publishers


def test_publishers_stay_as_long_as_their_repo(tmp_path: Path) -> None:
    with LocalHub(tmp_path) as hub:
        hub.add_user("alice", token="hf_alice")
        HfApi(hub.endpoint, token="hf_alice").create_repo("alice/model")
        hub.add_publisher("alice/model", repository=GITHUB)
    with LocalHub(tmp_path) as hub:
        assert exchange(hub, id_token(hub), "alice/model").status_code == 200
        alice = HfApi(hub.endpoint, token="hf_alice")
        alice.delete_repo("alice/model")
        alice.create_repo("alice/model")
        assert told(exchange(hub, id_token(hub), "alice/model")) == REFUSED


@pytest.mark.parametrize("resource", ["acme/no-such-repo", "datasets/acme/none", "nobody", "", "/"])
def test_a_publisher_needs_a_repo_or_a_user(resource: str, hub: LocalHub) -> None:
    with pytest.raises(VedError, match=f"no repo and no user {resource}"):
        hub.add_publisher(resource, repository=GITHUB)
