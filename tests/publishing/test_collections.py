"""ved.publishing.collections: what is missing or out of order in collections."""

import json

import pytest
from huggingface_hub import CollectionItem, HfApi
from hypothesis import given
from hypothesis import strategies as st

from tests.support.collections import (
    TITLE,
    collected_pairs,
    create_collection,
    create_repos,
    names_in,
)
from tests.support.publishing import TOKEN, client, manifest, pair
from ved.errors import ErrorCode, VedError
from ved.hub.access import HubAccess
from ved.hub.oidc import Publisher
from ved.hub.rights import Rights
from ved.localhub import LocalHub
from ved.publishing.collections import (
    check_collection,
    find_collection,
    find_uncollected,
    next_move,
    pairs_by_collection,
)

NAMESPACES = Rights("owner")


@pytest.fixture(scope="module", autouse=True)
def _repos(module_hub: LocalHub) -> None:
    create_repos(module_hub)


# What is known before a build


def test_check_collection_refuses_other_namespace(hub: LocalHub) -> None:
    access = HubAccess(client(hub))
    check_collection("Owner/Warm starts", access, NAMESPACES)
    check_collection("stranger/Warm starts", access, None)
    with pytest.raises(VedError) as caught:
        check_collection("stranger/Warm starts", access, NAMESPACES)
    assert caught.value.code == ErrorCode.TOKEN_MAY_NOT_WRITE


def test_check_collection_refuses_identity_without_stored_token(hub: LocalHub) -> None:
    job = hub.add_job(repository="octo-org/octo-repo", workflow="checkpoints.yml")
    publisher = Publisher(hub.endpoint, job, lambda _: None)
    check_collection("owner/Warm starts", HubAccess(client(hub), publisher), None)
    with pytest.raises(VedError) as caught:
        check_collection("owner/Warm starts", HubAccess(client(hub, None), publisher), None)
    assert caught.value.code == ErrorCode.COLLECTION_NOT_CHANGED


# Finding


def test_pairs_by_collection_ignores_case_and_pairs_without_one() -> None:
    entries = [
        pair("owner/a", collection="One"),
        pair("owner/b"),
        pair("owner/c", collection="Two"),
        pair("owner/d", collection="ONE"),
    ]
    groups = pairs_by_collection(manifest(*entries).pairs)
    assert {name: [each.repo for each in group] for name, group in groups.items()} == {
        "owner/One": ["owner/a", "owner/d"],
        "owner/Two": ["owner/c"],
    }


def test_find_collection_prefers_exact_title(hub: LocalHub) -> None:
    create_collection(hub, "a", TITLE.upper())
    found = find_collection(f"owner/{TITLE}", client(hub))
    assert found is not None
    assert found.title == TITLE.upper()
    create_collection(hub, "b")
    exact = find_collection(f"owner/{TITLE}", client(hub))
    assert exact is not None
    assert (exact.title, names_in(exact)) == (TITLE, "b")


def test_find_collection_of_two_is_the_oldest(hub: LocalHub) -> None:
    hub.behavior.unique_collection_titles = False
    slugs = [create_collection(hub, "a") for _ in range(3)]
    found = find_collection(f"owner/{TITLE}", client(hub))
    assert found is not None
    assert found.slug == slugs[0]


def test_find_collection_ignores_collections_of_others(hub: LocalHub) -> None:
    slug = f"stranger/warm-starts-{'0' * 24}"
    body = json.dumps([{"title": TITLE, "slug": slug, "owner": {"name": "stranger"}}]).encode()
    hub.faults.add("GET", "^/api/collections$", body=body)
    assert find_collection(f"owner/{TITLE}", client(hub)) is None


def test_find_collection_has_all_items(hub: LocalHub) -> None:
    create_collection(hub, "a b c d secret")  # a listing has the first four only
    found = find_collection(f"owner/{TITLE}", client(hub))
    assert found is not None
    assert names_in(found) == "a b c d secret"
    assert find_collection("owner/No such title", client(hub)) is None


@pytest.mark.parametrize(
    ("present", "wanted", "uncollected"),
    [
        ("a b c", "a b c", ""),
        ("a b c", "a c", ""),
        ("a secret b", "a b", ""),
        ("a", "a b", "b"),
        ("", "a b", "a b"),
        ("b a", "a b", "a"),
        ("c b a", "a b c", "b"),
        ("b a", "a b c", "a c"),
    ],
)
def test_find_uncollected_reports_missing_and_one_misplaced_repo(
    present: str, wanted: str, uncollected: str, hub: LocalHub
) -> None:
    create_collection(hub, present)
    found = find_uncollected(collected_pairs(wanted), client(hub))
    assert found == {f"owner/{name}" for name in uncollected.split()}
    assert [each.method for each in hub.requests] == ["GET", "GET"]


def test_find_uncollected_reports_all_repos_of_missing_collection(hub: LocalHub) -> None:
    found = find_uncollected(collected_pairs("a b"), client(hub))
    assert found == {"owner/a", "owner/b"}


@pytest.mark.parametrize("body", [b'{"slug": 5}', b"<html>", b"5"])
def test_find_uncollected_ignores_unreadable_collection(body: bytes, hub: LocalHub) -> None:
    create_collection(hub, "")
    hub.faults.add("GET", "/api/collections$", body=body)
    entries = [pair("owner/a", collection="Unreadable"), pair("owner/b", collection=TITLE)]
    assert find_uncollected(manifest(*entries).pairs, client(hub)) == {"owner/b"}


def test_find_uncollected_passes_programming_errors(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ved.publishing.collections.collection_titles", None)
    with pytest.raises(TypeError):
        find_uncollected(collected_pairs("a"), HfApi(hub.endpoint, token=TOKEN))


# Moves


@given(st.permutations(list("abcdeXYZ")), st.sets(st.sampled_from("abcde")))
def test_next_move_sorts_items_with_places_and_keeps_others(
    before: list[str], placed: set[str]
) -> None:
    places = {name: place for place, name in enumerate(sorted(placed))}
    now, moves = list(before), 0
    while move := next_move([model(name) for name in now], places):
        item, position = move
        assert position < now.index(item.item_id)
        now.remove(item.item_id)
        now.insert(position, item.item_id)
        moves += 1
        assert moves < len(placed)
    assert [name for name in now if name in placed] == sorted(placed)
    assert [name for name in now if name not in placed] == [
        name for name in before if name not in placed
    ]


def test_next_move_ignores_items_that_are_not_models() -> None:
    dataset = CollectionItem(_id="1", id="b", type="dataset", position=0)
    places = {"a": 0, "b": 1}
    assert next_move([dataset, model("a")], places) is None
    assert next_move([model("b"), dataset, model("A")], places) is not None


def model(name: str) -> CollectionItem:
    return CollectionItem(_id=name, id=name, type="model", position=0)
