"""Tokens of the CAS: who gets one, and what it allows."""

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tests.localhub.helpers import Ask, Names, head
from tests.localhub.xet.helpers import (
    WEIGHTS,
    Cas,
    download,
    matching,
    plain_xorb,
    random_bytes,
    upload,
    xet_hash,
    xorb_name,
)
from tests.support.web import web
from ved.localhub import LocalHub

pytestmark = pytest.mark.hub

Status = Callable[[str, str], int]


@pytest.fixture
def status(hub: LocalHub, repo: str, names: Names) -> Status:
    """Return a function: the status of a token route, by user and by the end of the route."""

    def ask(user: str, route: str) -> int:
        token = names.token(user) if user else ""
        headers = {"authorization": f"Bearer {token}"} if user else {}
        url = f"{hub.endpoint}/api/models/{repo}/{route}"
        return web.get(url, headers=headers).status_code

    return ask


def test_token_to_read_is_for_readers(alice: HfApi, repo: str, status: Status) -> None:
    assert status("", "xet-read-token/main") == 200
    assert status("", f"xet-read-token/{head(alice, repo)}") == 200
    assert status("", "xet-read-token/nowhere") == 404
    alice.update_repo_settings(repo, gated="auto")
    assert status("", "xet-read-token/main") == 401
    assert status("bob", "xet-read-token/main") == 403
    alice.update_repo_settings(repo, private=True)
    assert status("bob", "xet-read-token/main") == 404
    assert status("alice_read", "xet-read-token/main") == 200


def test_token_to_write_is_for_writers(status: Status) -> None:
    assert status("", "xet-write-token/main") == 401
    assert status("bob", "xet-write-token/main") == 403
    assert status("alice_read", "xet-write-token/main") == 403
    assert status("alice", "xet-write-token/main") == 200
    assert status("carol", "xet-write-token/main") == 200
    assert status("alice", "xet-write-token/nowhere") == 404
    assert status("alice", "xet-write-token/None?create_pr=1") == 501


def test_token_is_in_headers_and_body(ask: Ask, repo: str) -> None:
    answer = ask("GET", f"/api/models/{repo}/xet-write-token/main")
    body = answer.json()
    assert answer.headers["X-Xet-Cas-Url"] == body["casUrl"]
    assert answer.headers["X-Xet-Access-Token"] == body["accessToken"]
    assert answer.headers["X-Xet-Token-Expiration"] == str(body["exp"])


CAS_REQUESTS = [
    ("read", "GET", f"/v1/chunks/default/{'0' * 64}"),
    ("read", "GET", f"/v1/reconstructions/{'0' * 64}"),
    ("read", "GET", f"/v2/reconstructions/{'0' * 64}"),
    ("read", "POST", "/v1/telemetry"),
    ("write", "POST", f"/v1/xorb-grants/default/{'0' * 64}"),
    ("write", "POST", f"/v1/xorb-commits/default/{'0' * 64}/grant/0"),
    ("write", "POST", f"/v1/xorbs/default/{'0' * 64}"),
    ("write", "POST", "/v1/shards"),
    ("write", "POST", "/v2/shards"),
]


@pytest.mark.parametrize(("scope", "method", "path"), CAS_REQUESTS)
def test_cas_needs_a_token_of_its_own(
    hub: LocalHub, repo: str, names: Names, scope: str, method: str, path: str
) -> None:
    reader = Cas(hub, repo, None)
    writer = Cas(hub, repo, names.token("alice"), "write")
    assert (reader.ask(method, path).status_code == 403) is (scope == "write")
    assert writer.ask(method, path).status_code in (200, 400, 404)
    of_the_hub = {"authorization": f"Bearer {names.token('alice')}"}
    assert writer.ask(method, path, headers=of_the_hub).status_code == 401
    writer.headers.clear()
    assert writer.ask(method, path).status_code == 401


def test_cas_refuses_malformed_hashes(hub: LocalHub, repo: str) -> None:
    reader = Cas(hub, repo, None)
    for name in ("0", "0" * 63, "x" * 64, "0" * 66):
        assert reader.ask("GET", f"/v2/reconstructions/{name}").status_code == 400


def test_token_reads_files_of_its_repo_only(
    alice: HfApi, published: str, hub: LocalHub, names: Names
) -> None:
    other = alice.create_repo(f"{names.acme}/other").repo_id
    path = f"/v2/reconstructions/{xet_hash(hub, published)}"
    assert Cas(hub, published, None).ask("GET", path).status_code == 200
    assert Cas(hub, other, None).ask("GET", path).status_code == 404


def test_token_of_a_deleted_repo_is_useless(
    alice: HfApi, published: str, hub: LocalHub, names: Names
) -> None:
    writer = Cas(hub, published, names.token("alice"), "write")
    path = f"/v2/reconstructions/{xet_hash(hub, published)}"
    alice.delete_repo(published)
    assert writer.ask("GET", path).status_code == 404
    assert writer.ask("POST", "/v1/shards", content=b"x").status_code == 404


def test_token_of_a_ci_job_uploads_to_its_repo(
    alice: HfApi, repo: str, hub: LocalHub, names: Names
) -> None:
    hub.add_publisher(repo, repository="octo-org/octo-repo")
    job = hub.add_job(repository="octo-org/octo-repo", workflow="publish.yml")
    headers = {"authorization": f"Bearer {job['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
    url = f"{job['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={hub.endpoint}"
    id_token = web.get(url, headers=headers).json()["value"]
    wanted = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": id_token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "resource": repo,
    }
    answer = web.post(f"{hub.endpoint}/oauth/token", json=wanted)
    upload(HfApi(hub.endpoint, token=answer.json()["access_token"]), repo, WEIGHTS)
    assert download(hub, repo) == WEIGHTS
    assert matching(hub, "PUT", "/lfs/") == []


def test_token_near_its_expiry_is_renewed_during_an_upload(tmp_path: Path) -> None:
    with LocalHub(tmp_path, xet=True, xet_token_lifetime=20) as hub:
        hub.add_user("alice", token="hf_alice")
        alice = HfApi(hub.endpoint, token="hf_alice")
        alice.create_repo("alice/model")
        upload(alice, "alice/model", WEIGHTS)
        assert len(matching(hub, "GET", "/xet-write-token/")) >= 3
        hub.requests.clear()
        assert download(hub, "alice/model") == WEIGHTS
        assert len(matching(hub, "GET", "/xet-read-token/")) >= 2


def test_expired_token_is_refused(tmp_path: Path) -> None:
    with LocalHub(tmp_path, xet=True, xet_token_lifetime=0) as hub:
        hub.add_user("alice", token="hf_alice")
        HfApi(hub.endpoint, token="hf_alice").create_repo("alice/model")
        writer = Cas(hub, "alice/model", "hf_alice", "write")
        chunks = [random_bytes(1000)]
        path = f"/v1/xorbs/default/{xorb_name(chunks)}"
        assert writer.ask("POST", path, content=plain_xorb(chunks)).status_code == 401
