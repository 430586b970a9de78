"""The requests of a build of two pairs, and the faults with which they fail in tests."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi, constants

from tests.support.publishing import client, manifest
from tests.support.web import web
from ved.assembly import assemble
from ved.assembly.prepared import PreparedSource
from ved.commands import RunOptions, build
from ved.families.family import Role
from ved.hub import http, retries
from ved.localhub import Exchange, LocalHub
from ved.manifest.settings import CheckpointSettings
from ved.results.result import Result
from ved.sources.source import Source

ALL_FAULTS = os.environ.get("VED_ALL_FAULTS") == "1"
"""Whether to try all combinations, as `make test-nightly` does."""

OWNER, TOKEN = "faulty", "hf_faulty"

TIME_LIMIT = 0.3
"""Seconds to wait for an answer of a Hub that may be silent."""

SILENCE = 0.5
"""Seconds for which a silent Hub is silent; it answers later than anybody waits."""

ATTEMPTS = 3
"""Attempts in all; one more than a request needs that fails once."""

LONGEST_WAIT = 0.01
"""Seconds to wait at most, whatever the Retry-After header is."""

SERVER_ERRORS = (500, 502, 503, 504)
"""The statuses of a Hub that fails."""

FAULTS: Mapping[str, Mapping[str, Any]] = {
    "429": {"status": 429},
    **{str(status): {"status": status} for status in SERVER_ERRORS},
    "silence": {"delay": SILENCE},
    "cut request": {"cut_request": 0},
    "cut answer": {"cut_response": 1},
    "lost answer": {"drop_response": True},
}
"""Each fault, with the arguments of `LocalHub.faults.add`."""

PATIENCE = 60.0
"""Seconds to wait for an answer of a Hub that is not silent."""

FOREVER = 10**6

TURNS = 20
"""How often each of several faults is repeated: more often than a build makes most requests."""

BROKEN = "requests broken"
"""The property of a test's report with the number of failed requests."""

SHA = "[0-9a-f]{40}"
FILE = r"[\w.-]+$"


@dataclass(frozen=True)
class Request:
    """A kind of request that a build makes.

    Attributes:
        method: its method.
        path: a regular expression of its path, with NEW and OLD for the repos of the pairs.
        times: how often the build makes it.
        concerns: the pairs that fail with it; empty if it only helps.
        has_body: whether its body is longer than a few bytes.
        answers: whether the answer has a body.
    """

    method: str
    path: str
    times: int
    concerns: tuple[str, ...] = ("new", "old")
    has_body: bool = False
    answers: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.path.rstrip('$')}"

    def to(self, name: str) -> "Request":
        """Return the request with NEW or OLD for REPO."""
        return replace(self, path=self.path.replace("REPO", name.upper()), concerns=(name,))

    def of(self, case: "Case") -> "Request":
        """Return the request with the repos of a case."""
        return replace(self, path=case.in_particular(self.path))

    def matches(self, exchange: Exchange) -> bool:
        """Tell whether an exchange is of this kind."""
        return exchange.method == self.method and bool(re.search(self.path, exchange.path))

    def fault(self, name: str) -> Mapping[str, Any]:
        """Return a fault that makes it fail: a body to cut is not in every request."""
        if name == "cut answer" and not self.answers:
            return FAULTS["lost answer"]
        if name == "cut request" and self.has_body:
            return {"cut_request": 100}
        return FAULTS[name]

    def break_for_good(self, names: Sequence[str], hub: LocalHub) -> None:
        """Make every request of this kind fail from now on, with several faults in turn."""
        for name in [*names] * TURNS:
            hub.faults.add(self.method, self.path, **self.fault(name))
        hub.faults.add(self.method, self.path, times=FOREVER, **self.fault(names[0]))


