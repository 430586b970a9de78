"""ved.execution.pipeline: what a result says after the commit, before the pair is done."""

from pathlib import Path

import pytest

from tests.support.publishing import build_pair, client, heads, manifest, pair
from ved.commands import Result, ResultCollector, RunOptions, build
from ved.errors import ErrorCode
from ved.localhub import LocalHub


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"description": "Another card"}], ids=["checkpoint", "card"]
)
def test_result_has_commit_if_repo_stays_private(change: dict[str, object], hub: LocalHub) -> None:
    assert build_pair(hub, pair("owner/x", private=True)).action == "built"
    hub.faults.add("PUT", "/owner/x/settings$", status=403)

    result = build_pair(hub, pair("owner/x", private=False, **change))

    assert (result.action, result.code) == ("failed", ErrorCode.VISIBILITY_NOT_CHANGED)
    assert result.commit == heads(hub)["owner/x"]
    assert result.url == f"{hub.endpoint}/owner/x/commit/{result.commit}"
    assert bool(result.checksums) == ("seed" in change)
    assert client(hub).model_info("owner/x").private
    again = build_pair(hub, pair("owner/x", private=False, **change))
    assert (again.action, again.commit) == ("card-only", result.commit)
    assert not client(hub).model_info("owner/x").private


class Recorder(ResultCollector):
    """A collector that keeps each result it got, and whether the repo was private by then."""

    def __init__(self, hub: LocalHub) -> None:
        super().__init__()
        self.hub = hub
        self.seen: list[tuple[str, str | None, bool, bool]] = []

    def add(self, result: Result) -> None:
        super().add(result)
        private = bool(client(self.hub).model_info(result.pair.repo).private)
        self.seen.append((result.action, result.commit, bool(result.checksums), private))


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"description": "Another card"}], ids=["checkpoint", "card"]
)
def test_result_has_commit_before_the_repo_becomes_public(
    change: dict[str, object], hub: LocalHub, tmp_path: Path
) -> None:
    """An interrupt may come at any moment, and the results so far are reported."""
    built = build_pair(hub, pair("owner/y", private=True))
    recorder = Recorder(hub)
    entry = pair("owner/y", private=False, check="none", **change)

    build(manifest(entry), RunOptions(), client(hub), collector=recorder)

    commit, is_built = heads(hub)["owner/y"], "seed" in change
    outcome = "built" if is_built else "card-only"
    assert recorder.seen == [
        ("failed", None, False, True),
        (outcome, commit, is_built, True),
        (outcome, commit, is_built, False),
    ]
    assert commit != built.commit
