"""Builds over Xet whose transfers fail: each kind of request to the storage, with each fault.

The builds are those of test_faults.py, whose large files go by LFS. hf_xet retries by itself, and
one request of each kind may concern a source of either pair.
"""

import tempfile
from collections.abc import Callable, Iterator
from itertools import count, cycle
from pathlib import Path

import pytest

from tests.support.faults import (
    ALL_FAULTS,
    ATTEMPTS,
    BROKEN,
    SEEDS,
    SERVER_ERRORS,
    TOKEN,
    AssembledOnce,
    Case,
    Request,
    be_quick,
    new_case,
)
from tests.support.publishing import client
from ved.errors import ErrorCode
from ved.localhub import LocalHub

pytestmark = pytest.mark.slow

BEFORE = SEEDS["before"]
HUB_ERRORS = {ErrorCode.HUB_DOES_NOT_ANSWER, ErrorCode.RATE_LIMIT}

_seeds = count(100)  # content that the storage has is not sent again

_CAS = "^/cas/[0-9a-f]+"

REQUESTS = (
    # Of each source; the token comes from the Hub.
    Request("GET", "^/api/models/team/(vit|gpt2|bert)/xet-read-token/", 3),
    Request("GET", f"{_CAS}/v2/reconstructions/", 3),
    Request("GET", "^/xet/xorbs/", 3),
    Request("GET", "^/api/models/NEW/xet-write-token/", 1, ("new",)),
    Request("GET", "^/api/models/OLD/xet-write-token/", 1, ("old",)),
    # Without an answer, hf_xet sends more.
    Request("GET", f"{_CAS}/v1/chunks/", 3, ()),
    Request("POST", f"{_CAS}/v1/xorb-grants/", 2),
    Request("PUT", "^/xet/bucket/", 2, has_body=True, answers=False),
    # Only the status of the answer is read.
    Request("POST", f"{_CAS}/v1/xorb-commits/", 2, answers=False),
    Request("POST", f"{_CAS}/v2/shards", 2, has_body=True),
)

# hf_xet sends a xorb to the CAS if the bucket does not take it.
FALLBACK = Request("POST", f"{_CAS}/v1/xorbs/", 0, has_body=True)

WAYS = {
    "429": ["429"],
    "5xx": [str(status) for status in SERVER_ERRORS],
    "cut": ["cut request", "cut answer", "lost answer"],
}


@pytest.fixture
def case(
    hub: LocalHub,
    template: str,
    assembled_once: AssembledOnce,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Case]:
    be_quick(monkeypatch)
    monkeypatch.setattr("ved.assembly.assemble.assemble", assembled_once)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with new_case(hub, template, after=next(_seeds)) as lent:
        yield lent
    assert list(tmp_path.iterdir()) == [], "a temporary file is left"


def heads(case: Case) -> list[int]:
    """Return how many commits each repo has."""
    commits = client(case.hub, TOKEN).list_repo_commits
    return [len(commits(repo)) for repo in (case.new, case.old)]


@pytest.mark.parametrize("way", ["429", "503", "cut request", "cut answer", "lost answer"])
def test_build_survives_one_failure_of_every_request(
    way: str, case: Case, record_property: Callable[[str, object], None]
) -> None:
    kinds = [kind.of(case) for kind in REQUESTS]
    for kind in kinds:
        case.hub.faults.add(kind.method, kind.path, **kind.fault(way))

    results = case.build()

    assert {result.action for result in results.values()} == {"built"}, results
    assert (case.seed("new"), case.seed("old")) == (case.after, case.after)
    assert heads(case) == [2, 3]
    for kind in kinds:
        assert len(case.asked(kind)) > 0, kind
    record_property(BROKEN, len(kinds))
    assert {result.action for result in case.build().values()} == {"skipped"}


EVERY_WAY = [(kind, way) for kind in REQUESTS for way in WAYS]
IN_TURN = list(zip(REQUESTS, cycle(WAYS), strict=False))


@pytest.mark.parametrize(
    ("kind", "way"),
    EVERY_WAY if ALL_FAULTS else IN_TURN,
    ids=lambda value: str(value),
)
def test_build_fails_only_pairs_whose_requests_fail_for_good(
    kind: Request, way: str, case: Case, record_property: Callable[[str, object], None]
) -> None:
    request = kind.of(case)
    for each in (request, FALLBACK):
        each.break_for_good(WAYS[way], case.hub)

    results = case.build()

    record_property(BROKEN, len(case.asked(request)))
    assert len(case.asked(request)) >= ATTEMPTS, "hf_xet did not try again"
    for name, result in results.items():
        assert result.is_bad == (name in kind.concerns), result.reason
        assert result.code in (HUB_ERRORS if result.is_bad else {None}), result.reason
        old = None if name == "new" else BEFORE
        assert case.seed(name) == (old if result.is_bad else case.after)
    case.hub.faults.clear()
    again = case.build()
    assert {name: result.action for name, result in again.items()} == {
        name: "built" if results[name].is_bad else "skipped" for name in results
    }
    assert (case.seed("new"), case.seed("old")) == (case.after, case.after)


def test_build_does_without_the_bucket(case: Case) -> None:
    case.hub.faults.add("PUT", "^/xet/bucket/", status=403, times=1000)
    assert {result.action for result in case.build().values()} == {"built"}
    assert len(case.asked(FALLBACK)) == 2
