"""Runs of GitHub Actions that may publish: none for code that nobody has merged yet."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.action import Action, actions_of, annotations, code_of, rows_of
from tests.support.publishing import build_pair, heads, pair
from ved.action import events
from ved.errors import ErrorCode, RequestError
from ved.localhub import LocalHub

OURS = "octo-org/octo-repo"
FORK = {"full_name": "stranger/octo-repo"}
OWN = {"full_name": OURS}


def pull_request(repo: object) -> dict[str, Any]:
    return {"action": "opened", "pull_request": {"number": 7, "head": {"repo": repo}}}


PUBLISHING: Mapping[str, object] = {
    "push": {"ref": "refs/heads/main", "repository": OWN},
    "schedule": {"schedule": "0 0 * * 0"},
    "workflow_dispatch": {"inputs": None},
    "release": {"action": "published", "release": {"tag_name": "v1"}},
}

OTHERS = [
    *("branch_protection_rule", "check_run", "check_suite", "create", "delete", "deployment"),
    *("deployment_status", "discussion", "discussion_comment", "fork", "gollum", "issue_comment"),
    *("issues", "label", "merge_group", "milestone", "page_build", "public", "pull_request"),
    *("pull_request_comment", "pull_request_review", "pull_request_review_comment"),
    *("pull_request_target", "registry_package", "repository_dispatch", "status", "watch"),
    *("workflow_call", "workflow_run", "an_event_of_the_future", "PUSH", "push\n", " push", ""),
]
"""Events that never publish, whatever their payload."""


def variables(folder: Path, name: str, payload: object) -> dict[str, str]:
    """Return the variables that GitHub sets for a run."""
    file = folder / "event.json"
    file.write_text(json.dumps(payload))
    return {
        "GITHUB_EVENT_NAME": name,
        "GITHUB_EVENT_PATH": str(file),
        "GITHUB_REPOSITORY": OURS,
        "GITHUB_RUN_ID": "1",
    }


@pytest.mark.parametrize("name", PUBLISHING)
def test_check_may_publish_accepts_own_code(name: str, tmp_path: Path) -> None:
    events.check_may_publish(variables(tmp_path, name, PUBLISHING[name]))


def test_check_may_publish_accepts_a_run_without_an_event(tmp_path: Path) -> None:
    events.check_may_publish({})
    events.check_may_publish({"GITHUB_ACTIONS": "true"})  # another program that runs actions


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("payload", [pull_request(OWN), pull_request(FORK), {}], ids=str)
def test_check_may_publish_refuses_other_events(name: str, payload: object, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        events.check_may_publish(variables(tmp_path, name, payload))
    assert caught.value.code == ErrorCode.PULL_REQUESTS_NEVER_PUBLISH


@pytest.mark.parametrize("key", ["pull_request", "comment", "merge_group", "workflow_run"])
@pytest.mark.parametrize("name", [None, "push"])
def test_check_may_publish_refuses_the_payload_of_another_event(
    key: str, name: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps({key: {}}))
    environ = {"GITHUB_EVENT_PATH": str(file)} | ({"GITHUB_EVENT_NAME": name} if name else {})
    with pytest.raises(RequestError):
        events.check_may_publish(environ)


# GitHub writes none of these, and nobody else can write the file.
MALFORMED = ["", "{", "null", "[]", "7", '"workflow_run"', "[[]]", "[" * 100_000]


@pytest.mark.parametrize("text", MALFORMED)
def test_check_may_publish_needs_no_payload(text: str, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(text)
    for path in (file, tmp_path, tmp_path / "absent"):
        environ = {"GITHUB_EVENT_PATH": str(path), "GITHUB_EVENT_NAME": "push"}
        events.check_may_publish(environ)


def test_check_may_publish_refuses_a_job_of_github_without_an_event() -> None:
    with pytest.raises(RequestError):
        events.check_may_publish({"GITHUB_RUN_ID": "1"})


def test_publishing_events_are_those_of_the_reusable_workflow() -> None:
    text = (Path(__file__).parents[2] / ".github" / "workflows" / "build-pairs.yml").read_text()
    lists = re.findall(r"fromJSON\('(.*?)'\),\s+github.event_name", text)
    assert [json.loads(each) for each in lists] == [[*events.PUBLISHING]] * 2


# The action


@pytest.fixture(scope="module")
def published(module_hub: LocalHub) -> dict[str, Any]:
    """Publish a pair, so that the action has nothing to do for it and needs little time."""
    entry = pair("owner/published-before", decoder="team/bart")
    assert build_pair(module_hub, entry).action == "built"
    return entry


@pytest.mark.parametrize(
    "name", ["pull_request", "issue_comment", "check_run", "repository_dispatch", "merge_group"]
)
def test_build_publishes_nothing_for_unmerged_code(
    name: str, action: Action, hub: LocalHub, published: dict[str, Any], tmp_path: Path
) -> None:
    run = action.run([published], variables(tmp_path, name, pull_request(OWN)))
    assert run.status == 2
    (error,) = annotations(run)
    assert code_of(error) == ErrorCode.PULL_REQUESTS_NEVER_PUBLISH
    assert hub.requests == []


@pytest.mark.parametrize("name", ["release", "schedule"])
def test_build_works_for_own_code(
    name: str, action: Action, published: dict[str, Any], tmp_path: Path
) -> None:
    run = action.run([published], variables(tmp_path, name, PUBLISHING[name]))
    assert (run.status, actions_of(run)) == (0, ["skipped"])


def test_plan_works_for_a_fork(action: Action, hub: LocalHub, tmp_path: Path) -> None:
    extra = variables(tmp_path, "pull_request", pull_request(FORK))
    run = action.run([pair("owner/of-a-fork", decoder="team/bart")], extra, mode="plan")
    assert (run.status, run.outputs["pending"]) == (0, "1")
    assert "owner/of-a-fork" not in heads(hub)


@pytest.mark.parametrize("name", ["pull_request_target", "issue_comment", "status", "discussion"])
def test_plan_works_for_unmerged_code(
    name: str, action: Action, published: dict[str, Any], tmp_path: Path
) -> None:
    run = action.run([published], variables(tmp_path, name, pull_request(FORK)), mode="plan")
    assert (run.status, actions_of(run)) == (0, ["skip"])


def test_report_works_for_a_fork(action: Action, tmp_path: Path) -> None:
    (action.workspace / "results").mkdir(parents=True)
    row: dict[str, Any] = {
        **{"repo": "owner/x", "encoder": "a/b", "decoder": "c/d", "action": "skip", "reason": ""},
        **{"warnings": [], "commit": None, "url": None, "fingerprint": "", "bytes": 0},
        "seconds": 0,
    }
    (action.workspace / "results" / "1.json").write_text(json.dumps([row]))
    extra = variables(tmp_path, "pull_request", pull_request(FORK))
    run = action.run([pair("owner/x")], extra, mode="report", results="results")
    assert (run.status, run.outputs["failed"]) == (0, "0")


# Namespaces


@pytest.mark.parametrize("mode", ["plan", "build"])
def test_allowed_namespaces_are_the_only_ones(mode: str, action: Action, hub: LocalHub) -> None:
    pairs = [pair(f"{owner}/allowed", encoder="team/missing") for owner in ("owner", "team")]
    run = action.run(pairs, mode=mode, allowed_namespaces="Someone, TEAM")
    refused, other = rows_of(run)
    assert (run.status, refused["action"]) == (1, "refuse" if mode == "plan" else "refused")
    assert ErrorCode.NAMESPACE_NOT_ALLOWED in refused["codes"]
    assert "someone, team" in refused["reason"]
    assert ErrorCode.NAMESPACE_NOT_ALLOWED not in other["codes"]
    assert "owner/allowed" not in heads(hub)
