"""Repos in collections of the Hub: found or made, in the manifest's order, with nothing removed."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from huggingface_hub import Collection, CollectionItem
from hypothesis import given
from hypothesis import strategies as st

from tests.support.publishing import build_pair, client, manifest, pair
from ved.commands import RunOptions, build
from ved.commands import plan as make_report
from ved.execution.collections import sync_collections
from ved.hub.oidc import Publisher
from ved.localhub import LocalHub
from ved.manifest.loading import Manifest, ManifestError, loads
from ved.planning.actions import ActionName, PlannedAction, is_pending
from ved.planning.findings import Finding
from ved.publishing.collections import _moves
from ved.results.result import Outcome, Result

COMMIT = "0123456789abcdef" * 2 + "01234567"
_numbers = count(1)


@pytest.fixture
def title(hub: LocalHub) -> str:
    """Return the title of a collection that is not there yet; there are repos to put into it."""
    api = client(hub)
    for name in "abcd":
        api.create_repo(f"owner/{name}", exist_ok=True)
    for name in ("secret", "hidden"):
        api.create_repo(f"owner/{name}", private=True, exist_ok=True)
    hub.requests.clear()
    return f"Warm starts {next(_numbers)}"


def collecting(title: str, names: str) -> Manifest:
    """Return a manifest of repos that are all to be in one collection, in an order."""
    return manifest(*(pair(f"owner/{name}", collection=title) for name in names.split()))


def results(wanted: Manifest, action: ActionName | Outcome = "built") -> list[Result]:
    return [Result(each, action, commit=COMMIT) for each in wanted.pairs]


def kept(hub: LocalHub, wanted: Manifest, done: Sequence[Result] | None = None) -> list[Result]:
    return sync_collections(wanted.pairs, results(wanted) if done is None else done, client(hub))


def there(hub: LocalHub, title: str) -> Collection:
    api = client(hub)
    (found,) = (each for each in api.list_collections(owner="owner") if each.title == title)
    return api.get_collection(found.slug)


def names(collection: Collection) -> str:
    """Return what is in a collection, by the last part of its id."""
    return " ".join(item.item_id.rpartition("/")[2] for item in collection.items)


def error_of(found: Result | PlannedAction) -> Finding:
    """Return the one error among a pair's findings."""
    (error,) = (each for each in found.findings if each.level == "error")
    return error


def writes(hub: LocalHub) -> list[str]:
    harmless = ("GET", "HEAD")
    return [
        each.method
        for each in hub.requests
        if each.method not in harmless and each.path != "/api/validate-yaml"
    ]


# What is put where


def test_published_repos_are_put_into_a_collection_in_the_manifests_order(
    hub: LocalHub, title: str
) -> None:
    wanted = collecting(title, "c a b")
    assert kept(hub, wanted) == results(wanted)
    made = there(hub, title)
    assert (names(made), made.owner, made.private) == ("c a b", "owner", False)
    assert {item.item_type for item in made.items} == {"model"}


def test_where_all_is_in_order_nothing_is_written(hub: LocalHub, title: str) -> None:
    wanted = collecting(title, "a b c d secret")  # more than a listing tells
    kept(hub, wanted)
    hub.requests.clear()
    skipped = results(wanted, "skipped")
    assert kept(hub, wanted, skipped) == skipped
    assert [each.method for each in hub.requests] == ["GET", "GET"]


@pytest.mark.parametrize(
    ("before", "wanted", "after", "moves"),
    [
        ("a b", "a b c", "a b c", 0),
        ("a b", "a c b", "a c b", 1),
        ("b c d a", "a b c d", "a b c d", 1),
        ("c a b", "a b c", "a b c", 2),  # never to the right, though that takes one
        ("d c b a", "a b c d", "a b c d", 3),
        ("secret a b hidden", "b a", "secret b a hidden", 1),
        ("a secret b", "a c b", "a secret c b", 1),
        ("a b c", "b", "a b c", 0),
    ],
)
def test_with_few_moves_the_pairs_are_in_order_and_the_rest_stays(
    before: str, wanted: str, after: str, moves: int, hub: LocalHub, title: str
) -> None:
    api = client(hub)
    slug = api.create_collection(title, namespace="owner").slug
    for name in before.split():
        api.add_collection_item(slug, f"owner/{name}", "model")
    hub.requests.clear()

    kept(hub, collecting(title, wanted))

    assert names(there(hub, title)) == after
    assert writes(hub).count("PATCH") == moves