READING = (
    Request("GET", "^/api/whoami-v2$", 1, concerns=()),
    Request("GET", "^/api/models/team/vit$", 1),
    Request("GET", "^/api/models/team/gpt2$", 1, ("new",)),
    Request("GET", "^/api/models/team/bert$", 1, ("old",)),
    Request("GET", "^/api/models$", 1, concerns=()),
    Request("GET", "^/api/models/NEW$", 2, ("new",)),
    Request("GET", "^/api/models/OLD$", 1, ("old",)),
    # In the plan, and when the published files are read back.
    Request("GET", f"^/OLD/resolve/{SHA}/ved.json$", 2, ("old",)),
    # In the plan and in the build, which downloads sources again.
    Request("HEAD", f"^/team/vit/resolve/{SHA}/{FILE}", 5, answers=False),
    Request("HEAD", f"^/team/gpt2/resolve/{SHA}/{FILE}", 15, ("new",), answers=False),
    Request("HEAD", f"^/team/bert/resolve/{SHA}/{FILE}", 11, ("old",), answers=False),
    # Without Xet, the client asks for weights here, and is redirected.
    Request("GET", f"^/team/vit/resolve/{SHA}/{FILE}", 4),
    Request("GET", f"^/team/gpt2/resolve/{SHA}/{FILE}", 14, ("new",)),
    Request("GET", f"^/team/bert/resolve/{SHA}/{FILE}", 10, ("old",)),
    # Weights: the length of the header, the header, the whole file.
    Request("GET", "^/lfs/models/team/vit/", 3),
    Request("GET", "^/lfs/models/team/gpt2/", 3, ("new",)),
    Request("GET", "^/lfs/models/team/bert/", 3, ("old",)),
)

_PUBLISHING = (
    Request("POST", "^/api/models/REPO/preupload/main$", 1, has_body=True),
    Request("POST", "^/REPO.git/info/lfs/objects/batch$", 1, has_body=True),
    Request("PUT", "^/lfs/models/REPO/", 1, has_body=True, answers=False),
    Request("POST", "^/REPO.git/info/lfs/objects/verify$", 1),
    Request("POST", "^/api/models/REPO/commit/main$", 1, has_body=True),
)

PUBLISHING = (
    # Once in the plan for each kind of card.
    Request("POST", "^/api/validate-yaml$", 1, concerns=(), has_body=True),
    Request("POST", "^/api/repos/create$", 1, ("new",)),
    *(request.to(name) for name in ("new", "old") for request in _PUBLISHING),
)

_OTHERS = rf"(?!ved\.json$){FILE}"
CHECKING = (
    # The published files are read back. The record of the old repo was read before.
    Request("HEAD", f"^/NEW/resolve/{SHA}/{FILE}", 12, ("new",), answers=False),
    Request("HEAD", f"^/OLD/resolve/{SHA}/{FILE}", 11, ("old",), answers=False),
    Request("GET", f"^/NEW/resolve/{SHA}/{FILE}", 11, ("new",)),
    Request("GET", f"^/OLD/resolve/{SHA}/{_OTHERS}", 9, ("old",)),
    Request("GET", "^/lfs/models/NEW/", 1, ("new",)),
    Request("GET", "^/lfs/models/OLD/", 1, ("old",)),
)

REQUESTS = (*READING, *PUBLISHING, *CHECKING)


def alike(kinds: Sequence[Request]) -> list[list[Request]]:
    """Return kinds in groups: a request of one pair, and the same request of the other pair."""
    groups: dict[tuple[str, str], list[Request]] = {}
    for kind in kinds:
        path = re.sub("NEW|OLD|gpt2|bert", "", kind.path.replace(_OTHERS, FILE))
        groups.setdefault((kind.method, path), []).append(kind)
    return [*groups.values()]


SEEDS = {"before": 0, "after": 1}
"""The seed of the old repo's checkpoint before the build, and of both checkpoints after it."""

_numbers = count(1)


