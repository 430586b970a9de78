"""What becomes of a build whose requests are broken, each in every way.

Two pairs are built as the command line and the action do it: one repo is new, one has to be built
again. Which requests that takes is written down in `tests.faults`, and checked.

- Broken once: for each way, one build in which every single request breaks the first time. They
  break in one build, because it has to survive every one of them, not only each alone.
- Broken for good: every kind of request in every way, one of each at a time; 500, 502, 503 and 504
  come by turns, and so do the ways to cut a connection. But for 5xx, what both pairs ask for alike
  is broken for both in one build.

How many requests that breaks is printed at the end of the run. Processes that are told to stop, and
full disks, are in `tests.test_interruption`.

Each pair is assembled once, and copied then. Downloads that break off in huggingface_hub's own
cache stay there, to be gone on with; of everything else nothing may be left.
"""

import logging
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitInfo, constants

from tests import checkpoints
from tests.support.faults import (
    BROKEN,
    FAULTS,
    ILL,
    REQUESTS,
    SEEDS,
    SHA,
    TOKEN,
    AssembledOnce,
    Case,
    Request,
    alike,
    be_quick,
    new_case,
    publish_template,
)
from tests.support.publishing import TOKEN as OWNERS_TOKEN
from tests.support.publishing import client, publish, sent
from ved.errors import ErrorCode, RequestError
from ved.hub import http, retries
from ved.localhub import Exchange, LocalHub
from ved.manifest.models import SourceRef
from ved.sources.snapshot import pin

pytestmark = pytest.mark.slow

BEFORE, AFTER = SEEDS["before"], SEEDS["after"]


@pytest.fixture(scope="module")
def template(module_hub: LocalHub, sources: dict[str, Path]) -> str:
    return publish_template(module_hub)


@pytest.fixture(scope="module")
def assembled_once(tmp_path_factory: pytest.TempPathFactory) -> AssembledOnce:
    return AssembledOnce(tmp_path_factory.mktemp("assembled"))


@pytest.fixture(scope="module")
def recorded(
    module_hub: LocalHub, template: str, assembled_once: AssembledOnce
) -> Counter[tuple[str, str]]:
    """Return how often a build makes each request; in paths, repos are NEW and OLD."""
    with pytest.MonkeyPatch.context() as patch, new_case(module_hub, template) as lent:
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
    """Return what the log says of attempts that are made again."""
    return [each for each in caplog.messages if "trying again in" in each]


def test_the_requests_of_a_build_are_known(case: Case) -> None:
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


# Once