def test_items_that_are_no_models_and_their_notes_are_left(hub: LocalHub, title: str) -> None:
    api = client(hub)
    slug = api.create_collection(title, namespace="owner").slug
    api.create_repo("owner/a", repo_type="dataset", exist_ok=True)
    api.add_collection_item(slug, "owner/a", "dataset", note="Images")
    api.add_collection_item(slug, "owner/b", "model", note="Mine")
    kept(hub, collecting(title, "b a"))
    items = [(item.item_id, item.item_type, item.note) for item in there(hub, title).items]
    assert items == [
        ("owner/a", "dataset", "Images"),
        ("owner/b", "model", "Mine"),
        ("owner/a", "model", None),
    ]


def test_a_collection_is_found_however_its_title_is_capitalized(hub: LocalHub, title: str) -> None:
    kept(hub, collecting(title, "a"))
    pairs = [pair("owner/a", collection=title), pair("owner/b", collection=title.upper())]
    kept(hub, manifest(*pairs))
    assert names(there(hub, title)) == "a b"


@pytest.mark.parametrize(
    ("said", "private"),
    [([True, True], True), ([True, False], False), ([True, None], False), ([None], False)],
)
def test_a_new_collection_is_private_where_all_of_its_pairs_say_so(
    said: list[bool | None], private: bool, hub: LocalHub, title: str
) -> None:
    repos = zip(("secret", "hidden"), said, strict=False)
    wanted = manifest(
        *(
            pair(f"owner/{name}", collection=title, **({} if value is None else {"private": value}))
            for name, value in repos
        )
    )
    kept(hub, wanted, results(wanted)[:1])  # as where the first alone is asked for
    assert there(hub, title).private == private


def test_a_collection_that_is_there_stays_as_visible_as_it_is(hub: LocalHub, title: str) -> None:
    client(hub).create_collection(title, namespace="owner", private=True)
    kept(hub, collecting(title, "a"))
    made = there(hub, title)
    assert (names(made), made.private) == ("a", True)


def test_of_some_pairs_alone_the_others_keep_their_places(hub: LocalHub, title: str) -> None:
    """As in a job of a matrix: the order is that of the whole manifest."""
    whole = collecting(title, "a b c d")
    for chosen in ("owner/d", "owner/b", "owner/a"):
        done = [each for each in results(whole) if each.pair.repo == chosen]
        kept(hub, whole, done)
    assert names(there(hub, title)) == "a b d"


def test_jobs_at_the_same_time_make_one_collection_with_all_in_it(
    hub: LocalHub, title: str
) -> None:
    whole = collecting(title, "a b c d")
    both = Barrier(2)

    def job(mine: list[Result]) -> list[Result]:
        both.wait()
        return kept(hub, whole, mine)

    done = results(whole)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(job, mine) for mine in (done[::2], done[1::2])]
        assert [job.result(60) for job in jobs] == [done[::2], done[1::2]]
    assert sorted(names(there(hub, title)).split()) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("action", ["refused", "failed"])
def test_what_is_not_published_is_not_put_anywhere(
    action: ActionName | Outcome, hub: LocalHub, title: str
) -> None:
    wanted = collecting(title, "a")
    done = results(wanted, action)
    assert kept(hub, wanted, done) == done
    assert hub.requests == []


# What fails


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/collections$"),
        ("POST", "/api/collections$"),
    ],
)
def test_what_could_not_be_put_into_its_collection_has_failed_and_is_published(
    method: str, path: str, hub: LocalHub, title: str
) -> None:
    kept(hub, collecting(f"{title}, others", "d"))
    hub.faults.add(method, path, status=403)
    entries = [pair(f"owner/{name}", collection=title) for name in "ab"]
    others = [pair("owner/c"), pair("owner/d", collection=f"{title}, others")]

    published = results(manifest(*entries, *others))

    first, second, *rest = done = kept(hub, manifest(*entries, *others), published)

    assert [result.action for result in done] == ["failed", "failed", "built", "built"]
    for result in (first, second):
        assert (result.commit, result.is_bad) == (COMMIT, True)
        assert result.reason.startswith(
            f"Published as {COMMIT}, but not in its collection: "
            f"Cannot change the collection owner/{title}: the token may not do that"
        )
        ((level, key, said),) = result.annotations()
        assert (level, key) == ("error", "collection")
        assert said.startswith(result.reason)
        assert result.codes == ["collection-not-changed"]
    assert rest == published[2:]


