"""Builds whose requests fail: each kind of request, with each kind of fault.

Two pairs are built with ved.commands, as both front ends do: one repo is new, one has to be built
again. `tests.support.faults` lists the requests of that build, and a test checks the list.

- Each request fails once: one build for each fault, in which every single request fails the first
  time. One build, because it has to survive all of them together.
- A kind of request fails for good: in each build one kind of request. The statuses 500, 502, 503
  and 504 take turns, and so do the ways to cut a connection. A request that both pairs make alike
  fails for both.

`make test` takes two of the four statuses for the first, and for the second each kind of request
with one fault, and the next kind with the next fault. With the variable VED_ALL_FAULTS=1, as
`make test-nightly` has it, each kind of request fails with each fault. The end of the run prints
how many requests failed.

Each pair is assembled once and copied then. Downloads that were cut stay in huggingface_hub's own
cache, which resumes them. No other temporary file may stay. Interrupted processes and full disks
are in test_interruption.py.
"""

import logging
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitInfo, constants

from tests.support.faults import (
    ALL_FAULTS,
    BROKEN,
    FAULTS,
    REQUESTS,
    SEEDS,
    SERVER_ERRORS,
    SHA,
    TOKEN,
    AssembledOnce,
    Case,
    Request,
    alike,
    be_quick,
    new_case,
)
from tests.support.publishing import client
from ved.errors import ErrorCode
from ved.hub import retries
from ved.localhub import Exchange, LocalHub
from ved.results.result import Result

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_xet")]

HUB_ERRORS = {ErrorCode.HUB_DOES_NOT_ANSWER, ErrorCode.RATE_LIMIT, ErrorCode.CHECK_FAILED}
BEFORE, AFTER = SEEDS["before"], SEEDS["after"]


@pytest.fixture(scope="module")
def recorded(
    module_hub: LocalHub, template: str, assembled_once: AssembledOnce
) -> Counter[tuple[str, str]]:
    """Return how often a build makes each request; NEW and OLD replace the repos in paths."""
    with pytest.MonkeyPatch.context() as patch, new_case(module_hub, template) as lent:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr("ved.assembly.assemble.assemble", assembled_once)
        made = "|".join(str(result.commit) for result in lent.build().values())
        return Counter(
            (each.method, re.sub(made, "COMMIT", lent.in_general(each.path)))
            for each in lent.hub.requests
        )


@pytest.fixture
def case(
    hub: LocalHub,
    template: str,
    assembled_once: AssembledOnce,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Case]:
    be_quick(monkeypatch)
    monkeypatch.setattr("ved.assembly.assemble.assemble", assembled_once)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    caplog.set_level(logging.INFO, "ved")
    with new_case(hub, template) as lent:
        yield lent
    assert list(tmp_path.iterdir()) == [], "a temporary file is left"


def known(case: Case) -> list[Request]:
    return [request.of(case) for request in REQUESTS]


