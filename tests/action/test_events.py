"""Runs of GitHub Actions that may publish: none for code that nobody has merged yet."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def workflow_run(repo: object) -> dict[str, Any]:
    return {"action": "completed", "workflow_run": {"head_repository": repo}}


PUBLISHING: Mapping[str, tuple[str, object]] = {
    "push": ("push", {"ref": "refs/heads/main", "repository": OWN}),
    "schedule": ("schedule", {"schedule": "0 0 * * 0"}),
    "by hand": ("workflow_dispatch", {"inputs": None}),
    "merge queue": ("merge_group", {"merge_group": {"head_ref": "refs/heads/x"}}),
    "own pull request": ("pull_request", pull_request(OWN)),
    "workflow run of our own": ("workflow_run", workflow_run(OWN)),
}

REFUSED: Mapping[str, tuple[str, object, str]] = {
    "fork": ("pull_request", pull_request(FORK), "stranger/octo-repo"),
    "review of a fork": ("pull_request_review", pull_request(FORK), "stranger/octo-repo"),
    "deleted fork": ("pull_request", pull_request(None), "deleted since"),
    "target": ("pull_request_target", pull_request(OWN), ""),
    "fork's target": ("pull_request_target", pull_request(FORK), "stranger/octo-repo"),
    "target of nothing": ("pull_request_target", {}, "unknown"),
    "workflow run of a fork": ("workflow_run", workflow_run(FORK), "stranger/octo-repo"),
    "workflow run of a deleted fork": ("workflow_run", workflow_run(None), "deleted since"),
}
"""Events that never publish: their name, payload and fork."""

# GitHub writes none of these, and nobody else can write the file. A runner of another make may have
# no file.
MALFORMED = ["", "{", "null", "[]", "7", '"workflow_run"', '{"pull_request": 1}', "[" * 100_000]


def variables(folder: Path, name: str, payload: object) -> dict[str, str]:
    """Return the variables that GitHub sets for a run; a text payload is the file's content."""
    file = folder / "event.json"
    file.write_text(payload if isinstance(payload, str) else json.dumps(payload))
    return {
        "GITHUB_EVENT_NAME": name,
        "GITHUB_EVENT_PATH": str(file),
        "GITHUB_REPOSITORY": OURS,
    }


@pytest.mark.parametrize("case", PUBLISHING)
def test_check_may_publish_accepts_own_code(case: str, tmp_path: Path) -> None:
    events.check_may_publish(variables(tmp_path, *PUBLISHING[case]))


@pytest.mark.parametrize("text", MALFORMED)
def test_check_may_publish_accepts_a_push_with_an_unreadable_event(
    text: str, tmp_path: Path
) -> None:
    environ = variables(tmp_path, "push", text)
    assert events.fork(environ) == ""
    events.check_may_publish(environ)


def test_check_may_publish_accepts_a_run_without_an_event(tmp_path: Path) -> None:
    events.check_may_publish({})
    events.check_may_publish({"GITHUB_EVENT_PATH": str(tmp_path / "absent")})
    events.check_may_publish({"GITHUB_EVENT_PATH": str(tmp_path)})


@pytest.mark.parametrize("case", REFUSED)
def test_check_may_publish_refuses_unmerged_code(case: str, tmp_path: Path) -> None:
    name, payload, fork = REFUSED[case]
    environ = variables(tmp_path, name, payload)
    assert events.fork(environ) == fork
    with pytest.raises(RequestError) as caught:
        events.check_may_publish(environ)
    assert caught.value.code == ErrorCode.PULL_REQUESTS_NEVER_PUBLISH
    assert (fork or name) in caught.value.cause


@pytest.mark.parametrize("text", MALFORMED)
@pytest.mark.parametrize("name", ["pull_request", "pull_request_target", "workflow_run"])
def test_check_may_publish_refuses_a_pull_request_with_an_unreadable_event(
    name: str, text: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError) as caught:
        events.check_may_publish(variables(tmp_path, name, text))
    assert caught.value.code == ErrorCode.PULL_REQUESTS_NEVER_PUBLISH


def test_fork_is_any_repository_if_the_own_one_is_unknown(tmp_path: Path) -> None:
    environ = variables(tmp_path, "pull_request", pull_request(OWN))
    del environ["GITHUB_REPOSITORY"]
    assert events.fork(environ) == OURS


@given(name=st.text(st.characters(codec=None) | st.sampled_from("\n\r\x1b\u202e:`%"), max_size=300))
def test_fork_is_short_and_on_one_line(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    environ = variables(tmp_path_factory.mktemp("event"), "push", pull_request({"full_name": name}))
    shown = events.fork(environ)
    assert len(shown) <= 100
    assert shown.isprintable()


# The action


@pytest.fixture(scope="module")
def published(module_hub: LocalHub) -> dict[str, Any]:
    """Publish a pair, so that the action has nothing to do for it and needs little time."""
    entry = pair("owner/published-before", decoder="team/bart")
    assert build_pair(module_hub, entry).action == "built"
    return entry


def test_build_publishes_nothing_for_a_fork(
    action: Action, hub: LocalHub, published: dict[str, Any], tmp_path: Path
) -> None:
    run = action.run([published], variables(tmp_path, "pull_request", pull_request(FORK)))
    assert run.status == 2
    (error,) = annotations(run)
    assert code_of(error) == ErrorCode.PULL_REQUESTS_NEVER_PUBLISH
    assert hub.requests == []


def test_plan_works_for_a_fork(action: Action, hub: LocalHub, tmp_path: Path) -> None:
    extra = variables(tmp_path, "pull_request", pull_request(FORK))
    run = action.run([pair("owner/of-a-fork", decoder="team/bart")], extra, mode="plan")
    assert (run.status, run.outputs["pending"]) == (0, "1")
    assert "owner/of-a-fork" not in heads(hub)


@pytest.mark.parametrize("case", REFUSED)
def test_plan_works_for_unmerged_code(
    case: str, action: Action, published: dict[str, Any], tmp_path: Path
) -> None:
    name, payload, _ = REFUSED[case]
    run = action.run([published], variables(tmp_path, name, payload), mode="plan")
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
