"""Building many pairs: sources once, disk within its limit, and two runs that meet."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.publishing import build_pair, client, heads, manifest, pair, publish, sent
from ved.access import Access
from ved.build import Options, build
from ved.localhub import LocalHub, checkpoints
from ved.manifest import SourceRef
from ved.pipeline import in_order
from ved.plan import Circumstances
from ved.plan import make as make_plan
from ved.source import ResolvedSource, resolve
from ved.store import Store
from ved.verify import verify


@pytest.fixture
def resolved(hub: LocalHub) -> tuple[ResolvedSource, ResolvedSource, ResolvedSource]:
    api = client(hub)
    return (
        resolve("encoder", SourceRef(model="team/vit"), api),
        resolve("decoder", SourceRef(model="team/gpt2"), api),
        resolve("decoder", SourceRef(model="team/bert"), api),
    )


def test_a_source_is_held_until_its_last_pair_is_done(
    resolved: tuple[ResolvedSource, ResolvedSource, ResolvedSource], hub: LocalHub, tmp_path: Path
) -> None:
    vit, gpt2, bert = resolved
    pairs = [(vit, gpt2), (vit, bert)]
    store = Store(tmp_path / "store", 10**9, client(hub), pairs)

    assert store.make_room(pairs[0], 100) == vit.weights_size + gpt2.weights_size
    first = store.fetch(vit)
    assert first.weight_paths[0].is_file()
    store.fetch(gpt2)
    assert store.make_room(pairs[1], 100) == bert.weights_size

    store.release(pairs[0])
    assert first.weight_paths[0].is_file()
    assert not list(tmp_path.rglob("*gpt2*"))
    store.release(pairs[1])
    assert not list(tmp_path.rglob("*vit*"))


def test_where_nobody_frees_disk_the_sources_of_later_pairs_go(
    resolved: tuple[ResolvedSource, ResolvedSource, ResolvedSource], hub: LocalHub, tmp_path: Path
) -> None:
    vit, gpt2, bert = resolved
    pairs = [(vit, gpt2), (vit, bert), (vit, gpt2)]
    limit = vit.weights_size + max(gpt2.weights_size, bert.weights_size) + 100
    store = Store(tmp_path / "store", limit, client(hub), pairs)
    store.make_room(pairs[0], 100)
    store.fetch(gpt2)
    store.release(pairs[0])
    store.give_back(100)

    assert store.make_room(pairs[1], 100) == bert.weights_size
    assert not list(tmp_path.rglob("*gpt2*"))


def test_pairs_are_built_within_little_disk_whatever_their_order(
    hub: LocalHub, sources: dict[str, Path]
) -> None:
    entries = [
        pair("owner/tight-1", decoder="team/gpt2"),
        pair("owner/tight-2", decoder="team/bert"),
        pair("owner/tight-3", decoder="team/gpt2", seed=1),
        pair("owner/tight-4", decoder="team/bert", seed=1),
    ]
    planned = make_plan(manifest(*entries).pairs, Circumstances(Access(client(hub))))
    largest = max(each.needs.disk for each in planned if each.needs)
    ordered = [each.pair.repo for each in in_order(planned)]
    assert {repo[-1] for repo in ordered[:2]} in ({"1", "3"}, {"2", "4"})  # what they share first
    hub.requests.clear()

    results = build(manifest(*entries), Options(max_disk=largest), client(hub))

    assert [result.action for result in results] == ["built"] * 4
    for name in ("vit", "gpt2", "bert"):
        weights = sources[name] / "model.safetensors"
        assert sent(hub, weights) < 2 * weights.stat().st_size


def test_what_does_not_fit_the_disk_at_all_is_refused(hub: LocalHub) -> None:
    (result,) = build(manifest(pair("owner/huge")), Options(max_disk=1000), client(hub))
    assert result.action == "refused"
    assert "of disk, and there are 1.0 KB." in result.reason


@pytest.mark.parametrize("exists", [False, True])
def test_of_two_runs_at_once_one_wins_and_the_other_says_so(exists: bool, hub: LocalHub) -> None:
    repo = f"owner/contested-{exists}".lower()
    if exists:
        build_pair(hub, pair(repo))
    # Both have planned before either of them commits.
    hub.faults.add("POST", f"/api/models/{repo}/commit/", delay=3, times=2)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(build_pair, hub, pair(repo, seed=seed)) for seed in (1, 2)]
        results = sorted((run.result() for run in runs), key=lambda result: result.action)

    assert [result.action for result in results] == ["built", "failed"]
    won, lost = results
    assert "somebody committed" in lost.reason or "somebody else committed" in lost.reason
    assert heads(hub)[repo] == won.commit
    assert verify(repo, client(hub)).is_true


def test_a_pair_that_fails_gives_back_what_it_held(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.gpt2(tmp_path / "gpt2")
    publish(hub, "owner/falls-apart", directory)
    hub.faults.add("POST", "/api/models/owner/to-fail/commit/", status=403, times=9)
    entries = [
        pair("owner/to-fail", decoder="owner/falls-apart"),
        pair("owner/to-succeed", decoder="owner/falls-apart", seed=1),
    ]
    planned = make_plan(manifest(*entries).pairs, Circumstances(Access(client(hub))))
    largest = max(each.needs.disk for each in planned if each.needs)

    results = build(manifest(*entries), Options(max_disk=largest), client(hub))

    assert [result.action for result in results] == ["failed", "built"]
