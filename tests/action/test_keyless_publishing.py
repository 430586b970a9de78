"""Keyless publishing: the action from the identity of its job to the Hub's commits."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from examples.demo.runner import Run
from tests.support.action import Action, actions_of, annotations, code_of, masked, place_of
from tests.support.publishing import TOKEN, client, pair
from ved.errors import ErrorCode
from ved.localhub import LocalHub

ROOT = Path(__file__).parents[2]
RUNNER = os.environ.get("VED_CONTAINER_RUNNER")
GITHUB = "octo-org/octo-repo"
WORKFLOW = "checkpoints.yml"
OIDC = "[OIDC]"


@pytest.fixture
def action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action without a token."""
    return Action(tmp_path / "runner", {"endpoint": hub.endpoint})


def job(hub: LocalHub, **changes: Any) -> dict[str, str]:
    """Return the variables of a job that may ask for id tokens."""
    return hub.add_job(**{"repository": GITHUB, "workflow": WORKFLOW} | changes)


def create(hub: LocalHub, repo: str, *, private: bool = False, trusting: bool = True) -> None:
    """Create a repo as its owner; with our workflow as a trusted publisher, if it is trusting."""
    client(hub).create_repo(repo, private=private)
    if trusting:
        hub.add_publisher(repo, repository=GITHUB, workflow=WORKFLOW)


def authors(hub: LocalHub, repo: str) -> list[list[str]]:
    """Return the authors of each commit of a repo, newest first."""
    return [commit.authors for commit in client(hub).list_repo_commits(repo)]


def exchanges(hub: LocalHub) -> int:
    """Return how many id tokens the Hub was sent."""
    return sum(request.path == "/oauth/token" for request in hub.requests)


# Publishing