@pytest.mark.parametrize("fault", FAULTS)
def test_a_build_survives_that_every_request_breaks_once(
    fault: str,
    case: Case,
    recorded: Counter[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    be_quick(monkeypatch, fault)
    for (method, path), times in recorded.items():
        path = case.in_particular(path)
        exchange = Exchange(method, path.replace("COMMIT", "0" * 40))
        (request,) = (each for each in known(case) if each.matches(exchange))
        pattern = re.escape(path).replace("COMMIT", f"(?!{case.old_head}){SHA}")
        for number in range(times):
            # Of those alike: the first breaks, its second attempt passes, the next one breaks.
            broken = request.fault(fault)
            case.hub.faults.add(method, f"^{pattern}$", after=min(number, 1), **broken)

    results = case.build()
    if fault == "silence":
        case.settle()

    assert {result.action for result in results.values()} == {"built"}, results
    assert (case.seed("new"), case.seed("old")) == (AFTER, AFTER)
    commits = client(case.hub, TOKEN).list_repo_commits
    assert [len(commits(repo)) for repo in (case.new, case.old)] == [2, 3]
    for request in known(case):
        assert len(case.asked(request)) >= 2 * request.times, str(request)
    assert len(waits(caplog)) >= sum(request.times for request in REQUESTS)
    record_property(BROKEN, sum(recorded.values()))
    again = case.build()
    assert {result.action for result in again.values()} == {"skipped"}


# For good


WAYS: Mapping[str, Sequence[str]] = {
    "429": ["429"],
    "5xx": [str(status) for status in ILL],
    "silence": ["silence"],
    "cut": ["cut request", "cut answer", "lost answer"],
}
FOR_GOOD = [
    (kinds, way)
    for way in WAYS
    for kinds in (alike(REQUESTS) if way != "5xx" else [[kind] for kind in REQUESTS])
]


@pytest.mark.parametrize(
    ("kinds", "way"), FOR_GOOD, ids=[f"{way}-{kinds[0]}" for kinds, way in FOR_GOOD]
)
def test_what_breaks_for_good_is_a_failure_of_those_it_concerns(
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

    if not concerned:
        with pytest.raises(RequestError, match="Cannot log in to the Hub"):
            case.build()
        actions = {"new": "failed", "old": "failed"}
    else:
        results = case.build()
        actions = {name: result.action for name, result in results.items()}
        for name, result in results.items():
            assert (name in concerned) == result.is_bad, result.reason
            assert not result.is_bad or "Cannot " in result.reason
            assert "VED itself failed" not in result.reason
    if way == "silence":
        case.settle()
    record_property(BROKEN, sum(len(case.asked(request)) for request in broken))
    for request in broken:
        asked = Counter(exchange.path for exchange in case.asked(request))
        assert asked
        for path, times in asked.items():
            # Several requests have the same path: ranges, checks of cards and of uploads.
            most = retries.ATTEMPTS * request.times
            if way == "cut":  # an answer that breaks off has attempts, and each request for it
                most *= retries.ATTEMPTS
            assert retries.ATTEMPTS <= times <= most, path
    assert waits(caplog)
    case.hub.faults.clear()
    be_quick(monkeypatch)
    for name, old in (("new", None), ("old", BEFORE)):
        # A commit whose answers are all lost is made nevertheless.
        assert case.seed(name) in ((AFTER,) if actions[name] == "built" else (old, AFTER))

    before = {name: case.seed(name) for name in actions}
    again = case.build()

    assert {name: result.action for name, result in again.items()} == {
        name: "skipped" if seed == AFTER else "built" for name, seed in before.items()
    }
    assert (case.seed("new"), case.seed("old")) == (AFTER, AFTER)


# Faults of their own


def only(case: Case, method: str, path: str) -> Request:
    (request,) = (each for each in known(case) if each.method == method and path in each.path)
    return request


def test_an_upload_that_is_damaged_on_the_way_is_refused_and_sent_again_alone(case: Case) -> None:
    upload = only(case, "PUT", f"/lfs/models/{case.new}/")
    case.hub.faults.add(upload.method, upload.path, flip_bit=True)

    damaged = case.build()

    assert {name: result.action for name, result in damaged.items()} == {
        "new": "failed",
        "old": "built",
    }
    assert damaged["new"].code == ErrorCode.HUB_DOES_NOT_ANSWER
    assert case.new in damaged["new"].reason
    assert case.seed("new") is None
    sizes = {each.path: each.bytes_in for each in case.asked(upload)}
    arrived = {each.path for each in case.asked(upload) if each.status == 200}
    again = case.build()
    assert {name: result.action for name, result in again.items()} == {
        "new": "built",
        "old": "skipped",
    }
    sent_again = {each.path: each.bytes_in for each in case.asked(upload)}
    assert sent_again == {path: sizes[path] for path in sizes.keys() - arrived}
    assert case.seed("new") == AFTER


@pytest.mark.parametrize("times", [1, 2])
def test_a_source_that_is_damaged_on_the_way_is_downloaded_once_more(
    times: int, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    weights = only(case, "GET", "/lfs/models/team/gpt2/")
    parts_of_the_header = 2
    case.hub.faults.add(
        weights.method, weights.path, after=parts_of_the_header, times=times, flip_bit=True
    )

    results = case.build()

    assert caplog.text.count("is damaged here, and is downloaded again.") == 1
    assert {name: result.action for name, result in results.items()} == {
        "new": "built" if times == 1 else "failed",
        "old": "built",
    }
    if times == 1:
        return
    said = (
        r"model.safetensors of team/gpt2@\w+ is stored with sha256 (\w+), and .* has (\w+)\. Run "
    )
    match = re.match(said, results["new"].reason)
    assert match is not None, results["new"].reason
    stored, downloaded = match.groups()
    assert downloaded != stored
    assert {Path(each.path).name for each in case.asked(weights)} == {stored}
    assert case.seed("new") is None
    again = case.build()
    assert {name: result.action for name, result in again.items()} == {
        "new": "built",
        "old": "skipped",
    }


def test_a_commit_made_meanwhile_is_left_alone(
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


def test_a_commit_whose_answer_is_lost_is_recognised(case: Case) -> None:
    commit = only(case, "POST", f"{case.new}/commit/")
    case.hub.faults.add(commit.method, commit.path, drop_response=True)
    results = case.build()
    newest = client(case.hub, TOKEN).list_repo_commits(case.new)[0]
    assert results["new"].commit == newest.commit_id
    assert [each.status for each in case.asked(commit)] == [None, 412]


def test_a_download_that_is_cut_goes_on_from_there(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_quick(monkeypatch)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    weights = checkpoints.vit(tmp_path / "vit", hidden_size=128) / "model.safetensors"
    publish(hub, "team/cut", weights.parent)
    hub.faults.add("GET", "/lfs/models/team/cut/", times=2, cut_response=500_000)
    snapshot = pin(SourceRef(model="team/cut"), http.connect(OWNERS_TOKEN))
    hub.requests.clear()

    fetched = snapshot.fetch([weights.name], http.connect(OWNERS_TOKEN), tmp_path / "cache")

    assert (fetched / weights.name).read_bytes() == weights.read_bytes()
    size = weights.stat().st_size
    assert size > 1_000_000
    # Of each cut, less than a piece is lost.
    assert size <= sent(hub, weights) < size + 2 * constants.DOWNLOAD_CHUNK_SIZE
