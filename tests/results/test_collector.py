"""The results of a run that is still running, or was interrupted."""

import json

from ved.errors import ErrorCode
from ved.manifest.loading import loads
from ved.planning.actions import (
    IdentifiedPair,
    PlannedAction,
    Refuse,
    SetVisibility,
    Skip,
)
from ved.publishing.repos import TargetRepo
from ved.results.collector import ResultCollector
from ved.results.result import outcome_result

ENDPOINT = "https://hub.example"


def subject(repo: str) -> IdentifiedPair:
    entry = {"repo": repo, "encoder": "team/vit", "decoder": "team/gpt2"}
    (pair,) = loads(json.dumps({"pairs": [entry]}).encode()).pairs
    return IdentifiedPair(pair, {}, "f" * 64, "d" * 64)


def plan() -> list[PlannedAction]:
    return [
        SetVisibility(subject("a/hide"), "why", TargetRepo("a/hide", "1" * 40), private=True),
        Skip(subject("a/skip"), "why", "2" * 40),
        Refuse(subject("a/refuse"), "why"),
        SetVisibility(subject("a/show"), "why", TargetRepo("a/show", "3" * 40), private=False),
    ]


def test_collector_before_a_plan_has_no_results() -> None:
    assert ResultCollector().results == []


def test_collector_reports_unfinished_pairs_as_failed() -> None:
    collector, actions = ResultCollector(), plan()
    collector.start(actions, ENDPOINT)
    collector.add(outcome_result(actions[3], "card-only", ENDPOINT, "4" * 40))
    results = collector.results
    assert [(each.pair.repo, each.action, each.code) for each in results] == [
        ("a/hide", "failed", ErrorCode.RUN_ENDED_EARLY),
        ("a/skip", "skipped", None),
        ("a/refuse", "refused", None),
        ("a/show", "card-only", None),
    ]
    assert [each.commit for each in results] == [None, "2" * 40, None, "4" * 40]
    assert results[3].url == f"{ENDPOINT}/a/show/commit/{'4' * 40}"


def test_collector_replaces_an_earlier_result() -> None:
    collector, actions = ResultCollector(), plan()[:1]
    collector.start(actions, ENDPOINT)
    collector.add(outcome_result(actions[0], "card-only", ENDPOINT, "4" * 40))
    collector.add(outcome_result(actions[0], "failed", ENDPOINT, "4" * 40))
    (result,) = collector.results
    assert result.action == "failed"
