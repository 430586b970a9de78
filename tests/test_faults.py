"""What becomes of a build whose requests are broken, each in every way.

Two pairs are built as the command line and the action do it: one repo is new, one has to be built
again. Which requests that takes is written down in `tests.faults`, and checked.

- Broken once: for each way, one build in which every single request breaks the first time. They
  break in one build, because it has to survive every one of them, not only each alone.
- Broken for good, one at a time: every kind of publishing request of the new repo by 429, 503, a
  cut request, a cut answer and a lost answer; of the old repo by 503; and every kind of reading
  request by 503 and a cut answer. A silent Hub is tried at the login alone: under
  a time limit that is short enough for a test, a loaded machine would break other requests. 500
  and 502, which go the way of 503, break once only.
- A process that is told to stop is held while it plans, downloads, uploads and commits; for one
  that is assembling see `tests.test_interruption`. A disk is made full by a limit on the size of a
  file, which is met by the first weight file, before anything is assembled.

Each pair is assembled once, and copied then. Downloads that break off in huggingface_hub's own
cache stay there, to be gone on with; of everything else nothing may be left.
"""

import json
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import requests
from huggingface_hub import CommitInfo, constants

from tests.faults import (
    BOUND,
    FAULTS,
    OWNER,
    PUBLISHING,
    READING,
    SEEDS,
    TOKEN,
    AssembledOnce,
    Case,
    Request,
    be_quick,
    new_case,
    publish_template,
)
from tests.publishing import client, publish, sent
from ved import connection
from ved.connection import ATTEMPTS
from ved.errors import RequestError
from ved.localhub import Exchange, LocalHub, checkpoints
from ved.manifest import SourceRef
from ved.source import pin

BEFORE, AFTER = SEEDS["before"], SEEDS["after"]
FOREVER = 10**6


@pytest.fixture(scope="module")
def template(session_hub: LocalHub, sources: dict[str, Path]) -> str:
    return publish_template(session_hub)


@pytest.fixture(scope="module")
def assembled_once(tmp_path_factory: pytest.TempPathFactory) -> AssembledOnce:
    return AssembledOnce(tmp_path_factory.mktemp("assembled"))


@pytest.fixture(scope="module")
def recorded(
    session_hub: LocalHub, template: str, assembled_once: AssembledOnce
) -> Counter[tuple[str, str]]:
    """Return how often a build makes each request, whose repos are NEW and OLD."""
    with pytest.MonkeyPatch.context() as patch, new_case(session_hub, template) as lent:
        patch.setattr("ved.assemble.assemble", assembled_once)
        lent.build()
        return Counter(
            (each.method, each.path.replace(lent.new, "NEW").replace(lent.old, "OLD"))
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
    monkeypatch.setattr("ved.assemble.assemble", assembled_once)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    caplog.set_level(logging.INFO, "ved")
    with new_case(hub, template) as lent:
        yield lent
    assert list(tmp_path.iterdir()) == [], "a temporary file is left"


def known(case: Case) -> list[Request]:
    return [request.of(case) for request in (*READING, *PUBLISHING)]


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
) -> None:
    be_quick(monkeypatch, fault)
    for (method, path), times in recorded.items():
        path = path.replace("NEW", case.new).replace("OLD", case.old)
        (request,) = (each for each in known(case) if each.matches(Exchange(method, path)))
        for number in range(times):
            # Of those alike: the first breaks, its second attempt passes, the next one breaks.
            broken = request.fault(fault)
            case.hub.faults.add(method, f"^{re.escape(path)}$", after=min(number, 1), **broken)

    results = case.build()
    if fault == "silence":
        case.settle()

    assert {result.action for result in results.values()} == {"built"}, results
    assert (case.seed("new"), case.seed("old")) == (AFTER, AFTER)
    commits = client(case.hub, TOKEN).list_repo_commits
    assert [len(commits(repo)) for repo in (case.new, case.old)] == [2, 3]
    for request in known(case):
        assert len(case.asked(request)) >= 2 * request.times, str(request)
    assert len(waits(caplog)) >= sum(request.times for request in (*READING, *PUBLISHING))
    again = case.build()
    assert {result.action for result in again.values()} == {"skipped"}


# For good