@dataclass(frozen=True)
class Case:
    """Two repos for one test: one that does not exist yet, and one to be built again.

    Attributes:
        hub: the Hub of both.
        new: the one that does not exist.
        old: the other one.
        old_head: its newest commit.
        after: the seed of both checkpoints after a build.
    """

    hub: LocalHub
    new: str
    old: str
    old_head: str
    after: int

    def in_particular(self, path: str) -> str:
        """Return a path with these repos for NEW and OLD."""
        return path.replace("NEW", self.new).replace("OLD", self.old)

    def in_general(self, path: str) -> str:
        """Return a path with NEW and OLD for these repos."""
        return path.replace(self.new, "NEW").replace(self.old, "OLD")

    def build(self) -> dict[str, Result]:
        """Build both pairs as the command line does, and return the result of each."""
        seed = self.after
        pairs = [
            {"repo": self.new, "encoder": "team/vit", "decoder": "team/gpt2", "seed": seed},
            {"repo": self.old, "encoder": "team/vit", "decoder": "team/bert", "seed": seed},
        ]
        self.hub.requests.clear()
        forget_downloads()
        results = build(manifest(*pairs), RunOptions(), http.connect(TOKEN))
        return dict(zip(("new", "old"), results, strict=True))

    def seed(self, name: str) -> int | None:
        """Check that a repo is complete, and return its checkpoint's seed.

        Returns None if there is no repo, or no file in it.
        """
        repo, api = getattr(self, name), client(self.hub, TOKEN)
        if not api.repo_exists(repo):
            return None
        siblings = api.model_info(repo, files_metadata=True).siblings or []
        found = {each.rfilename: each for each in siblings}
        found.pop(".gitattributes")
        if not found:
            return None
        record = json.loads(_read(api, repo, "ved.json"))
        assert found.keys() == record["files"].keys() | {"ved.json"}
        for path, recorded in record["files"].items():
            file = found[path]
            stored = file.lfs.sha256 if file.lfs else file.blob_id
            assert (file.size, stored) == (
                recorded["size"],
                recorded["sha256"] if file.lfs else recorded["git_oid"],
            )
        seed: int = record["seed"]
        return seed

    def settle(self) -> None:
        """Wait until a silent Hub has answered everything."""
        deadline = time.monotonic() + 10
        while any(each.status is None for each in self.hub.requests):
            assert time.monotonic() < deadline, "a request has no answer"
            time.sleep(0.01)

    def asked(self, request: Request) -> list[Exchange]:
        """Return the requests of a kind that the last build made, retries included."""
        return [each for each in self.hub.requests if request.matches(each)]


def _read(api: HfApi, repo: str, name: str) -> bytes:
    answer = web.get(f"{api.endpoint}/{repo}/resolve/main/{name}", timeout=10)
    answer.raise_for_status()
    return answer.content


def forget_downloads() -> None:
    """Empty huggingface_hub's cache, so that small files are downloaded again."""
    shutil.rmtree(constants.HF_HUB_CACHE, ignore_errors=True)


@contextmanager
def new_case(hub: LocalHub, template: str, *, after: int = SEEDS["after"]) -> Iterator[Case]:
    """Lend out two repos; the old one is a copy of a template. See `Case` for `after`."""
    number = next(_numbers)
    new, old = f"{OWNER}/new-{number}", f"{OWNER}/old-{number}"
    path = hub.repository_path(template)
    folder = path.parent.parent / OWNER
    shutil.copytree(path, folder / f"old-{number}.git")
    head = client(hub, TOKEN).model_info(old).sha
    assert head is not None
    yield Case(hub, new, old, head, after)
    for kind in ("new", "old"):
        shutil.rmtree(folder / f"{kind}-{number}.git", ignore_errors=True)


def publish_template(hub: LocalHub) -> str:
    """Publish a template of the old repos, and return its name."""
    hub.add_user(OWNER, token=TOKEN)
    hub.add_user("template", token="hf_template")
    entry = {"repo": "template/old", "encoder": "team/vit", "decoder": "team/bert"}
    pair = manifest({**entry, "seed": SEEDS["before"]})
    (result,) = build(pair, RunOptions(), client(hub, "hf_template"))
    assert result.action == "built", result.reason
    return "template/old"


class AssembledOnce:
    """Assembles each pair once, and copies it afterwards: assembling makes no requests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.assemble = assemble.assemble
        self.made: dict[tuple[str, str, str], assemble.Checkpoint] = {}

    def __call__(
        self,
        encoder: Source,
        decoder: Source,
        directory: Path,
        settings: CheckpointSettings,
        prepared: Mapping[Role, PreparedSource],
    ) -> assemble.Checkpoint:
        """Write a checkpoint as `assemble.assemble` does."""
        key = (str(encoder), str(decoder), repr(settings))
        if key not in self.made:
            kept = self.directory / str(len(self.made))
            kept.mkdir()
            self.made[key] = self.assemble(encoder, decoder, kept, settings, prepared)
        shutil.copytree(self.made[key].directory, directory, dirs_exist_ok=True)
        return replace(self.made[key], directory=directory)


def be_quick(monkeypatch: pytest.MonkeyPatch, fault: str = "") -> None:
    """Make waits short and retries few.

    Args:
        monkeypatch: undoes it after the test.
        fault: the fault that requests will have.
    """
    monkeypatch.setattr(retries, "ATTEMPTS", ATTEMPTS)
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(retries, "LONGEST_WAIT", LONGEST_WAIT)
    # Short only for a silent Hub: on a busy machine, any answer may take this long.
    limit = TIME_LIMIT if fault == "silence" else PATIENCE
    monkeypatch.setattr(http, "TIMEOUT", httpx2.Timeout(limit, connect=5.0, pool=None))
