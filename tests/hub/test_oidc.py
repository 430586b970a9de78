"""ved.hub.oidc: a job's identity becomes a token for one repo, or an error with a remedy."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError

from tests.support.servers import Answer, serving
from ved import environment
from ved.errors import ErrorCode, RequestError, VedError
from ved.hub import oidc
from ved.hub.oidc import Publisher
from ved.localhub import LocalHub

GITHUB = "octo-org/octo-repo"
URL, TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
REPO = "alice/model"


@pytest.fixture(scope="module")
def lasting_hub() -> Iterator[LocalHub]:
    with LocalHub() as hub:
        hub.add_user("alice", token="hf_alice")
        alice(hub).create_repo(REPO)
        alice(hub).create_repo("alice/other")
        alice(hub).create_repo("alice/private", private=True)
        hub.add_publisher(REPO, repository=GITHUB, workflow="checkpoints.yml")
        yield hub


@pytest.fixture
def hub(lasting_hub: LocalHub) -> Iterator[LocalHub]:
    lasting_hub.requests.clear()
    yield lasting_hub
    lasting_hub.faults.clear()


def alice(hub: LocalHub) -> HfApi:
    return HfApi(hub.endpoint, token="hf_alice")


def job(hub: LocalHub, **changes: Any) -> dict[str, str]:
    return hub.add_job(**{"repository": GITHUB, "workflow": "checkpoints.yml"} | changes)


def publisher(
    hub: LocalHub,
    variables: Mapping[str, str] | None = None,
    secrets: list[str] | None = None,
) -> Publisher:
    """Return a publisher for a job, by default a trusted one; it appends its secrets."""
    on_secret = ignore if secrets is None else secrets.append
    return Publisher(hub.endpoint, job(hub) if variables is None else variables, on_secret)


def ignore(_secret: str) -> None:
    """Mask nothing."""


def exchanges(hub: LocalHub) -> int:
    return sum(request.path == "/oauth/token" for request in hub.requests)


def refusal(publisher: Publisher, repo: str = REPO) -> VedError:
    with pytest.raises(VedError) as caught:
        publisher.token(repo)
    return caught.value


def as_json(status: int, **members: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(members).encode()


# Tokens


def test_offers_identity_needs_both_variables(hub: LocalHub) -> None:
    variables = job(hub)
    assert oidc.offers_identity(variables)
    for name in variables:
        assert not oidc.offers_identity({**variables, name: ""})
        assert not oidc.offers_identity({key: variables[key] for key in variables if key != name})


def test_token_writes_to_its_repo_only(hub: LocalHub) -> None:
    api = HfApi(hub.endpoint, token=publisher(hub).token(REPO))
    commit = api.upload_file(path_or_fileobj=b"x", path_in_repo="y", repo_id=REPO)
    assert alice(hub).model_info(REPO).sha == commit.oid
    with pytest.raises(HfHubHTTPError, match="403 Forbidden"):
        api.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id="alice/other")


def test_token_differs_between_repos(hub: LocalHub) -> None:
    hub.add_publisher("alice/other", repository=GITHUB)
    ours = publisher(hub)
    tokens = [ours.token(repo) for repo in (REPO, "alice/other", REPO, "alice/other")]
    assert tokens[:2] == tokens[2:]
    assert len(set(tokens)) == exchanges(hub) == 2


@pytest.mark.hub
@pytest.mark.parametrize(
    ("lifetime", "later", "renewed"),
    [(3600, 3290, 0), (3600, 3310, 1), (100, 70, 0), (100, 90, 1), (0, 0, 1)],
)
def test_token_is_renewed_before_it_expires(
    lifetime: int, later: int, renewed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(oidc, "monotonic", lambda: now)
    with LocalHub(access_token_lifetime=lifetime) as hub:
        hub.add_user("alice", token="hf_alice")
        alice(hub).create_repo(REPO)
        hub.add_publisher(REPO, repository=GITHUB)
        ours = publisher(hub)
        before = ours.token(REPO)
        now += later
        assert (ours.token(REPO) != before) == bool(renewed)
        assert exchanges(hub) == 1 + renewed


def test_token_is_exchanged_once_for_all_threads(hub: LocalHub) -> None:
    ours = publisher(hub)
    with ThreadPoolExecutor(4) as pool:
        tokens = set(pool.map(ours.token, [REPO] * 8))
    assert len(tokens) == exchanges(hub) == 1


def test_environment_does_not_have_huggingface_hub_publish_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {"HF_OIDC_RESOURCE": REPO, "HF_OIDC_ID_TOKEN": "a.b.c"})
    environment.prepare()
    assert not any("OIDC" in name for name in os.environ)


# Secrets


def test_publisher_reports_secrets_before_it_uses_them(hub: LocalHub) -> None:
    seen: list[tuple[str, int]] = []
    ours = Publisher(hub.endpoint, job(hub), lambda secret: seen.append((secret, exchanges(hub))))
    token = ours.token(REPO)
    (id_token, before), (last, _) = seen
    assert (id_token.count("."), before) == (2, 0)
    assert last == token


@pytest.mark.parametrize("repo", [REPO, "alice/other"])
def test_publisher_keeps_secrets_out_of_logs_and_errors(
    repo: str, hub: LocalHub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_DEBUG", True)
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="huggingface_hub")
    variables = job(hub, repository=GITHUB if repo == REPO else "octo-org/untrusted")
    secrets = [variables[TOKEN]]
    ours = publisher(hub, variables, secrets)
    text = ours.token(repo)[:0] if repo == REPO else repr(refusal(ours, repo))
    assert "curl -X POST" in caplog.text
    for secret in secrets:
        assert secret[:40] not in caplog.text + text + repr(ours) + repr(vars(ours)["_tokens"])


def test_error_keeps_no_reference_to_secret(hub: LocalHub) -> None:
    hub.faults.add("POST", "/oauth/token", cut_request=1)
    error = refusal(publisher(hub))
    assert error.code == ErrorCode.HUB_DOES_NOT_ANSWER
    assert error.__cause__ is error.__context__ is None


def test_publisher_follows_no_redirect(hub: LocalHub) -> None:
    reached = []

    def elsewhere(path: str, sent: bytes) -> Answer:
        reached.append(path)
        return as_json(200, value="x.y.z", access_token="t", token_type="bearer")

    with serving(elsewhere) as other:

        def away(_path: str, _sent: bytes) -> Answer:
            return 307, {"Location": f"{other}/reached"}, b""

        with serving(away) as address:
            asked = publisher(hub, {URL: f"{address}/?x=1", TOKEN: "t"})
            assert "status 307" in refusal(asked).cause
            exchanged = Publisher(address, job(hub), ignore)
            error = refusal(exchanged)
    assert error.code == ErrorCode.HUB_DOES_NOT_ANSWER
    assert address in error.cause
    assert reached == []


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/token?x=1",
        "http://127.0.0.1.example.org/?x=1",
        "http://127.0.0.1@example.org/?x=1",
        "ftp://127.0.0.1/?x=1",
        "http://[/?x=1",
        "example.org",
    ],
)
def test_publisher_refuses_address_without_encryption(address: str, hub: LocalHub) -> None:
    with pytest.raises(RequestError, match=URL):
        publisher(hub, {URL: address, TOKEN: "t"})
    with pytest.raises(RequestError, match="endpoint"):
        Publisher(address, job(hub), ignore)


@pytest.mark.parametrize(
    "address", ["https://example.org", "http://localhost:1", "http://127.8.8.8", "http://[::1]:80"]
)
def test_publisher_accepts_safe_addresses(address: str) -> None:
    assert Publisher(address, {URL: f"{address}/?x=1", TOKEN: "t"}, ignore)


def test_publisher_refuses_request_token_with_line_break(hub: LocalHub) -> None:
    with pytest.raises(RequestError, match=TOKEN) as caught:
        publisher(hub, {**job(hub), TOKEN: "first\nsecond"})
    assert "second" not in str(caught.value)


# Jobs that may not ask


def not_offered(environ: Mapping[str, str]) -> RequestError:
    with pytest.raises(RequestError) as caught:
        Publisher("https://huggingface.co", environ, ignore)
    return caught.value


def test_publisher_outside_of_github_needs_token() -> None:
    error = not_offered({})
    assert error.code == ErrorCode.NO_TOKEN
    assert "token" in error.remedy


def test_publisher_without_permission_names_permission() -> None:
    error = not_offered({"GITHUB_ACTIONS": "true"})
    assert error.code == ErrorCode.ID_TOKEN_PERMISSION
    assert "permissions: {id-token: write, contents: read}" in error.remedy


# What GitHub answers


def test_id_token_of_unreachable_github(hub: LocalHub, unused_port: int) -> None:
    variables = {URL: f"http://127.0.0.1:{unused_port}/?x=1", TOKEN: "t"}
    error = refusal(publisher(hub, variables))
    assert error.code == ErrorCode.HUB_DOES_NOT_ANSWER
    assert "GitHub" in error.cause


def test_id_token_in_offline_mode(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "(OfflineModeIsEnabled)" in refusal(publisher(hub)).cause


def test_id_token_with_unknown_request_token(hub: LocalHub) -> None:
    error = refusal(publisher(hub, {**job(hub), TOKEN: "t"}))
    assert error.code == ErrorCode.ID_TOKEN_PERMISSION
    assert "status 401" in error.cause


@pytest.mark.parametrize(
    "answer",
    [
        as_json(500, value="a.b.c"),
        as_json(200),
        as_json(200, value=None),
        as_json(200, value="a\nb"),
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {}, b"[" * 100_000),
    ],
)
def test_id_token_missing_in_answer(answer: Answer, hub: LocalHub) -> None:
    with serving(lambda _path, _sent: answer) as address:
        secrets: list[str] = []
        error = refusal(publisher(hub, {URL: f"{address}/?x=1", TOKEN: "t"}, secrets))
    assert error.code == ErrorCode.ID_TOKEN_PERMISSION
    assert f"status {answer[0]}" in error.cause
    assert secrets == []


# What the Hub answers


def test_refusal_has_claims_of_job_and_address_of_settings(hub: LocalHub) -> None:
    untrusted = job(hub, workflow="other.yml", environment="prod")
    error = refusal(publisher(hub, untrusted))
    assert error.code == ErrorCode.TRUSTED_PUBLISHER
    assert REPO in error.cause
    claims = "repository octo-org/octo-repo, workflow other.yml, branch main, environment prod"
    assert claims in error.cause
    assert "status 400, invalid_grant" in error.cause
    assert f"{hub.endpoint}/alice/model/settings" in error.remedy


@pytest.mark.parametrize("repo", ["alice/missing", "alice/private"])
def test_refusal_for_invisible_repo_says_how_to_create_it(repo: str, hub: LocalHub) -> None:
    error = refusal(publisher(hub), repo)
    assert error.code == ErrorCode.TRUSTED_PUBLISHER
    assert "workflow checkpoints.yml, branch main, environment (none)" in error.cause
    assert f"{hub.endpoint}/new" in error.remedy
    assert f"{hub.endpoint}/{repo}/settings" in error.remedy


def test_refusal_has_ref_of_job_without_branch(hub: LocalHub) -> None:
    error = refusal(publisher(hub, job(hub, repository="a/b", ref="refs/tags/v1")))
    assert "repository a/b, workflow checkpoints.yml, ref refs/tags/v1, env" in error.cause


def test_refusal_assumes_visible_repo_if_hub_fails(hub: LocalHub) -> None:
    hub.faults.add("GET", "/api/models/", status=500)
    error = refusal(publisher(hub, job(hub, repository="a/b")))
    assert error.code == ErrorCode.TRUSTED_PUBLISHER
    assert f"{hub.endpoint}/new" not in error.remedy


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, ErrorCode.TRUSTED_PUBLISHER),
        (405, ErrorCode.TRUSTED_PUBLISHER),
        (400, ErrorCode.HUB_DOES_NOT_ANSWER),
        (429, ErrorCode.RATE_LIMIT),
        (500, ErrorCode.HUB_DOES_NOT_ANSWER),
    ],
)
def test_refusal_has_code_of_status(status: int, code: ErrorCode, hub: LocalHub) -> None:
    hub.faults.add("POST", "/oauth/token", status=status)
    error = refusal(publisher(hub))
    assert error.code == code
    assert f"status {status}" in error.cause
    assert error.remedy


@pytest.mark.parametrize(
    "answer",
    [
        as_json(200),
        as_json(200, access_token="", token_type="bearer"),
        as_json(200, access_token="a b", token_type="bearer"),
        as_json(200, access_token=1, token_type="bearer"),
        as_json(200, access_token="hf_jwt_x", token_type="DPoP"),
        as_json(200, access_token="hf_jwt_x"),
        (200, {}, b"<html>"),
    ],
)
def test_token_missing_in_answer(answer: Answer, hub: LocalHub) -> None:
    with serving(lambda _path, _sent: answer) as endpoint:
        error = refusal(Publisher(endpoint, job(hub), ignore))
    assert error.code == ErrorCode.HUB_DOES_NOT_ANSWER


@pytest.mark.parametrize("lifetime", [None, "3600", -1])
def test_token_without_lifetime_is_valid_for_an_hour(
    lifetime: object, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = 1000.0, []

    def give(path: str, sent: bytes) -> Answer:
        asked.append(json.loads(sent)["resource"])
        return as_json(200, access_token="hf_jwt_x", token_type="Bearer", expires_in=lifetime)

    monkeypatch.setattr(oidc, "monotonic", lambda: now)
    with serving(give) as endpoint:
        ours = Publisher(endpoint, job(hub), ignore)
        for moment in (0, 3299, 3301):
            now = 1000.0 + moment
            ours.token(REPO)
    assert asked == [REPO, REPO]


def test_refusal_shows_text_of_server_on_one_line_without_secret(hub: LocalHub) -> None:
    def repeat(_path: str, sent: bytes) -> Answer:
        token = json.loads(sent)["subject_token"]
        text = f"{token}\n::error::\x1b[31m\u202e{token}" + "x" * 1000
        return as_json(403, error="access_denied", error_description=text)

    with serving(repeat) as endpoint:
        error = refusal(Publisher(endpoint, job(hub), ignore))
    shown = f"access_denied: *** ::error:: [31m ***{'x' * 1000}"[:300]
    assert f"status 403, {shown[:200]}" in error.cause
    assert error.cause.isprintable()
    assert len(error.cause) < 500


def test_refusal_sanitizes_claims(hub: LocalHub) -> None:
    error = refusal(publisher(hub, job(hub, repository="a/b\n::error::", environment="\x1b[31m")))
    assert "repository a/b ::error::, workflow" in error.cause
    assert "environment [31m" in error.cause
    assert error.cause.isprintable()


@pytest.mark.parametrize("id_token", ["none", "a.b.c", "a.W10.c", "a.eyJyZWYiOiAxfQ.c"])
def test_refusal_with_unreadable_id_token(id_token: str, hub: LocalHub) -> None:
    with serving(lambda _path, _sent: as_json(200, value=id_token)) as address:
        error = refusal(publisher(hub, {URL: f"{address}/?x=1", TOKEN: "t"}))
    assert "repository (none), workflow (none), " in error.cause