def test_identity_publishes_and_then_updates_only_what_changed(
    action: Action, hub: LocalHub
) -> None:
    public, private = "owner/keyless-public", "owner/keyless-private"
    create(hub, public)
    create(hub, private, private=True)
    hub.requests.clear()

    here = job(hub)
    first = action.run([pair(public), pair(private)], here)
    assert (first.status, actions_of(first)) == (0, ["built", "built"]), first.log
    assert exchanges(hub) == 2
    for repo in (public, private):
        newest, *earlier = authors(hub, repo)
        assert newest == [OIDC]
        assert [OIDC] not in earlier
        assert "ved.json" in client(hub).list_repo_files(repo)
    assert client(hub).model_info(private).private
    request_token, *secrets = masked(first)
    assert request_token == here["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    assert [secret.count(".") for secret in secrets] == [2, 0, 2, 0]
    assert len(set(secrets)) == 4
    assert all(secret.startswith("hf_jwt_") for secret in secrets[1::2])

    again = action.run([pair(public), pair(private)], job(hub))
    assert (again.status, actions_of(again)) == (0, ["skipped", "skipped"])

    keys = {"description": "Another description."}
    renewed = action.run([pair(public, **keys), pair(private, **keys)], job(hub))
    assert (renewed.status, actions_of(renewed)) == (0, ["card-only", "card-only"]), renewed.log
    for repo in (public, private):
        assert authors(hub, repo)[:2] == [[OIDC], [OIDC]]
    assert len(masked(renewed)) == 1 + 4


def test_token_creates_a_repo_that_the_identity_then_publishes_to(
    action: Action, hub: LocalHub
) -> None:
    repo = "owner/keyless-created"

    created = action.run([pair(repo)], job(hub), token=TOKEN)
    assert (created.status, actions_of(created)) == (0, ["built"]), created.log
    assert authors(hub, repo)[0] == ["owner"]
    assert masked(created)[0] == TOKEN

    hub.add_publisher(repo, repository=GITHUB)
    entry = pair(repo, private=True, description="By the job.")
    renewed = action.run([entry], job(hub), token=TOKEN)
    assert (renewed.status, actions_of(renewed)) == (0, ["card-only"]), renewed.log
    assert authors(hub, repo)[:2] == [[OIDC], ["owner"]]
    assert client(hub).model_info(repo).private  # which no job may change
    assert masked(renewed)[0] == TOKEN


# Refusals


def test_refusals_of_the_identity_are_annotated_at_their_pairs(
    action: Action, hub: LocalHub
) -> None:
    create(hub, "owner/keyless-untrusting", trusting=False)
    create(hub, "owner/keyless-of-main")
    publishers: dict[str, dict[str, Any]] = {"of-main": {"ref": "refs/heads/main"}, "good": {}}
    for name, claims in publishers.items():
        repo = f"owner/keyless-{name}-2"
        client(hub).create_repo(repo)
        hub.add_publisher(repo, repository=GITHUB, **claims)
    names = ("absent", "untrusting", "of-main", "of-main-2", "good-2")
    here = job(hub, workflow="other.yml", ref="refs/heads/topic", environment="prod")

    run = action.run([pair(f"owner/keyless-{name}") for name in names], here)

    assert (run.status, actions_of(run)) == (1, [*("refused",) * 4, "built"]), run.log
    errors = annotations(run)
    assert [place_of(error)[1] for error in errors] == ["2", "3", "4", "5"]
    assert [code_of(error) for error in errors] == [ErrorCode.TRUSTED_PUBLISHER] * 4
    absent, *untrusted = (error.message for error in errors)
    assert f"{hub.endpoint}/new" in absent
    for name, message in zip(names[1:], untrusted, strict=False):
        assert f"{hub.endpoint}/owner/keyless-{name}/settings" in message
    for message in (absent, *untrusted):
        for claim in (GITHUB, "other.yml", "topic", "prod"):
            assert claim in message
    assert len(masked(run)) == 1 + 4 + 2


def test_job_without_the_permission_is_refused(action: Action, hub: LocalHub) -> None:
    run = action.run([pair("owner/x")], {"GITHUB_REPOSITORY": GITHUB})
    assert run.status == 2
    (error,) = annotations(run)
    assert code_of(error) == ErrorCode.EMPTY_TOKEN
    assert "permissions: {id-token: write, contents: read}" in error.message
    assert hub.requests == []


@pytest.mark.parametrize("has_identity", [False, True])
def test_fork_is_refused(has_identity: bool, action: Action, hub: LocalHub, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    head = {"repo": {"full_name": "stranger/octo-repo"}}
    event.write_text(json.dumps({"pull_request": {"head": head}}))
    variables = {"GITHUB_REPOSITORY": GITHUB, "GITHUB_EVENT_PATH": str(event)}
    run = action.run([pair("owner/x")], variables | (job(hub) if has_identity else {}))
    assert run.status == 2
    (error,) = annotations(run)
    assert code_of(error) == ErrorCode.PULL_REQUESTS_NEVER_PUBLISH
    assert hub.requests == []


def test_issuer_that_does_not_answer_is_annotated_at_each_pair(
    action: Action, hub: LocalHub, unused_port: int
) -> None:
    repos = ("owner/keyless-unheard-1", "owner/keyless-unheard-2")
    for repo in repos:
        create(hub, repo)
    here = job(hub) | {"ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{unused_port}/?x=1"}

    run = action.run([pair(repo) for repo in repos], here)

    assert (run.status, actions_of(run)) == (1, ["refused", "refused"])
    errors = annotations(run)
    assert [place_of(error)[1] for error in errors] == ["2", "3"]
    assert [code_of(error) for error in errors] == [ErrorCode.HUB_DOES_NOT_ANSWER] * 2
    assert masked(run) == [here["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]]


# The container


@pytest.mark.slow
@pytest.mark.skipif(RUNNER is None, reason="VED_CONTAINER_RUNNER names no program")
def test_container_publishes_with_the_identity(hub: LocalHub, tmp_path: Path) -> None:
    create(hub, "owner/keyless-container")
    workspace, output = tmp_path / "workspace", tmp_path / "output"
    workspace.mkdir()
    manifest = {"pairs": [pair("owner/keyless-container")]}
    (workspace / "pairs.yaml").write_text(json.dumps(manifest))
    variables = {"INPUT_ENDPOINT": hub.endpoint, "GITHUB_REPOSITORY": GITHUB, **job(hub)}
    settings = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]

    assert RUNNER is not None
    run = subprocess.run(
        [ROOT / RUNNER, ROOT, *settings, "-w", workspace, "-o", output],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert authors(hub, "owner/keyless-container")[0] == [OIDC]
    summary = (output / "file_commands" / "step_summary").read_text()
    assert len(masked(Run(0, run.stdout, {}, summary))) == 1 + 2
