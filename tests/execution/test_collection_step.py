"""ved.execution.collection_step: a run adds the published repos to their collections."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.collections import (
    TITLE,
    collected_pairs,
    create_collection,
    create_repos,
    names_in,
    read_collection,
)
from tests.support.publishing import build_pair, client, heads, manifest, pair
from ved.commands import RunOptions, build, plan
from ved.errors import ErrorCode
from ved.execution.collection_step import sync_collections
from ved.hub.oidc import Publisher
from ved.localhub import LocalHub
from ved.manifest.pair_models import Pair
from ved.planning.actions import ActionName, is_pending
from ved.results import Outcome, Result, ResultCollector

COMMIT = "0123456789abcdef" * 2 + "01234567"


def results(pairs: Sequence[Pair], action: ActionName | Outcome = "built") -> list[Result]:
    return [Result(each, action, commit=COMMIT) for each in pairs]


class Collector(ResultCollector):
    """A collector without a plan, which keeps each result it gets."""

    def __init__(self, results: Sequence[Result]) -> None:
        super().__init__()
        self.latest = {result.pair.repo: result for result in results}
        self.seen: list[Result] = []

    def add(self, result: Result) -> None:
        self.seen.append(result)
        self.latest[result.pair.repo] = result

    @property
    def results(self) -> list[Result]:
        return [*self.latest.values()]


def synced(pairs: Sequence[Pair], done: Sequence[Result], hub: LocalHub) -> list[Result]:
    collector = Collector(done)
    sync_collections(pairs, [], client(hub), collector)
    return collector.results


def writes(hub: LocalHub) -> list[str]:
    return [
        each.method
        for each in hub.requests
        if each.method not in ("GET", "HEAD") and each.path != "/api/validate-yaml"
    ]


# After a run


@pytest.mark.parametrize("action", ["built", "card-only", "skipped"])
def test_sync_collections_adds_published_repos(action: ActionName | Outcome, hub: LocalHub) -> None:
    create_repos(hub)
    pairs = collected_pairs("b a")
    assert synced(pairs, results(pairs, action), hub) == results(pairs, action)
    assert names_in(read_collection(hub)) == "b a"


@pytest.mark.parametrize("action", ["refused", "failed"])
def test_sync_collections_ignores_unpublished_repos(
    action: ActionName | Outcome, hub: LocalHub
) -> None:
    pairs = collected_pairs("a")
    assert synced(pairs, results(pairs, action), hub) == results(pairs, action)
    assert hub.requests == []


def test_sync_collections_fails_only_pairs_of_refused_collection(hub: LocalHub) -> None:
    create_repos(hub)
    create_collection(hub, "d", "Others")
    hub.faults.add("POST", "/api/collections$", status=403)
    entries = [
        *(pair(f"owner/{name}", collection=TITLE) for name in "ab"),
        pair("owner/c"),
        pair("owner/d", collection="Others"),
    ]
    pairs = manifest(*entries).pairs

    first, second, *rest = synced(pairs, results(pairs), hub)

    for result in (first, second):
        assert (result.action, result.commit, result.is_bad) == ("failed", COMMIT, True)
        assert COMMIT in result.reason
        assert result.codes == [ErrorCode.COLLECTION_NOT_CHANGED]
        ((level, key, _),) = result.annotations()
        assert (level, key) == ("error", "collection")
    assert rest == results(pairs)[2:]


def test_sync_collections_reports_each_collection_once_it_is_done(hub: LocalHub) -> None:
    create_repos(hub)
    entries = [pair("owner/a", collection=TITLE), pair("owner/b", collection="Others")]
    pairs = manifest(*entries).pairs
    collector = Collector(results(pairs[:1]))

    sync_collections(pairs, results(pairs[1:]), client(hub), collector)

    first, second = results(pairs)
    unfinished, *final = collector.seen
    assert (unfinished.pair, unfinished.commit) == (first.pair, COMMIT)
    assert unfinished.reason != first.reason
    assert final == [first, second]


# Whole runs


def planned_results(*arguments: Any) -> Sequence[Result]:
    return plan(*arguments).results


@pytest.mark.parametrize("run", [planned_results, build])
@pytest.mark.parametrize(
    ("owner", "allowed", "code"),
    [
        ("stranger", (), ErrorCode.TOKEN_MAY_NOT_WRITE),
        ("team", ("owner",), ErrorCode.NAMESPACE_NOT_ALLOWED),
    ],
)
def test_run_refuses_collection_of_other_owner_before_building(
    owner: str, allowed: tuple[str, ...], code: ErrorCode, run: Callable[..., Any], hub: LocalHub
) -> None:
    wanted = manifest(pair("owner/new", collection=f"{owner}/Warm starts"))
    (found,) = run(wanted, RunOptions(allowed_namespaces=allowed), client(hub))
    assert found.action in ("refuse", "refused")
    (error,) = (each for each in found.findings if each.level == "error")
    assert (error.key, error.code) == ("collection", code)
    assert writes(hub) == []


def test_run_refuses_collection_without_stored_token(hub: LocalHub) -> None:
    github: dict[str, Any] = {"repository": "octo-org/octo-repo", "workflow": "checkpoints.yml"}
    client(hub).create_repo("owner/keyless")
    hub.add_publisher("owner/keyless", **github)
    publisher = Publisher(hub.endpoint, hub.add_job(**github), lambda _: None)
    wanted = manifest(pair("owner/keyless", collection=TITLE))

    (result,) = build(wanted, RunOptions(), client(hub, None), publisher=publisher)

    (error,) = (each for each in result.findings if each.level == "error")
    assert (result.action, error.key) == ("refused", "collection")
    assert error.code == ErrorCode.COLLECTION_NOT_CHANGED


def test_run_adds_built_and_skipped_repos(hub: LocalHub) -> None:
    assert build_pair(hub, pair("owner/one")).action == "built"
    entries = [pair(f"owner/{name}", collection=TITLE) for name in ("two", "one")]

    done = build(manifest(*entries), RunOptions(), client(hub))

    assert [result.action for result in done] == ["built", "card-only"]
    assert names_in(read_collection(hub)) == "two one"
    served = client(hub).hf_hub_download("owner/two", "ved.json")
    assert "collection" not in Path(served).read_text()


def test_plan_has_a_job_for_a_collection_that_is_not_in_sync(hub: LocalHub) -> None:
    create_repos(hub)
    slug = create_collection(hub, "a b")
    entry = pair("owner/late")
    assert build_pair(hub, entry).action == "built"
    wanted = manifest(pair("owner/b"), {**entry, "collection": TITLE}, pair("owner/a"))

    def planned_and_done() -> tuple[str, bool, str | None]:
        planned = plan(wanted, RunOptions(only=("late",)), client(hub))
        (done,) = build(wanted, RunOptions(only=("late",)), client(hub))
        assert done.commit == heads(hub)["owner/late"]
        (action,), (result,) = planned.actions, planned.results
        # Mode report counts a planned `card-only` without a commit as unfinished.
        assert (result.commit is None) == is_pending(action)
        return action.name, is_pending(action), done.action

    assert planned_and_done() == ("card-only", True, "card-only")
    assert names_in(read_collection(hub)) == "a b late"
    assert planned_and_done() == ("skip", False, "skipped")
    assert slug == read_collection(hub).slug


def test_plan_has_a_job_for_a_collection_that_is_out_of_order(hub: LocalHub) -> None:
    for name in ("one", "two"):
        assert build_pair(hub, pair(f"owner/{name}")).action == "built"
    create_collection(hub, "two one")
    wanted = manifest(*(pair(f"owner/{name}", collection=TITLE) for name in ("one", "two")))

    first = plan(wanted, RunOptions(), client(hub)).actions
    build(wanted, RunOptions(), client(hub))
    second = plan(wanted, RunOptions(), client(hub)).actions

    assert [is_pending(each) for each in first] == [True, False]
    assert names_in(read_collection(hub)) == "one two"
    assert [is_pending(each) for each in second] == [False, False]


def test_run_without_push_leaves_collections(hub: LocalHub, tmp_path: Path) -> None:
    options = RunOptions(push=False, output_directory=tmp_path)
    (result,) = build(manifest(pair("owner/kept", collection=TITLE)), options, client(hub))
    assert result.action == "built"
    assert [each.path for each in hub.requests if "collections" in each.path] == []