def waits(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log's messages about retries."""
    return [each for each in caplog.messages if "trying again in" in each]


def codes_of(result: Result) -> set[ErrorCode]:
    """Return the error codes of a failed or refused pair."""
    found = {finding.code for finding in result.findings if finding.level == "error"}
    return found if result.code is None else {*found, result.code}


def test_build_makes_known_requests(case: Case) -> None:
    results = case.build()
    assert {name: result.action for name, result in results.items()} == {
        "new": "built",
        "old": "built",
    }
    of_case = known(case)
    unknown = [
        each for each in case.hub.requests if not any(request.matches(each) for request in of_case)
    ]
    assert unknown == []
    assert {str(request): len(case.asked(request)) for request in of_case} == {
        str(request): request.times for request in of_case
    }
    assert (case.seed("new"), case.seed("old")) == (AFTER, AFTER)


# Each request fails once


ONCE = [name for name in FAULTS if ALL_FAULTS or name not in ("502", "504")]


@pytest.mark.parametrize("fault", ONCE)
def test_build_survives_one_failure_of_every_request(
    fault: str,
    case: Case,
    recorded: Counter[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    be_quick(monkeypatch, fault)
    failing: Counter[str] = Counter()
    for (method, path), times in recorded.items():
        path = case.in_particular(path)
        exchange = Exchange(method, path.replace("COMMIT", "0" * 40))
        (request,) = (each for each in known(case) if each.matches(exchange))
        pattern = re.escape(path).replace("COMMIT", f"(?!{case.old_head}){SHA}")
        if fault == "silence" and not ALL_FAULTS:
            # Each silence takes a third of a second, whatever the request is.
            times = 0 if failing[str(request)] else 1
        for number in range(times):
            # The first of equal requests fails, its second attempt succeeds, the next one fails.
            case.hub.faults.add(
                method, f"^{pattern}$", after=min(number, 1), **request.fault(fault)
            )
        failing[str(request)] += times

    results = case.build()
    if fault == "silence":
        case.settle()

    assert {result.action for result in results.values()} == {"built"}, results
    assert (case.seed("new"), case.seed("old")) == (AFTER, AFTER)
    commits = client(case.hub, TOKEN).list_repo_commits
    assert [len(commits(repo)) for repo in (case.new, case.old)] == [2, 3]
    for request in known(case):
        assert failing[str(request)] > 0
        assert len(case.asked(request)) >= request.times + failing[str(request)], str(request)
    if fault != "cut answer":  # huggingface_hub itself continues downloads
        assert len(waits(caplog)) >= failing.total()
    record_property(BROKEN, failing.total())
    again = case.build()
    assert {result.action for result in again.values()} == {"skipped"}


# A kind of request fails for good

WAYS: Mapping[str, Sequence[str]] = {
    "429": ["429"],
    "5xx": [str(status) for status in SERVER_ERRORS],
    "silence": ["silence"],
    "cut": ["cut request", "cut answer", "lost answer"],
}
EVERY_WAY = [
    (kinds, way)
    for way in WAYS
    for kinds in (alike(REQUESTS) if way != "5xx" else [[kind] for kind in REQUESTS])
]
WAYS_IN_TURN = list(zip(alike(REQUESTS), cycle(WAYS), strict=False))
FOR_GOOD = EVERY_WAY if ALL_FAULTS else WAYS_IN_TURN


@pytest.mark.parametrize(
    ("kinds", "way"), FOR_GOOD, ids=[f"{way}-{kinds[0]}" for kinds, way in FOR_GOOD]
)
def test_build_fails_only_pairs_whose_requests_fail_for_good(
    kinds: Sequence[Request],
    way: str,
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    be_quick(monkeypatch, way)
    broken = [kind.of(case) for kind in kinds]
    for request in broken:
        request.break_for_good(WAYS[way], case.hub)
    concerned = {name for request in broken for name in request.concerns}

    results = case.build()
    actions = {name: result.action for name, result in results.items()}
    for name, result in results.items():
        assert (name in concerned) == result.is_bad, result.reason
        assert codes_of(result) <= HUB_ERRORS, result.reason
        assert bool(codes_of(result)) == result.is_bad
    if way == "silence":
        case.settle()
    record_property(BROKEN, sum(len(case.asked(request)) for request in broken))
    for request in broken:
        asked = Counter(exchange.path for exchange in case.asked(request))
        assert asked
        for path, times in asked.items():
            # Several requests have the same path: ranges, and checks of cards and uploads.
            most = retries.ATTEMPTS * request.times
            if way == "cut":  # reading a cut answer is retried, and so is each request for it
                most *= retries.ATTEMPTS
            assert retries.ATTEMPTS <= times <= most, path
    assert waits(caplog)
    case.hub.faults.clear()
    be_quick(monkeypatch)
    for name, old in (("new", None), ("old", BEFORE)):
        # The Hub creates a commit even if all its answers are lost.
        assert case.seed(name) in ((AFTER,) if actions[name] == "built" else (old, AFTER))

    before = {name: case.seed(name) for name in actions}
    again = case.build()

    assert {name: result.action for name, result in again.items()} == {
        name: "skipped" if seed == AFTER else "built" for name, seed in before.items()
    }
    assert (case.seed("new"), case.seed("old")) == (AFTER, AFTER)


# Other faults


def only(case: Case, method: str, path: str) -> Request:
    (request,) = (each for each in known(case) if each.method == method and path in each.path)
    return request


@pytest.mark.parametrize("times", [1, 2])
def test_source_damaged_in_transit_is_downloaded_again_once(
    times: int, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    weights = only(case, "GET", "/lfs/models/team/gpt2/")
    parts_of_the_header = 2
    case.hub.faults.add(
        weights.method, weights.path, after=parts_of_the_header, times=times, flip_bit=True
    )

    results = case.build()

    assert caplog.text.count("Downloading it again.") == 1
    assert {name: result.action for name, result in results.items()} == {
        "new": "built" if times == 1 else "failed",
        "old": "built",
    }
    if times == 1:
        return
    assert results["new"].code == ErrorCode.DAMAGED_SOURCE
    stored, downloaded = re.findall("[0-9a-f]{64}", results["new"].reason)
    assert downloaded != stored
    assert {Path(each.path).name for each in case.asked(weights)} == {stored}
    assert case.seed("new") is None
    again = case.build()
    assert {name: result.action for name, result in again.items()} == {
        "new": "built",
        "old": "skipped",
    }


def test_commit_of_somebody_else_during_build_is_kept(
    case: Case, assembled_once: AssembledOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs: list[CommitInfo] = []

    def assemble(*arguments: Any) -> Any:
        if not theirs:
            theirs.append(
                client(case.hub, TOKEN).upload_file(
                    repo_id=case.old, path_or_fileobj=b"theirs", path_in_repo="notes.txt"
                )
            )
        return assembled_once(*arguments)

    monkeypatch.setattr("ved.assembly.assemble.assemble", assemble)
    results = case.build()

    assert results["new"].action == "built"
    assert "somebody else committed to it meanwhile" in results["old"].reason
    assert client(case.hub, TOKEN).model_info(case.old).sha == theirs[0].oid
    again = case.build()
    assert {name: result.action for name, result in again.items()} == {
        "new": "skipped",
        "old": "built",
    }


def test_commit_whose_answer_is_lost_is_recognized(case: Case) -> None:
    commit = only(case, "POST", f"{case.new}/commit/")
    case.hub.faults.add(commit.method, commit.path, drop_response=True)
    results = case.build()
    newest = client(case.hub, TOKEN).list_repo_commits(case.new)[0]
    assert results["new"].commit == newest.commit_id
    assert [each.status for each in case.asked(commit)] == [None, 412]
