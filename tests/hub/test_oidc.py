"""A job's identity becomes a token for one repo, or words that say what to do."""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import reset_sessions

from ved.errors import RequestError, VedError
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
    """Return a publisher of a trusted job; what it says is secret goes into the list."""
    on_secret = forget if secrets is None else secrets.append
    return Publisher(hub.endpoint, job(hub) if variables is None else variables, on_secret)


def forget(_secret: str) -> None:
    """Do without hiding a secret."""


def exchanges(hub: LocalHub) -> int:
    return sum(request.path == "/oauth/token" for request in hub.requests)


def refusal(publisher: Publisher, repo: str = REPO) -> VedError:
    with pytest.raises(VedError) as caught:
        publisher.token(repo)
    return caught.value


Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def serving(answer: Callable[[str, bytes], Answer]) -> Iterator[str]:
    """Answer what is sent to a path on a port of its own, and return the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, fields, body = answer(self.path, sent)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **fields}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def as_json(status: int, **members: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(members).encode()


# Tokens


def test_a_job_may_ask_where_github_set_both_variables(hub: LocalHub) -> None:
    variables = job(hub)
    assert oidc.offers_identity(variables)
    for name in variables:
        assert not oidc.offers_identity({**variables, name: ""})
        assert not oidc.offers_identity({key: variables[key] for key in variables if key != name})


def test_a_token_publishes_to_its_repo_alone(hub: LocalHub) -> None:
    api = HfApi(hub.endpoint, token=publisher(hub).token(REPO))
    commit = api.upload_file(path_or_fileobj=bytes(999), path_in_repo="x.bin", repo_id=REPO)
    assert alice(hub).model_info(REPO).sha == commit.oid
    with pytest.raises(HfHubHTTPError, match="403 Forbidden"):
        api.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id="alice/other")


def test_every_repo_has_a_token_of_its_own(hub: LocalHub) -> None:
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
def test_a_token_is_renewed_before_it_expires(
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


def test_threads_share_one_exchange(hub: LocalHub) -> None:
    ours = publisher(hub)
    with ThreadPoolExecutor(4) as pool:
        tokens = set(pool.map(ours.token, [REPO] * 8))
    assert len(tokens) == exchanges(hub) == 1


def test_the_job_without_a_publisher_has_no_token(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**job(hub), "HF_OIDC_RESOURCE": REPO}.items():
        monkeypatch.setenv(name, value)
    assert get_token() is None  # huggingface_hub 0.36.2 knows nothing of all this


# Secrets


def test_every_secret_is_told_before_it_is_used(hub: LocalHub) -> None:
    seen: list[tuple[str, int]] = []
    ours = Publisher(hub.endpoint, job(hub), lambda secret: seen.append((secret, exchanges(hub))))
    token = ours.token(REPO)
    (id_token, before), (last, _) = seen
    assert (id_token.count("."), before) == (2, 0)
    assert last == token


@pytest.mark.parametrize("repo", [REPO, "alice/other"])
def test_no_secret_is_in_a_log_or_an_error(
    repo: str, hub: LocalHub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_DEBUG", True)
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="huggingface_hub")
    variables = job(hub, repository=GITHUB if repo == REPO else "octo-org/untrusted")
    secrets = [variables[TOKEN]]
    ours = publisher(hub, variables, secrets)
    said = ours.token(repo)[:0] if repo == REPO else repr(refusal(ours, repo))
    assert "curl -X POST" in caplog.text
    for secret in secrets:
        assert secret[:40] not in caplog.text + said + repr(ours) + repr(vars(ours)["_tokens"])


def test_an_error_holds_on_to_no_secret(hub: LocalHub) -> None:
    hub.faults.add("POST", "/oauth/token", cut_request=1)
    error = refusal(publisher(hub))
    assert error.cause == "The Hub does not answer when asked for a token (ConnectionError)."
    assert error.__cause__ is error.__context__ is None


def test_a_redirect_is_not_followed(hub: LocalHub) -> None:
    reached = []

    def elsewhere(path: str, sent: bytes) -> Answer:
        reached.append(path)
        return as_json(200, value="x.y.z", access_token="t", token_type="bearer")

    with serving(elsewhere) as other:

        def away(_path: str, _sent: bytes) -> Answer:
            return 307, {"Location": f"{other}/reached"}, b""

        with serving(away) as address:
            asked = publisher(hub, {URL: f"{address}/?x=1", TOKEN: "t"})
            assert "it answers with status 307" in refusal(asked).cause
            exchanged = Publisher(address, job(hub), forget)
            error = refusal(exchanged)
    assert error.cause.endswith(f"{address} sends elsewhere, where the job's identity is not sent.")
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
def test_an_identity_does_not_go_through_a_network_in_the_clear(
    address: str, hub: LocalHub
) -> None:
    with pytest.raises(RequestError, match=f"The variable {URL} does not begin with https"):
        publisher(hub, {URL: address, TOKEN: "t"})
    with pytest.raises(RequestError, match="The Hub's endpoint does not begin with https"):
        Publisher(address, job(hub), forget)


@pytest.mark.parametrize(
    "address", ["https://example.org", "http://localhost:1", "http://127.8.8.8", "http://[::1]:80"]
)
def test_an_identity_goes_to_safe_addresses(address: str) -> None:
    assert Publisher(address, {URL: f"{address}/?x=1", TOKEN: "t"}, forget)


def test_a_request_token_that_would_be_shown_in_an_error_is_not_sent(hub: LocalHub) -> None:
    with pytest.raises(RequestError, match=f"The variable {TOKEN} has characters") as caught:
        publisher(hub, {**job(hub), TOKEN: "first\nsecond"})
    assert "second" not in str(caught.value)


# Jobs that may not ask


def event(tmp_path: Path, **pull_request: Any) -> dict[str, str]:
    """Return the variables of a run that was set off by a pull request."""
    file = tmp_path / "event.json"
    file.write_text(json.dumps({"pull_request": pull_request}))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": GITHUB,
        "GITHUB_EVENT_PATH": str(file),
    }


def not_offered(environ: Mapping[str, str]) -> RequestError:
    with pytest.raises(RequestError) as caught:
        Publisher("https://huggingface.co", environ, forget)
    return caught.value


def test_outside_of_github_a_token_is_needed() -> None:
    error = not_offered({})
    assert error.cause == "This is no job of GitHub Actions, so it has no identity to publish with."
    assert "Give a token that can write" in error.remedy


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pull_request": {"head": 1}}', "[" * 100_000])
def test_a_job_without_the_permission_is_told_what_to_add(text: str, tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text(text)
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": GITHUB}
    assert not_offered(environ).cause.startswith("The job may not ask GitHub for an id token")
    error = not_offered({**environ, "GITHUB_EVENT_PATH": str(tmp_path / "event.json")})
    assert "permissions: {id-token: write, contents: read}" in error.remedy


def test_a_pull_request_of_the_repository_itself_needs_the_permission(tmp_path: Path) -> None:
    error = not_offered(event(tmp_path, head={"repo": {"full_name": GITHUB}}))
    assert "id-token: write" in error.remedy


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ({"full_name": "stranger/octo-repo"}, "stranger/octo-repo"),
        ({"full_name": "stranger/\n::warning::\u202ex"}, "stranger/ ::warning:: x"),
        (None, "deleted since"),
    ],
)
def test_a_fork_is_told_that_it_cannot_publish(
    head: dict[str, str] | None, name: str, tmp_path: Path
) -> None:
    error = not_offered(event(tmp_path, head={"repo": head}))
    assert f"for a pull request from a fork ({name})" in error.cause
    assert "use mode: plan" in error.remedy


# What GitHub answers


def test_a_github_that_is_not_there_is_explained(hub: LocalHub, unused_port: int) -> None:
    variables = {URL: f"http://127.0.0.1:{unused_port}/?x=1", TOKEN: "t"}
    error = refusal(publisher(hub, variables))
    assert error.cause == "GitHub does not answer when asked for a token (ConnectionError)."
    assert "Check the endpoint and the network" in error.remedy


def test_a_hub_that_is_switched_off_is_explained(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    reset_sessions()
    try:
        assert "(OfflineModeIsEnabled)" in refusal(publisher(hub)).cause
    finally:
        monkeypatch.undo()
        reset_sessions()


def test_a_token_that_github_does_not_know_is_explained(hub: LocalHub) -> None:
    error = refusal(publisher(hub, {**job(hub), TOKEN: "t"}))
    assert error.cause.startswith("GitHub gives the job no id token: it answers with status 401")
    assert "https://www.githubstatus.com" in error.remedy


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
def test_an_answer_without_an_id_token_is_explained(answer: Answer, hub: LocalHub) -> None:
    with serving(lambda _path, _sent: answer) as address:
        secrets: list[str] = []
        error = refusal(publisher(hub, {URL: f"{address}/?x=1", TOKEN: "t"}, secrets))
    assert error.cause.startswith(
        f"GitHub gives the job no id token: it answers with status {answer[0]}"
    )
    assert secrets == []


# What the Hub answers


def test_a_job_that_is_not_trusted_is_told_who_it_is_and_where_to_say_so(hub: LocalHub) -> None:
    untrusted = job(hub, workflow="other.yml", environment="prod")
    error = refusal(publisher(hub, untrusted))
    assert error.cause == (
        "Cannot publish alice/model without a stored token: none of the trusted publishers in its "
        "settings is this job: repository octo-org/octo-repo, workflow other.yml, branch main, "
        "environment prod (the Hub answers with status 400, invalid_grant: The token exchange was "
        "refused)."
    )
    assert f"at {hub.endpoint}/alice/model/settings, under Trusted Publishers" in error.remedy
    assert "exactly the job's" in error.remedy


@pytest.mark.parametrize("repo", ["alice/missing", "alice/private"])
def test_a_repo_that_nobody_sees_is_to_be_created_first(repo: str, hub: LocalHub) -> None:
    error = refusal(publisher(hub), repo)
    assert "there is no such repo, or it is private and none of the trusted pub" in error.cause
    assert "workflow checkpoints.yml, branch main, environment (none)" in error.cause
    assert error.remedy.startswith(f"Create it at {hub.endpoint}/new, or give a token too")
    assert f"{hub.endpoint}/{repo}/settings, under Trusted Publishers" in error.remedy


def test_a_job_that_is_on_no_branch_is_told_its_ref(hub: LocalHub) -> None:
    error = refusal(publisher(hub, job(hub, repository="a/b", ref="refs/tags/v1")))
    assert "repository a/b, workflow checkpoints.yml, ref refs/tags/v1, env" in error.cause


def test_where_a_look_at_the_repo_fails_it_is_taken_to_be_there(hub: LocalHub) -> None:
    hub.faults.add("GET", "/api/models/", status=500)
    error = refusal(publisher(hub, job(hub, repository="a/b")))
    assert "model without a stored token: none of the trusted publishers" in error.cause


@pytest.mark.parametrize(
    ("status", "cause", "remedy"),
    [
        (404, "knows no trusted publishers; it answers with status 404", "Check the endpoint"),
        (405, "knows no trusted publishers; it answers with status 405", "or give a token"),
        (400, "without a stored token: the Hub answers with status 400", "the Hub is ill"),
        (429, "the Hub answers with status 429", "Wait a few minutes"),
        (500, "the Hub answers with status 500", "Run again; if it stays, the Hub is ill."),
    ],
)
def test_any_other_refusal_is_explained(
    status: int, cause: str, remedy: str, hub: LocalHub
) -> None:
    hub.faults.add("POST", "/oauth/token", status=status)
    error = refusal(publisher(hub))
    assert cause in error.cause
    assert remedy in error.remedy


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
def test_an_answer_without_a_token_is_explained(answer: Answer, hub: LocalHub) -> None:
    with serving(lambda _path, _sent: answer) as endpoint:
        error = refusal(Publisher(endpoint, job(hub), forget))
    assert "the Hub's answer to the job's id token is no token" in error.cause


@pytest.mark.parametrize("lifetime", [None, "3600", -1])
def test_where_the_hub_does_not_say_how_long_a_token_lasts_it_is_an_hour(
    lifetime: object, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = 1000.0, []

    def give(path: str, sent: bytes) -> Answer:
        asked.append(json.loads(sent)["resource"])
        return as_json(200, access_token="hf_jwt_x", token_type="Bearer", expires_in=lifetime)

    monkeypatch.setattr(oidc, "monotonic", lambda: now)
    with serving(give) as endpoint:
        ours = Publisher(endpoint, job(hub), forget)
        for moment in (0, 3299, 3301):
            now = 1000.0 + moment
            ours.token(REPO)
    assert asked == [REPO, REPO]


def test_what_a_server_says_is_shown_on_one_line_without_the_secret(hub: LocalHub) -> None:
    def repeat(_path: str, sent: bytes) -> Answer:
        token = json.loads(sent)["subject_token"]
        said = f"{token}\n::error::\x1b[31m\u202e{token}" + "x" * 1000
        return as_json(403, error="access_denied", error_description=said)

    with serving(repeat) as endpoint:
        error = refusal(Publisher(endpoint, job(hub), forget))
    shown = f"access_denied: *** ::error:: [31m ***{'x' * 1000}"[:300]
    assert f"the Hub answers with status 403, {shown[:200]}" in error.cause
    assert error.cause.isprintable()
    assert len(error.cause) < 500


def test_claims_from_an_issuer_cannot_inject_anything(hub: LocalHub) -> None:
    error = refusal(publisher(hub, job(hub, repository="a/b\n::error::", environment="\x1b[31m")))
    assert "repository a/b ::error::, workflow" in error.cause
    assert "environment [31m" in error.cause
    assert error.cause.isprintable()


@pytest.mark.parametrize("id_token", ["none", "a.b.c", "a.W10.c", "a.eyJyZWYiOiAxfQ.c"])
def test_an_id_token_that_cannot_be_read_is_still_a_refusal(id_token: str, hub: LocalHub) -> None:
    with serving(lambda _path, _sent: as_json(200, value=id_token)) as address:
        error = refusal(publisher(hub, {URL: f"{address}/?x=1", TOKEN: "t"}))
    assert "is this job: repository (none), workflow (none), " in error.cause
