"""Which runs of GitHub Actions publish: not those that are for somebody's unmerged proposal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.demo.runner import Run, run_action
from tests.support.publishing import TOKEN, build_pair, heads, pair
from tests.support.workflow_commands import commands
from ved.action import events
from ved.errors import RequestError
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
    "fork": ("pull_request", pull_request(FORK), "a fork's code (stranger/octo-repo)"),
    "review of a fork": ("pull_request_review", pull_request(FORK), "a fork's code (stranger/"),
    "deleted fork": ("pull_request", pull_request(None), "a fork's code (deleted since)"),
    "target": ("pull_request_target", pull_request(OWN), "the event pull_request_target"),
    "fork's target": ("pull_request_target", pull_request(FORK), "a fork's code (stranger/octo"),
    "target of nothing": ("pull_request_target", {}, "a fork's code (unknown)"),
    "workflow run of a fork": ("workflow_run", workflow_run(FORK), "a fork's code (stranger/octo"),
    "workflow run of a deleted fork": ("workflow_run", workflow_run(None), "(deleted since)"),
}

# What GitHub never writes. Nobody outside can write it either, and there may be no file at all
# where something else than GitHub runs workflows.
MALFORMED = ["", "{", "null", "[]", "7", '"workflow_run"', '{"pull_request": 1}', "[" * 100_000]


def variables(folder: Path, name: str, payload: object) -> dict[str, str]:
    """Return what GitHub sets for a run; a text is the file's own."""
    file = folder / "event.json"
    file.write_text(payload if isinstance(payload, str) else json.dumps(payload))
    return {
        "GITHUB_EVENT_NAME": name,
        "GITHUB_EVENT_PATH": str(file),
        "GITHUB_REPOSITORY": OURS,
    }


def act(
    folder: Path,
    hub: LocalHub,
    entries: Mapping[str, Any] | list[dict[str, Any]],
    extra: Mapping[str, str],
    **inputs: str,
) -> Run:
    """Run the action, with a token, on a manifest of one pair or several."""
    workspace, home = folder / "workspace", folder / "home"
    workspace.mkdir(exist_ok=True)
    home.mkdir(exist_ok=True)
    pairs = entries if isinstance(entries, list) else [entries]
    (workspace / "pairs.yaml").write_text(json.dumps({"pairs": pairs}))
    given = {"token": TOKEN, "endpoint": hub.endpoint, **inputs}
    return run_action(given, workspace, home, extra)


# What may publish


@pytest.mark.parametrize("case", PUBLISHING)
def test_what_is_ours_publishes(case: str, tmp_path: Path) -> None:
    events.check_may_publish(variables(tmp_path, *PUBLISHING[case]))


@pytest.mark.parametrize("text", MALFORMED)
def test_an_event_that_cannot_be_read_says_nothing_of_a_fork(text: str, tmp_path: Path) -> None:
    environ = variables(tmp_path, "push", text)
    assert events.fork(environ) == ""
    events.check_may_publish(environ)


def test_without_an_event_nothing_is_refused(tmp_path: Path) -> None:
    events.check_may_publish({})
    events.check_may_publish({"GITHUB_EVENT_PATH": str(tmp_path / "absent")})
    events.check_may_publish({"GITHUB_EVENT_PATH": str(tmp_path)})


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_proposed_does_not_publish(case: str, tmp_path: Path) -> None:
    name, payload, whose = REFUSED[case]
    with pytest.raises(RequestError) as caught:
        events.check_may_publish(variables(tmp_path, name, payload))
    assert whose in caught.value.cause
    assert caught.value.cause.endswith("which never publishes.")
    assert "use mode: plan" in caught.value.remedy


@pytest.mark.parametrize("text", MALFORMED)
@pytest.mark.parametrize("name", ["pull_request", "pull_request_target", "workflow_run"])
def test_a_proposal_of_which_nothing_is_known_does_not_publish(
    name: str, text: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="never publishes"):
        events.check_may_publish(variables(tmp_path, name, text))


