"""Builds that are interrupted while hf_xet waits for the storage; see test_interruption.py.

`make test` interrupts some of its requests; VED_ALL_FAULTS=1 interrupts each, in both front ends.
"""

import re
import signal
from collections.abc import Sequence
from itertools import count, cycle
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults import ALL_FAULTS
from tests.support.processes import (
    ACTION,
    DELAY,
    FRONT_ENDS,
    OWNER,
    TOKEN,
    entry,
    grace,
    start,
    wait_for,
)
from tests.support.publishing import client
from ved.localhub import LocalHub

pytestmark = pytest.mark.slow

_seeds = count(1000)  # content that the storage has is not sent again

_CAS = "^/cas/[0-9a-f]+"

HELD = {
    "token-for-reading": ("GET", "^/api/models/team/roberta/xet-read-token/"),
    "reconstruction": ("GET", f"{_CAS}/v2/reconstructions/"),
    "xorb-read": ("GET", "^/xet/xorbs/"),
    "token-for-writing": ("GET", "^/api/models/{repo}/xet-write-token/"),
    "chunk": ("GET", f"{_CAS}/v1/chunks/"),
    "grant": ("POST", f"{_CAS}/v1/xorb-grants/"),
    "xorb-sent": ("PUT", "^/xet/bucket/"),
    "xorb-committed": ("POST", f"{_CAS}/v1/xorb-commits/"),
    "shard": ("POST", f"{_CAS}/v2/shards"),
}
"""The request that is held, by its name."""

SOME = ("xorb-read", "xorb-sent")
INTERRUPTIONS = (
    [(*front_end, name) for front_end in FRONT_ENDS for name in HELD]
    if ALL_FAULTS
    else [(*front_end, name) for front_end, name in zip(cycle(FRONT_ENDS), SOME)]
)


@pytest.mark.parametrize(("command", "number", "name"), INTERRUPTIONS)
def test_interrupted_transfer_ends_soon_and_leaves_nothing(
    command: Sequence[str], number: signal.Signals, name: str, hub: LocalHub, tmp_path: Path
) -> None:
    repo = f"{OWNER}/{name}-{command is ACTION}"
    method, path = HELD[name]
    path = path.format(repo=repo)
    hub.faults.add(method, path, delay=DELAY)
    pair: dict[str, Any] = {**entry(repo), "seed": next(_seeds)}
    run = start(hub, tmp_path, [pair], command)
    wait_for(hub, method, path, 1, run)
    run.process.send_signal(number)
    printed = run.ended(grace())

    assert run.process.returncode == 130
    assert ("The job was cancelled." if command is ACTION else "Interrupted.") in printed
    assert list(run.temporary.iterdir()) == []
    assert {each.name for each in (tmp_path / "cache").iterdir()} <= {"hub"}
    api = client(hub, TOKEN)
    files = set(api.list_repo_files(repo)) if api.repo_exists(repo) else set()
    assert files <= {".gitattributes"}
    token = re.compile(rb"%s|xet_[\w-]{43}" % TOKEN.encode())  # also those of the storage
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or not token.search(file.read_bytes()), file