def test_of_several_that_one_which_cannot_be_added_has_failed(hub: LocalHub, title: str) -> None:
    hub.faults.add("POST", "/items$", status=403)
    first, second = kept(hub, collecting(title, "a b"))
    assert [first.action, second.action] == ["failed", "built"]
    assert f"Cannot add owner/a to the collection owner/{title}: the token" in first.reason
    assert names(there(hub, title)) == "b"


def test_an_order_that_cannot_be_made_is_no_failure(
    hub: LocalHub, title: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept(hub, collecting(title, "a b"))
    hub.faults.add("PATCH", "/items/", status=403)
    assert [result.action for result in kept(hub, collecting(title, "b a"))] == ["built"] * 2
    assert f"Cannot put the collection owner/{title} in order" in caplog.text
    kept(hub, collecting(title, "b a"))
    assert names(there(hub, title)) == "b a"


def test_of_titles_that_differ_in_capitals_the_very_one_is_taken(hub: LocalHub, title: str) -> None:
    for each in (title.upper(), title):
        client(hub).create_collection(each, namespace="owner")
    kept(hub, collecting(title, "a"))
    assert names(there(hub, title)) == "a"
    assert names(there(hub, title.upper())) == ""


def test_an_answer_in_no_hubs_form_is_the_trouble_of_its_collection(
    hub: LocalHub, title: str
) -> None:
    hub.faults.add("GET", "/api/collections$", body=b'[{"slug": 5}]')
    first = pair("owner/a", collection=title)
    second = pair("owner/b", collection=f"{title}, others")
    done = kept(hub, manifest(first, second))
    assert [result.action for result in done] == ["failed", "built"]


def test_a_repo_that_is_gone_by_then_is_explained(hub: LocalHub, title: str) -> None:
    (result,) = kept(hub, collecting(title, "nowhere"))
    assert result.action == "failed"
    assert "there is no such repo" in result.reason


# What is known beforehand


@pytest.mark.parametrize(
    ("entry", "collection"),
    [
        ({"repo": "owner/x"}, None),
        ({"repo": "owner/x", "collection": "Warm starts"}, "my-org/Warm starts"),
        ({"repo": "x", "collection": "other/Vision / text"}, "other/Vision / text"),
    ],
)
def test_a_title_alone_is_one_of_the_namespaces(
    entry: dict[str, str], collection: str | None
) -> None:
    (found,) = loads(json.dumps({"namespace": "my-org", "pairs": [pair(**entry)]}).encode()).pairs
    assert found.collection == collection


def test_without_a_namespace_a_title_alone_is_one_of_the_repos_owner() -> None:
    (found,) = manifest(pair("owner/x", collection="Warm starts")).pairs
    assert found.collection == "owner/Warm starts"


def test_defaults_and_grids_may_name_a_collection() -> None:
    grid = {"encoders": ["t/v"], "decoders": ["t/g"], "collection": "Grid"}
    content = {
        "namespace": "me",
        "defaults": {"collection": "All"},
        "pairs": [pair("x")],
        "grid": grid,
    }
    found = loads(json.dumps(content).encode()).pairs
    assert [each.collection for each in found] == ["me/All", "me/Grid"]


@pytest.mark.parametrize(
    "title", ["", " a", "a  b", "a\nb", "a/b ", "-/a", "x" * 61, f"me/{'x' * 61}", "/a"]
)
def test_what_is_no_title_is_refused_at_its_place(title: str) -> None:
    with pytest.raises(ManifestError, match="is not a collection: write its title"):
        manifest(pair("me/x", collection=title))


def plan_results(*arguments: Any) -> list[Result]:
    return list(make_report(*arguments).results)


@pytest.mark.parametrize("see", [plan_results, build])
def test_a_collection_of_others_is_refused_before_anything_is_built(
    see: Any, hub: LocalHub
) -> None:
    wanted = manifest(pair("owner/new", collection="stranger/Warm starts"))
    (found,) = see(wanted, RunOptions(), client(hub))
    assert found.action in ("refuse", "refused")
    finding = error_of(found)
    assert finding.key == "collection"
    assert finding.message.startswith("The token may not publish to stranger.")
    assert writes(hub) == []


def test_a_collection_of_a_namespace_that_is_not_allowed_is_refused(hub: LocalHub) -> None:
    wanted = manifest(pair("owner/new", collection="team/Warm starts"))
    (found,) = make_report(wanted, RunOptions(allowed_namespaces=("owner",)), client(hub)).actions
    finding = error_of(found)
    assert (finding.key, found.name) == ("collection", "refuse")
    assert "Publishing to team is not allowed here." in finding.message


def test_a_job_without_a_stored_token_cannot_change_a_collection(hub: LocalHub) -> None:
    github: dict[str, Any] = {"repository": "octo-org/octo-repo", "workflow": "checkpoints.yml"}
    client(hub).create_repo("owner/collected-keyless", exist_ok=True)
    hub.add_publisher("owner/collected-keyless", **github)
    publisher = Publisher(hub.endpoint, hub.add_job(**github), lambda _: None)
    wanted = manifest(pair("owner/collected-keyless", collection="Warm starts"))

    (result,) = build(wanted, RunOptions(), client(hub, None), publisher=publisher)

    finding = error_of(result)
    assert (result.action, finding.key, finding.code) == (
        *("refused", "collection"),
        "collection-not-changed",
    )
    assert "Give a token as well, or take collection out." in finding.message


# A whole run


def test_a_run_collects_what_it_builds_and_what_it_leaves_alone(hub: LocalHub, title: str) -> None:
    built = build_pair(hub, pair("owner/collected-1"))
    assert built.action == "built"
    entries = [pair(f"owner/collected-{number}", collection=title) for number in (2, 1)]

    done = build(manifest(*entries), RunOptions(), client(hub))

    assert [result.action for result in done] == ["built", "skipped"]
    assert names(there(hub, title)) == "collected-2 collected-1"
    served = client(hub).hf_hub_download("owner/collected-2", "ved.json")
    assert "collection" not in Path(served).read_text()


def test_what_is_only_to_be_collected_is_pending(hub: LocalHub, title: str) -> None:
    """So that a matrix has a job for it."""
    entry = pair("owner/collected-later")
    assert build_pair(hub, entry).action == "built"
    wanted = manifest({**entry, "collection": title})
    (planned,) = make_report(wanted, RunOptions(), client(hub)).actions
    assert (planned.name, is_pending(planned)) == ("skip", True)
    assert planned.reason.startswith("Up to date. ")

    (done,) = build(wanted, RunOptions(), client(hub))

    assert done.action == "skipped"
    assert names(there(hub, title)) == "collected-later"
    (planned,) = make_report(wanted, RunOptions(), client(hub)).actions
    assert (is_pending(planned), planned.reason) == (False, "Up to date.")


def test_without_publishing_nothing_is_collected(hub: LocalHub, title: str, tmp_path: Path) -> None:
    options = RunOptions(push=False, output_directory=tmp_path)
    (result,) = build(manifest(pair("owner/kept", collection=title)), options, client(hub))
    assert result.action == "built"
    assert [each.path for each in hub.requests if "collections" in each.path] == []


# Moves


@given(st.permutations(list("abcdeXYZ")), st.sets(st.sampled_from("abcde")))
def test_moves_put_what_has_a_place_in_order_and_the_rest_keeps_its_own(
    before: list[str], placed: set[str]
) -> None:
    items = [CollectionItem(_id=name, id=name, type="model", position=0) for name in before]
    places = {name.lower(): place for place, name in enumerate(sorted(placed))}
    after = list(before)
    count_of_moves = 0
    for item, position in _moves(items, places):
        assert position < after.index(item.item_id)
        after.remove(item.item_id)
        after.insert(position, item.item_id)
        count_of_moves += 1
    assert [name for name in after if name in placed] == sorted(placed)
    rest = [name for name in before if name not in placed]
    assert [name for name in after if name not in placed] == rest
    orders = [name for name in before if name in placed]
    assert (count_of_moves == 0) == (orders == sorted(orders))
    assert count_of_moves < max(1, len(placed))