def test_a_run_that_does_not_know_its_own_repository_trusts_no_other(tmp_path: Path) -> None:
    environ = variables(tmp_path, "pull_request", pull_request(OWN))
    del environ["GITHUB_REPOSITORY"]
    assert events.fork(environ) == OURS


@given(name=st.text(st.characters(codec=None) | st.sampled_from("\n\r\x1b\u202e:`%"), max_size=300))
def test_a_forks_name_is_shown_short_and_on_one_line(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    environ = variables(tmp_path_factory.mktemp("event"), "push", pull_request({"full_name": name}))
    shown = events.fork(environ)
    assert len(shown) <= 100
    assert shown.isprintable()


# The action


@pytest.fixture(scope="module")
def published(module_hub: LocalHub, sources: dict[str, Path]) -> dict[str, Any]:
    """Publish a pair, so that the action has nothing to do for it, and is quick to see that."""
    entry = pair("owner/published-before", decoder="team/bart")
    assert build_pair(module_hub, entry).action == "built"
    return entry


def test_a_fork_publishes_nothing_and_can_plan(
    hub: LocalHub, published: dict[str, Any], tmp_path: Path
) -> None:
    extra = variables(tmp_path, "pull_request", pull_request(FORK))

    refused = act(tmp_path, hub, published, extra)
    assert refused.status == 2
    (error,) = [each for each in commands(refused.log) if each.name == "error"]
    assert "a fork's code (stranger/octo-repo), which never publishes" in error.message
    assert hub.requests == []

    planned = act(tmp_path, hub, pair("owner/of-a-fork", decoder="team/bart"), extra, mode="plan")
    assert (planned.status, planned.outputs["pending"]) == (0, "1")
    assert "owner/of-a-fork" not in heads(hub)


@pytest.mark.parametrize("case", REFUSED)
def test_a_proposal_can_be_planned(
    case: str, hub: LocalHub, published: dict[str, Any], tmp_path: Path
) -> None:
    name, payload, _ = REFUSED[case]
    run = act(tmp_path, hub, published, variables(tmp_path, name, payload), mode="plan")
    assert run.status == 0
    assert json.loads(run.outputs["results"])[0]["action"] == "skip"


def test_results_of_others_are_reported_for_a_fork(hub: LocalHub, tmp_path: Path) -> None:
    (tmp_path / "workspace" / "results").mkdir(parents=True)
    row: dict[str, Any] = {
        **{"repo": "owner/x", "encoder": "a/b", "decoder": "c/d", "action": "skip", "reason": ""},
        **{"warnings": [], "commit": None, "url": None, "fingerprint": "", "bytes": 0},
        "seconds": 0,
    }
    (tmp_path / "workspace" / "results" / "1.json").write_text(json.dumps([row]))
    extra = variables(tmp_path, "pull_request", pull_request(FORK))
    run = act(tmp_path, hub, pair("owner/x"), extra, mode="report", results="results")
    assert (run.status, run.outputs["failed"]) == (0, "0")


# Namespaces


@pytest.mark.parametrize("mode", ["plan", "build"])
def test_only_allowed_namespaces_are_published_to(mode: str, hub: LocalHub, tmp_path: Path) -> None:
    entries = [pair(f"{owner}/allowed", encoder="team/missing") for owner in ("owner", "team")]
    run = act(tmp_path, hub, entries, {}, mode=mode, **{"allowed-namespaces": "Someone, TEAM"})
    refused, other = json.loads(run.outputs["results"])
    assert (run.status, refused["action"]) == (1, "refuse" if mode == "plan" else "refused")
    assert (
        "Publishing to owner is not allowed here. The input allowed-namespaces has someone, team."
    ) in refused["reason"]
    assert "not allowed" not in other["reason"]
    assert "owner/allowed" not in heads(hub)