OF_NEW = [request for request in PUBLISHING if request.concerns != ("old",)]
OF_OLD = [request for request in PUBLISHING if request.concerns == ("old",)]
READ = [request for request in READING if request.concerns != ("old",) or "OLD" in request.path]
FOR_GOOD = [
    *product(OF_NEW, ("429", "503", "cut request", "cut answer", "lost answer")),
    *product(OF_OLD, ("503",)),
    *product(READ, ("503", "cut answer")),
    (READ[0], "silence"),
]


@pytest.mark.parametrize(("kind", "fault"), FOR_GOOD, ids=str)
def test_what_breaks_for_good_is_a_failure_of_those_it_concerns(
    kind: Request,
    fault: str,
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    be_quick(monkeypatch, fault)
    request = kind.of(case)
    case.hub.faults.add(request.method, request.path, times=FOREVER, **request.fault(fault))

    if not request.concerns:
        with pytest.raises(RequestError, match="Cannot log in to the Hub"):
            case.build()
        actions = {"new": "failed", "old": "failed"}
    else:
        results = case.build()
        actions = {name: result.action for name, result in results.items()}
        for name, result in results.items():
            assert (name in request.concerns) == result.is_bad, result.reason
            assert not result.is_bad or "Cannot " in result.reason
            assert "VED itself failed" not in result.reason
    if fault == "silence":
        case.settle()
    for path, times in Counter(exchange.path for exchange in case.asked(request)).items():
        # Several requests have the same path: ranges, checks of cards and of uploads.
        assert ATTEMPTS <= times <= ATTEMPTS * request.times, path
    assert waits(caplog)
    case.hub.faults.clear()
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


def only(case: Case, path: str) -> Request:
    (request,) = (each for each in known(case) if path in each.path)
    return request


def test_an_upload_that_is_damaged_on_the_way_is_refused_and_sent_again_alone(case: Case) -> None:
    upload = only(case, f"/lfs/models/{case.new}/")
    case.hub.faults.add(upload.method, upload.path, damage=True)

    damaged = case.build()

    assert {name: result.action for name, result in damaged.items()} == {
        "new": "failed",
        "old": "built",
    }
    assert damaged["new"].reason == (
        f"Cannot publish {case.new}: a file did not arrive as it was sent. Run again."
    )
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

    monkeypatch.setattr("ved.assemble.assemble", assemble)
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
    commit = only(case, f"{case.new}/commit/")
    case.hub.faults.add(commit.method, commit.path, lose=True)
    results = case.build()
    newest = client(case.hub, TOKEN).list_repo_commits(case.new)[0]
    assert results["new"].commit == newest.commit_id
    assert [each.status for each in case.asked(commit)] == [None, 412]


def test_what_a_busy_hub_asks_for_is_waited_for(
    case: Case, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "LONGEST_WAIT", 60)
    case.hub.faults.add("GET", "^/api/whoami-v2$", status=429, retry_after=1)
    client_of_ved = connection.connect(TOKEN)
    client_of_ved.whoami()
    monkeypatch.setattr(connection, "LONGEST_WAIT", BOUND)
    case.hub.faults.add("GET", "^/api/whoami-v2$", status=429, retry_after=3600)
    client_of_ved.whoami()
    assert waits(caplog) == [
        "The Hub answers 429: trying again in 1 s, attempt 2 of 5 at most.",
        f"The Hub answers 429: trying again in {BOUND} s, attempt 2 of 5 at most.",
    ]


def test_a_hub_that_is_gone_is_not_asked_often(
    unused_port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    be_quick(monkeypatch)
    caplog.set_level(logging.INFO, "ved")
    api = connection.connect(TOKEN)
    api.endpoint = f"http://127.0.0.1:{unused_port}"
    with pytest.raises(requests.exceptions.RetryError):
        api.whoami()
    assert len(waits(caplog)) == connection.CONNECTION_ATTEMPTS - 1


def test_a_download_that_is_cut_goes_on_from_there(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_quick(monkeypatch)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    weights = checkpoints.vit(tmp_path / "vit", hidden_size=128) / "model.safetensors"
    publish(hub, "team/cut", weights.parent)
    hub.faults.add("GET", "/lfs/models/team/cut/", times=2, cut_response=500_000)
    snapshot = pin(SourceRef(model="team/cut"), connection.connect(TOKEN))
    hub.requests.clear()

    fetched = snapshot.fetch([weights.name], connection.connect(TOKEN), tmp_path / "cache")

    assert (fetched / weights.name).read_bytes() == weights.read_bytes()
    size = weights.stat().st_size
    assert size > 1_000_000
    # Of each cut, less than a piece is lost.
    assert size <= sent(hub, weights) < size + 2 * constants.DOWNLOAD_CHUNK_SIZE


# Interrupts, of a process of its own

HELD = {
    "planning": ("GET", "^/api/models/{repo}$", 0),
    "downloading": ("GET", "^/lfs/models/team/roberta/", 2),  # after the header's length and it
    "uploading": ("PUT", "^/lfs/models/{repo}/", 0),
    "committing": ("POST", "^/api/models/{repo}/commit/", 0),
}
"""The request at which a phase is held, after how many of its kind."""

LONG = 20  # seconds; longer than a process that is told to stop may take
SOON = 7


@pytest.mark.parametrize(
    ("command", "number", "phase"),
    [
        *(("ved", signal.SIGINT, phase) for phase in HELD),
        *(("entrypoint.py", signal.SIGTERM, phase) for phase in ("planning", "committing")),
    ],
)
def test_an_interrupt_ends_the_process_soon_and_leaves_nothing(
    phase: str, command: str, number: signal.Signals, hub: LocalHub, tmp_path: Path
) -> None:
    hub.add_user(OWNER, token=TOKEN)
    repo = f"{OWNER}/stopped-{phase}-{number}"
    method, path, after = HELD[phase]
    hub.faults.add(method, path.format(repo=repo), after=after, delay=LONG)
    process = start(command, repo, hub, tmp_path)
    asked = re.compile(path.format(repo=repo))
    while sum(each.method == method and bool(asked.search(each.path)) for each in hub.requests) <= (
        after
    ):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=SOON)

    assert process.returncode == 130
    assert "Traceback" not in printed
    assert list((tmp_path / "temporary").iterdir()) == []
    api = client(hub, TOKEN)
    assert not api.repo_exists(repo) or api.list_repo_files(repo) == [".gitattributes"]


def test_after_a_kill_the_next_run_completes(hub: LocalHub, tmp_path: Path) -> None:
    hub.add_user(OWNER, token=TOKEN)
    repo = f"{OWNER}/killed"
    hub.faults.add("POST", f"/{repo}/commit/", delay=LONG)
    process = start("ved", repo, hub, tmp_path)
    while not any(f"/{repo}/commit/" in each.path for each in hub.requests):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.kill()
    process.communicate()

    again = start("ved", repo, hub, tmp_path)
    printed, _ = again.communicate()
    assert again.returncode == 0, printed
    assert "flax_model.msgpack" in client(hub, TOKEN).list_repo_files(repo)


def start(command: str, repo: str, hub: LocalHub, folder: Path) -> subprocess.Popen[str]:
    """Build one pair in a process of its own."""
    (folder / "temporary").mkdir(exist_ok=True)
    entry = {"repo": repo, "encoder": "team/vit", "decoder": "team/roberta"}
    (folder / "pairs.yaml").write_text(json.dumps({"pairs": [entry]}))
    entrypoint = Path(__file__).parents[1] / command
    action = {"INPUT_TOKEN": TOKEN, "INPUT_ENDPOINT": hub.endpoint}
    of_ved = ["-m", "ved", "build", "pairs.yaml"]
    return subprocess.Popen(
        [sys.executable, *(of_ved if command == "ved" else [str(entrypoint)])],
        cwd=folder,
        env={
            **os.environ,
            **(action if command != "ved" else {"HF_TOKEN": TOKEN}),
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(folder / "cache"),
            "TMPDIR": str(folder / "temporary"),
            "PYTHONPATH": str(Path(__file__).parents[1]),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_file_that_cannot_be_written_is_an_explained_failure(
    hub: LocalHub, tmp_path: Path
) -> None:
    hub.add_user(OWNER, token=TOKEN)
    repo = f"{OWNER}/full"
    process = start("ved", repo, hub, tmp_path)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    printed, _ = process.communicate()

    assert process.returncode == 1
    assert "File too large" in printed
    assert "Traceback" not in printed
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not client(hub, TOKEN).repo_exists(repo)
