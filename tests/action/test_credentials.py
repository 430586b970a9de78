"""What a job publishes with: a stored token, its identity, or nothing."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.action import Action, annotations, code_of, rows_of, text_blocks
from tests.support.publishing import TOKEN, pair
from ved.errors import ErrorCode
from ved.localhub import LocalHub

GITHUB = "octo-org/octo-repo"
PAIRS = [pair("owner/x"), pair("owner/y")]
REFUSED = [pair("owner/x", encoder="team/missing")]


@pytest.fixture
def action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action without a token, as with a secret that does not exist."""
    return Action(tmp_path / "runner", {"endpoint": hub.endpoint, "token": ""})


def job(hub: LocalHub) -> dict[str, str]:
    """Return the variables of a job that may ask for id tokens."""
    return hub.add_job(repository=GITHUB, workflow="checkpoints.yml")


@pytest.mark.parametrize(
    ("keyless", "has_identity", "code"),
    [
        ("", False, ErrorCode.EMPTY_TOKEN),
        ("false", False, ErrorCode.EMPTY_TOKEN),
        ("false", True, ErrorCode.EMPTY_TOKEN),
        ("true", False, ErrorCode.ID_TOKEN_PERMISSION),
        ("perhaps", True, ErrorCode.WRONG_INPUT),
    ],
)
def test_build_with_nothing_to_publish_with_says_what_is_missing(
    keyless: str, has_identity: bool, code: ErrorCode, action: Action, hub: LocalHub
) -> None:
    run = action.run(PAIRS, job(hub) if has_identity else {}, keyless=keyless)
    assert run.status == 2
    (error,) = annotations(run)
    assert code_of(error) == code
    assert hub.requests == []
    # The results say why, for a summary of several jobs; this job's own summary says it once.
    assert [(row["repo"], row["action"], row["codes"]) for row in rows_of(run)] == [
        ("owner/x", "failed", [code]),
        ("owner/y", "failed", [code]),
    ]
    assert all(row["reason"] in error.message for row in rows_of(run))
    blocks = text_blocks(run.summary)
    assert blocks[1] == "Nothing was done."
    assert error.message.startswith(blocks[2])
    assert "owner/x" not in run.summary


def test_build_with_a_token_uses_no_identity_that_it_must_not_use(
    action: Action, hub: LocalHub
) -> None:
    run = action.run(REFUSED, job(hub), keyless="false", token=TOKEN)
    assert rows_of(run)[0]["codes"] == [ErrorCode.NO_SUCH_REPO]
    assert all(request.path != "/oauth/token" for request in hub.requests)


@pytest.mark.parametrize(
    ("pairs", "inputs", "event", "status", "codes"),
    [
        (PAIRS, {"keyless": "false"}, "push", 2, [("error", ErrorCode.EMPTY_TOKEN)]),
        (PAIRS, {"keyless": "false"}, "pull_request", 0, []),
        (PAIRS, {"keyless": "false", "token": TOKEN}, "push", 0, []),
        (PAIRS, {"keyless": "true"}, "push", 0, []),
        (PAIRS, {}, "push", 0, [("warning", ErrorCode.EMPTY_TOKEN)]),
        (PAIRS, {}, "pull_request", 0, []),
        (REFUSED, {}, "push", 1, [("error", ErrorCode.NO_SUCH_REPO)]),  # no job would build
    ],
)
def test_plan_says_that_jobs_cannot_publish(
    pairs: list[dict[str, Any]],
    inputs: dict[str, str],
    event: str,
    status: int,
    codes: list[tuple[str, str]],
    action: Action,
    hub: LocalHub,
) -> None:
    run = action.run(pairs, {"GITHUB_EVENT_NAME": event}, mode="plan", **inputs)
    found = [
        (level, code_of(each)) for level in ("error", "warning") for each in annotations(run, level)
    ]
    assert (run.status, found) == (status, codes), run.log
    assert (hub.requests == []) == (status == 2)
    if status == 2:
        assert run.outputs["pending"] == "0"  # so no job of a matrix starts
        assert run.outputs["failed"] == str(len(pairs))  # so that the summary's job runs


def test_plan_in_a_job_with_an_identity_needs_no_token(action: Action, hub: LocalHub) -> None:
    run = action.run(PAIRS, job(hub), mode="plan")
    assert (run.status, annotations(run, "warning")) == (0, [])
