"""ved.publishing.collection_sync: repos are added and sorted, and nothing is removed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from huggingface_hub import Collection, HfApi

from tests.support.collections import (
    TITLE,
    collected_pairs,
    create_collection,
    create_repos,
    names_in,
    read_collection,
)
from tests.support.publishing import TOKEN, client, manifest, pair
from ved.errors import ErrorCode, VedError
from ved.localhub import LocalHub
from ved.publishing import collection_sync
from ved.publishing.collection_sync import sync_collection


@pytest.fixture(scope="module", autouse=True)
def _repos(module_hub: LocalHub) -> None:
    create_repos(module_hub)


def sync(
    hub: LocalHub, pairs: str, chosen: str | None = None, api: HfApi | None = None
) -> dict[str, VedError]:
    """Sync the collection of pairs for all of them, or for the chosen ones."""
    wanted = [f"owner/{name}" for name in (pairs if chosen is None else chosen).split()]
    return sync_collection(wanted, collected_pairs(pairs), api or client(hub))


def methods(hub: LocalHub) -> list[str]:
    return [each.method for each in hub.requests]


# Adding


def test_sync_creates_collection_in_order_of_manifest(hub: LocalHub) -> None:
    assert sync(hub, "c a b") == {}
    created = read_collection(hub)
    assert (names_in(created), created.private) == ("c a b", False)
    assert created.slug.startswith("owner/")
    assert {item.item_type for item in created.items} == {"model"}


def test_sync_writes_nothing_if_in_sync(hub: LocalHub) -> None:
    create_collection(hub, "a b c d secret")
    assert sync(hub, "a b c d secret") == {}
    assert methods(hub) == ["GET", "GET"]


def test_sync_finds_collection_whatever_the_case_of_its_title(hub: LocalHub) -> None:
    create_collection(hub, "a", TITLE.upper())
    assert sync(hub, "a b") == {}
    assert names_in(read_collection(hub, TITLE.upper())) == "a b"


@pytest.mark.parametrize(
    ("keys", "private"),
    [([True, True], True), ([True, False], False), ([True, None], False), ([None], False)],
)
def test_sync_creates_private_collection_if_all_pairs_are_private(
    keys: list[bool | None], private: bool, hub: LocalHub
) -> None:
    entries = [
        pair(f"owner/{name}", collection=TITLE, **({} if key is None else {"private": key}))
        for name, key in zip(("secret", "internal"), keys, strict=False)
    ]
    # All pairs of the manifest count, even if this run publishes only one.
    assert sync_collection(["owner/secret"], manifest(*entries).pairs, client(hub)) == {}
    assert read_collection(hub).private == private


def test_sync_keeps_visibility_of_existing_collection(hub: LocalHub) -> None:
    client(hub).create_collection(TITLE, namespace="owner", private=True)
    sync(hub, "a")
    found = read_collection(hub)
    assert (names_in(found), found.private) == ("a", True)


def test_sync_keeps_other_items_and_notes(hub: LocalHub) -> None:
    slug = create_collection(hub, "")
    api = client(hub)
    api.create_repo("owner/a", repo_type="dataset")
    api.add_collection_item(slug, "owner/a", "dataset", note="Images")
    api.add_collection_item(slug, "owner/b", "model", note="Mine")
    sync(hub, "b a")
    items = [(item.item_id, item.item_type, item.note) for item in read_collection(hub).items]
    assert items == [
        ("owner/a", "dataset", "Images"),
        ("owner/b", "model", "Mine"),
        ("owner/a", "model", None),
    ]


# Sorting


@pytest.mark.parametrize(
    ("before", "wanted", "after", "moves"),
    [
        ("a b", "a b c", "a b c", 0),
        ("a b", "a c b", "a c b", 1),
        ("b c d a", "a b c d", "a b c d", 1),
        ("c a b", "a b c", "a b c", 2),  # never to the right, though that takes one move
        ("d c b a", "a b c d", "a b c d", 3),
        ("secret a b internal", "b a", "secret b a internal", 1),
        ("a secret b", "a c b", "a secret c b", 1),
        ("a b c", "b", "a b c", 0),
    ],
)
def test_sync_sorts_pairs_with_few_moves(
    before: str, wanted: str, after: str, moves: int, hub: LocalHub
) -> None:
    create_collection(hub, before)
    assert sync(hub, wanted) == {}
    assert names_in(read_collection(hub)) == after
    assert methods(hub).count("PATCH") == moves


def test_sync_in_partial_builds_keeps_order_of_whole_manifest(hub: LocalHub) -> None:
    for name in "dba":
        sync(hub, "a b c d", name)
    assert names_in(read_collection(hub)) == "a b d"


class _Interleaved(HfApi):
    """A client that lets another job act right before one of its own writes."""

    def __init__(self, hub: LocalHub, before_write: int, other_job: Callable[[], object]) -> None:
        super().__init__(hub.endpoint, token=TOKEN)
        self.writes = 0
        self.before_write = before_write
        self.other_job = other_job

    def add_collection_item(self, *args: object, **keys: object) -> Collection:
        self._let_other_job_act()
        return super().add_collection_item(*args, **keys)  # type: ignore[arg-type]

    def update_collection_item(self, *args: object, **keys: object) -> None:
        self._let_other_job_act()
        super().update_collection_item(*args, **keys)  # type: ignore[arg-type]

    def _let_other_job_act(self) -> None:
        if self.writes == self.before_write:
            self.other_job()
        self.writes += 1


@pytest.mark.parametrize("before_write", range(4))
@pytest.mark.parametrize("present", ["", "d", "d c", "secret d internal b"])
def test_sync_ends_in_order_if_another_job_acts_between(
    present: str, before_write: int, hub: LocalHub
) -> None:
    create_collection(hub, present)
    api = _Interleaved(hub, before_write, lambda: sync(hub, "a b c d", "b d"))
    assert sync(hub, "a b c d", "a c", api) == {}
    if api.writes <= before_write:
        sync(hub, "a b c d", "b d")  # the job had no such write
    names = names_in(read_collection(hub)).split()
    assert [name for name in names if name in "abcd"] == list("abcd")
    assert [name for name in names if name not in "abcd"] == [
        name for name in present.split() if name not in "abcd"
    ]


def test_sync_of_concurrent_jobs_adds_and_sorts_all(hub: LocalHub) -> None:
    start = Barrier(2)

    def job(chosen: str) -> dict[str, VedError]:
        start.wait()
        return sync(hub, "a b c d", chosen)

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(job, chosen) for chosen in ("d b", "c a")]
        assert [job.result(60) for job in jobs] == [{}, {}]
    assert names_in(read_collection(hub)) == "a b c d"


def test_sync_gives_up_sorting_if_another_job_undoes_it(
    hub: LocalHub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_collection(hub, "b a")

    class Undone(HfApi):
        def update_collection_item(self, *args: object, **keys: object) -> None:
            """Do nothing."""

    assert sync(hub, "a b", api=Undone(hub.endpoint, token=TOKEN)) == {}
    assert methods(hub).count("GET") == 2 + collection_sync.MOVES_PER_ITEM * 2
    (record,) = (each for each in caplog.records if each.levelname == "WARNING")
    assert TITLE in record.getMessage()


# Errors


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/collections$"), ("POST", "/api/collections$")]
)
def test_sync_returns_error_of_collection_for_all_repos(
    method: str, path: str, hub: LocalHub
) -> None:
    hub.faults.add(method, path, status=403)
    failed = sync(hub, "a b")
    assert {repo: error.code for repo, error in failed.items()} == {
        "owner/a": ErrorCode.TOKEN_MAY_NOT_WRITE,
        "owner/b": ErrorCode.TOKEN_MAY_NOT_WRITE,
    }


def test_sync_returns_error_of_malformed_answer(hub: LocalHub) -> None:
    hub.faults.add("GET", "/api/collections$", body=b'{"slug": 5}')
    failed = sync(hub, "a")
    assert failed["owner/a"].code == ErrorCode.HUB_DOES_NOT_ANSWER


def test_sync_returns_error_of_one_repo_and_adds_the_others(hub: LocalHub) -> None:
    hub.faults.add("POST", "/items$", status=403)
    failed = sync(hub, "a b")
    assert {repo: error.code for repo, error in failed.items()} == {
        "owner/a": ErrorCode.TOKEN_MAY_NOT_WRITE
    }
    assert names_in(read_collection(hub)) == "b"


def test_sync_ends_at_a_limit_by_the_hour(hub: LocalHub) -> None:
    hub.faults.add("POST", "/items$", times=2, status=429, retry_after=3600)
    failed = sync(hub, "a b")
    assert {repo: error.code for repo, error in failed.items()} == {
        "owner/a": ErrorCode.RATE_LIMIT,
        "owner/b": ErrorCode.RATE_LIMIT,
    }
    assert [each.status for each in hub.requests].count(429) == 1
    hub.faults.clear()


def test_sync_returns_error_of_missing_repo(hub: LocalHub) -> None:
    failed = sync(hub, "nowhere")
    assert failed["owner/nowhere"].code == ErrorCode.NO_SUCH_REPO


def test_sync_only_logs_refused_order(hub: LocalHub, caplog: pytest.LogCaptureFixture) -> None:
    create_collection(hub, "a b")
    hub.faults.add("PATCH", "/items/", status=403)
    assert sync(hub, "b a") == {}
    (record,) = (each for each in caplog.records if each.levelname == "WARNING")
    assert TITLE in record.getMessage()
    sync(hub, "b a")
    assert names_in(read_collection(hub)) == "b a"


def test_sync_uses_the_older_of_two_collections_that_jobs_created(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.behavior.unique_collection_titles = False
    created = HfApi.create_collection

    def create_after_another(api: HfApi, *arguments: Any, **options: Any) -> Collection:
        created(api, *arguments, **options)
        return created(api, *arguments, **options)

    monkeypatch.setattr(HfApi, "create_collection", create_after_another)
    assert sync_collection(["owner/a"], collected_pairs("a"), client(hub)) == {}
    slugs = sorted(each.slug for each in client(hub).list_collections(owner="owner"))
    items = [len(client(hub).get_collection(slug).items) for slug in slugs]
    assert items == [1, 0]
