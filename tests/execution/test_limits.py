"""Runs on a Hub that limits requests and actions: they wait, or end and are continued later."""

import logging
from collections import Counter

import pytest
from huggingface_hub import HfApi

from tests.support.faults import AssembledOnce, be_quick
from tests.support.publishing import TOKEN, manifest, pair
from ved.commands import RunOptions, build, plan
from ved.errors import ErrorCode
from ved.hub import http
from ved.localhub import ActionLimit, LocalHub, RateLimit
from ved.results.result import Result


@pytest.fixture(autouse=True)
def assembled_once(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Assemble once, and copy: assembling makes no requests."""
    once = AssembledOnce(tmp_path_factory.mktemp("assembled"))
    monkeypatch.setattr("ved.assembly.assemble.assemble", once)


def run(count: int) -> list[Result]:
    """Build new pairs as the command line does."""
    pairs = [pair(f"owner/limited-{number}", check="none") for number in range(count)]
    return build(manifest(*pairs), RunOptions(), http.connect(TOKEN))


def repos_with_files(hub: LocalHub) -> dict[str, bool]:
    """Return which repos of the pairs exist, and whether they have a checkpoint."""
    listed = HfApi(hub.endpoint, token=TOKEN).list_models(author="owner", full=True)
    return {
        each.id: "ved.json" in {file.rfilename for file in each.siblings or []}
        for each in listed
        if each.id.startswith("owner/limited-")
    }


@pytest.mark.parametrize(
    ("count", "limit"),
    [(3, RateLimit(8, 1)), pytest.param(15, RateLimit(30, 1), marks=pytest.mark.slow)],
)
def test_build_waits_for_the_next_window(
    count: int,
    limit: RateLimit,
    hub: LocalHub,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "ved")
    monkeypatch.setattr(hub.behavior, "rate_limit", limit)
    results = run(count)
    assert Counter(result.action for result in results) == {"built": count}
    waits = [each for each in caplog.messages if "rate limit" in each]
    api_requests = [each for each in hub.requests if each.path.startswith("/api/")]
    assert len(api_requests) > limit.quota  # the window is too small for them
    assert 1 <= len(waits) <= 2 * len(api_requests) / limit.quota + 2


@pytest.mark.slow
def test_plan_of_a_thousand_new_pairs_fits_into_one_window(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.behavior, "rate_limit", RateLimit(1000, 300))
    pairs = [pair(f"owner/planned-{number}", seed=number) for number in range(1000)]
    report = plan(manifest(*pairs), RunOptions(), http.connect(TOKEN))
    assert Counter(result.action for result in report.results) == {"build": 1000}
    asked = [each for each in hub.requests if each.path.startswith("/api/")]
    assert {each.status for each in asked} <= {200, 404}
    assert len(asked) <= 110


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "whoami-v2"), ("GET", "/api/models$"), ("POST", "validate-yaml")],
)
@pytest.mark.parametrize("status", [403, 404, 500, 501])
def test_build_goes_on_without_requests_that_only_help(
    status: int,
    method: str,
    path: str,
    hub: LocalHub,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    be_quick(monkeypatch)
    hub.faults.add(method, path, times=100, status=status)
    (result,) = run(1)
    assert result.action == "built", result.reason
    assert [each for each in caplog.records if each.levelno == logging.WARNING]


@pytest.mark.parametrize("name", ["commit_limit", "creation_limit"])
def test_limit_by_the_hour_ends_new_builds_and_the_next_run_does_the_rest(
    name: str, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.behavior, name, ActionLimit(2, "hour"))
    results = run(6)
    assert Counter(result.action for result in results) == {"built": 2, "failed": 4}
    failed = [result for result in results if result.action == "failed"]
    assert {result.code for result in failed} == {ErrorCode.RATE_LIMIT}
    assert all("2 per hour" in result.reason for result in failed)  # the Hub's text
    assert all("1 hour" in result.reason for result in failed)
    # One or two of them were refused; for the others, nothing was asked.
    refused = [each for each in hub.requests if each.status == 429]
    assert 1 <= len(refused) <= 2
    assert repos_with_files(hub) == {each.pair.repo: True for each in results if each not in failed}

    monkeypatch.setattr(hub.behavior, name, None)
    again = run(6)
    assert Counter(result.action for result in again) == {"skipped": 2, "built": 4}
    assert [*repos_with_files(hub).values()] == [True] * 6
