"""A job of GitHub Actions publishes as itself: the action from its inputs to the Hub's commits."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from examples.demo.runner import Run, run_action
from tests.support.publishing import TOKEN, client, pair
from tests.support.workflow_commands import Command, commands, lines
from ved.localhub import LocalHub

ROOT = Path(__file__).parents[2]
RUNNER = os.environ.get("VED_CONTAINER_RUNNER")
GITHUB = "octo-org/octo-repo"
WORKFLOW = "checkpoints.yml"
OIDC = "[OIDC]"

Act = Callable[..., Run]


@pytest.fixture
def act(hub: LocalHub, tmp_path: Path) -> Act:
    """Run the action on pairs, in the environment of a job, without a token unless one is given."""

    def run(*entries: Mapping[str, Any], job: Mapping[str, str], **inputs: str) -> Run:
        workspace, home = tmp_path / "workspace", tmp_path / "home"
        for directory in (workspace, home):
            directory.mkdir(exist_ok=True)
        listed = "".join(f"- {json.dumps(entry)}\n" for entry in entries)
        (workspace / "pairs.yaml").write_text(f"pairs:\n{listed}")
        return run_action({"endpoint": hub.endpoint, **inputs}, workspace, home, job)

    return run


def job(hub: LocalHub, **changes: Any) -> dict[str, str]:
    return hub.add_job(**{"repository": GITHUB, "workflow": WORKFLOW} | changes)


def create(hub: LocalHub, repo: str, *, private: bool = False, trusting: bool = True) -> None:
    """Create a repo as its owner does, who may then trust our jobs in its settings."""
    client(hub).create_repo(repo, private=private)
    if trusting:
        hub.add_publisher(repo, repository=GITHUB, workflow=WORKFLOW)


def authors(hub: LocalHub, repo: str) -> list[list[str]]:
    """Return who made the commits of a repo, newest first."""
    return [commit.authors for commit in client(hub).list_repo_commits(repo)]


def exchanges(hub: LocalHub) -> int:
    return sum(request.path == "/oauth/token" for request in hub.requests)


def actions(run: Run) -> list[str]:
    return [row["action"] for row in json.loads(run.outputs["results"])]


def masked(run: Run) -> list[str]:
    """Return what the runner masks, having made sure that the log does not show it elsewhere."""
    found = [command for command in commands(run.log) if command.name == "add-mask"]
    masks = {command.line for command in found}
    others = [line for number, line in enumerate(lines(run.log)) if number not in masks]
    shown = "\n".join([*others, run.summary, *run.outputs.values()])
    for command in found:
        assert command.message not in shown
    return [command.message for command in found]


def errors(run: Run) -> list[Command]:
    return [command for command in commands(run.log) if command.name == "error"]


# Publishing


def test_a_job_publishes_as_itself_and_then_only_what_changed(act: Act, hub: LocalHub) -> None:
    public, private = "owner/keyless-public", "owner/keyless-private"
    create(hub, public)
    create(hub, private, private=True)
    hub.requests.clear()

    first = act(pair(public), pair(private), job=job(hub))
    assert (first.status, actions(first)) == (0, ["built", "built"]), first.log
    assert exchanges(hub) == 2
    for repo in (public, private):
        newest, *earlier = authors(hub, repo)
        assert newest == [OIDC]
        assert [OIDC] not in earlier
        assert "ved.json" in client(hub).list_repo_files(repo)
    assert client(hub).model_info(private).private
    secrets = masked(first)
    assert [secret.count(".") for secret in secrets] == [2, 0, 2, 0]
    assert len(set(secrets)) == 4
    assert all(secret.startswith("hf_jwt_") for secret in secrets[1::2])

    again = act(pair(public), pair(private), job=job(hub))
    assert (again.status, actions(again)) == (0, ["skipped", "skipped"])

    words = {"description": "In other words."}
    renewed = act(pair(public, **words), pair(private, **words), job=job(hub))
    assert (renewed.status, actions(renewed)) == (0, ["card-only", "card-only"]), renewed.log
    for repo in (public, private):
        assert authors(hub, repo)[:2] == [[OIDC], [OIDC]]
    assert len(masked(renewed)) == 4


def test_a_token_creates_what_the_job_then_publishes_to(act: Act, hub: LocalHub) -> None:
    repo = "owner/keyless-created"

    created = act(pair(repo), job=job(hub), token=TOKEN)
    assert (created.status, actions(created)) == (0, ["built"]), created.log
    assert "The stored token is used, because: " in created.log
    assert authors(hub, repo)[0] == ["owner"]
    assert masked(created)[0] == TOKEN

    hub.add_publisher(repo, repository=GITHUB)
    hidden = pair(repo, private=True, description="By the job.")
    renewed = act(hidden, job=job(hub), token=TOKEN)
    assert (renewed.status, actions(renewed)) == (0, ["card-only"]), renewed.log
    assert authors(hub, repo)[:2] == [[OIDC], ["owner"]]
    assert client(hub).model_info(repo).private  # which no job may see to
    assert masked(renewed)[0] == TOKEN


# Refusals


def test_each_refusal_is_told_at_its_pair(act: Act, hub: LocalHub) -> None:
    create(hub, "owner/keyless-untrusting", trusting=False)
    create(hub, "owner/keyless-of-main")
    for name, wanted in {"of-main": {"ref": "refs/heads/main"}, "good": {}}.items():
        repo = f"owner/keyless-{name}-2"
        client(hub).create_repo(repo)
        hub.add_publisher(repo, repository=GITHUB, **wanted)
    names = ("absent", "untrusting", "of-main", "of-main-2", "good-2")
    here = job(hub, workflow="other.yml", ref="refs/heads/topic", environment="prod")

    run = act(*(pair(f"owner/keyless-{name}") for name in names), job=here)

    assert (run.status, actions(run)) == (1, [*("refused",) * 4, "built"]), run.log
    found = errors(run)
    assert [error.properties["line"] for error in found] == ["2", "3", "4", "5"]
    absent, *untrusted = (error.message for error in found)
    assert "there is no such repo, or it is private and none of the trusted publishers" in absent
    assert f"Create it at {hub.endpoint}/new, or give a token too" in absent
    for name, message in zip(names[1:], untrusted, strict=False):
        assert f"Cannot publish owner/keyless-{name} without a stored token: none of" in message
        assert f"{hub.endpoint}/owner/keyless-{name}/settings, under Trusted Publish" in message
    for message in (absent, *untrusted):
        assert (
            f"repository {GITHUB}, workflow other.yml, branch topic, environment prod"
        ) in message
    assert len(masked(run)) == 4 + 2


def test_a_job_without_the_permission_is_told_to_ask_for_it(act: Act, hub: LocalHub) -> None:
    run = act(pair("owner/x"), job={"GITHUB_REPOSITORY": GITHUB})
    assert run.status == 2
    (error,) = errors(run)
    assert "permissions: {id-token: write, contents: read}" in error.message
    assert hub.requests == []


def test_a_fork_is_told_that_it_never_publishes(act: Act, hub: LocalHub, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    head = {"repo": {"full_name": "stranger/octo-repo"}}
    event.write_text(json.dumps({"pull_request": {"head": head}}))
    variables = {"GITHUB_REPOSITORY": GITHUB, "GITHUB_EVENT_PATH": str(event)}
    for extra in ({}, job(hub)):
        run = act(pair("owner/x"), job=variables | extra)
        assert run.status == 2
        (error,) = errors(run)
        assert "a fork's code (stranger/octo-repo), which never publishes" in error.message
    assert hub.requests == []


def test_an_issuer_that_does_not_answer_is_told_at_each_pair(
    act: Act, hub: LocalHub, unused_port: int
) -> None:
    repos = ("owner/keyless-unheard-1", "owner/keyless-unheard-2")
    for repo in repos:
        create(hub, repo)
    here = job(hub) | {"ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{unused_port}/?x=1"}

    run = act(*(pair(repo) for repo in repos), job=here)

    assert (run.status, actions(run)) == (1, ["refused", "refused"])
    assert [error.properties["line"] for error in errors(run)] == ["2", "3"]
    for error in errors(run):
        assert "GitHub does not answer when asked for a token (" in error.message
    assert masked(run) == []


# The container


@pytest.mark.slow
@pytest.mark.skipif(RUNNER is None, reason="VED_CONTAINER_RUNNER names no program")
def test_the_container_publishes_as_its_job(hub: LocalHub, tmp_path: Path) -> None:
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
    assert len(masked(Run(0, run.stdout, {}, summary))) == 2
