"""The disk of a run: the budget, and the sources that are downloaded within it."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

from tests import checkpoints
from tests.support.publishing import client, publish, sent
from ved.errors import ErrorCode, VedError
from ved.execution.source_store import SourceStore
from ved.families.family import Role
from ved.localhub import LocalHub
from ved.machine.disk import DiskBudget, DiskNeed
from ved.manifest.pair_models import SourceRef
from ved.sources.source import ResolvedSource, resolve_source

PLENTY = 10**12


@pytest.fixture(scope="module")
def weights(
    module_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Publish three sources that no other test downloads; return their weight files by name."""
    folder = tmp_path_factory.mktemp("sources")
    found = {}
    for seed, name in enumerate(("one", "two", "three"), 100):
        directory = checkpoints.vit(folder / name, seed=seed)
        publish(module_hub, f"team/stored-{name}", directory)
        found[name] = directory / "model.safetensors"
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def cached(hub: LocalHub, weights: dict[str, Path]) -> Iterator[Path]:
    """Have huggingface_hub's own cache hold the files of team/stored-one."""
    path = Path(client(hub).snapshot_download("team/stored-one"))
    yield path
    for file in path.iterdir():
        file.unlink()


def resolved(hub: LocalHub, name: str, role: Role = "encoder") -> ResolvedSource:
    return resolve_source(role, SourceRef(model=name), client(hub))


def stored(hub: LocalHub, weights: dict[str, Path]) -> list[ResolvedSource]:
    return [resolved(hub, f"team/stored-{name}") for name in weights]


def size_of(directory: Path) -> int:
    """Return the bytes of the weight files in a directory."""
    files = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_size for path in files if path.stat().st_size > 50_000)


def downloads(hub: LocalHub, file: Path) -> int:
    """Return how often a weight file was downloaded."""
    return sent(hub, file) // file.stat().st_size


# As long as somebody needs them


def store_of(
    hub: LocalHub, directory: Path, limit: int, *pairs: list[ResolvedSource]
) -> tuple[SourceStore, DiskBudget]:
    """Return a store for pairs, and its budget."""
    budget = DiskBudget(directory.parent, limit)
    return SourceStore(directory, budget, client(hub), pairs), budget


def reserve(store: SourceStore, need: DiskNeed) -> int:
    """Reserve disk for sources and checkpoint; return how many bytes have to be downloaded."""
    missing = store.reserve_sources(need)
    store.reserve_output(need)
    return missing


def need_of(*sources: ResolvedSource) -> DiskNeed:
    return DiskNeed.of(sources, 10)


# What is downloaded, and when it is deleted


def test_store_downloads_a_source_once_and_deletes_it_after_its_last_pair(
    hub: LocalHub, weights: dict[str, Path], directory: Path, without_xet: None
) -> None:
    one, two, _ = stored(hub, weights)
    size = weights["one"].stat().st_size
    store, _ = store_of(hub, directory, PLENTY, [one], [one, two])

    assert reserve(store, need_of(one)) == size
    first = store.fetch(one)
    assert [path.read_bytes() for path in first.weight_paths] == [weights["one"].read_bytes()]
    assert directory in first.directory.parents
    assert reserve(store, need_of(one, two)) == weights["two"].stat().st_size
    assert store.fetch(one) == first
    store.fetch(two)
    assert [downloads(hub, weights[name]) for name in ("one", "two")] == [1, 1]

    store.release([one])
    assert first.weight_paths[0].exists()
    store.release([one, two])
    assert size_of(directory) == 0


def test_store_counts_a_pair_of_the_same_source_as_one_user(
    hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    one, *_ = stored(hub, weights)
    store, _ = store_of(hub, directory, PLENTY, [one, one])
    assert reserve(store, need_of(one, one)) == weights["one"].stat().st_size
    store.fetch(one)
    store.release([one, one])
    assert size_of(directory) == 0


def test_store_leaves_a_local_directory(
    hub: LocalHub, sources: dict[str, Path], directory: Path
) -> None:
    local = resolved(hub, str(sources["vit"]))
    store, _ = store_of(hub, directory, 10, [local])
    assert reserve(store, need_of(local)) == 0
    assert store.fetch(local).directory == sources["vit"]
    store.release([local])
    assert (sources["vit"] / "model.safetensors").exists()
    assert not directory.exists()


def test_store_uses_and_leaves_the_clients_cache(
    hub: LocalHub, weights: dict[str, Path], cached: Path, directory: Path
) -> None:
    one, *_ = stored(hub, weights)
    hub.requests.clear()
    store, _ = store_of(hub, directory, 10, [one])
    assert reserve(store, need_of(one)) == 0
    source = store.fetch(one)
    assert source.directory == cached
    assert Path(constants.HF_HUB_CACHE) in cached.parents
    store.release([one])
    assert (cached / "model.safetensors").read_bytes() == weights["one"].read_bytes()
    assert downloads(hub, weights["one"]) == 0
    assert not directory.exists()


# Within the limit


def test_store_deletes_sources_that_only_later_pairs_need(
    hub: LocalHub, weights: dict[str, Path], directory: Path, without_xet: None
) -> None:
    """Pairs alternate their sources, so each source is downloaded whenever it is needed."""
    one, two, _ = stored(hub, weights)
    size = weights["one"].stat().st_size
    pairs = [[one], [two], [one], [two]]
    store, budget = store_of(hub, directory, size + 10, *pairs)

    for pair in pairs:
        need = need_of(*pair)
        assert reserve(store, need) == size
        store.fetch(pair[0])
        assert size_of(directory) == size
        store.release(pair)
        budget.release_output(need, kept=False)

    assert [downloads(hub, weights[name]) for name in ("one", "two")] == [2, 2]
    assert size_of(directory) == 0


def test_store_keeps_the_sources_of_the_pair_itself(
    hub: LocalHub, weights: dict[str, Path], directory: Path, without_xet: None
) -> None:
    one, two, three = stored(hub, weights)
    size = weights["one"].stat().st_size
    store, budget = store_of(hub, directory, 2 * size + 10, [one, two], [two, three], [one])
    for pair, missing in (([one, two], 2), ([two, three], 1), ([one], 1)):
        need = need_of(*pair)
        assert reserve(store, need) == missing * size
        for source in pair:
            store.fetch(source)
        assert size_of(directory) <= 2 * size
        store.release(pair)
        budget.release_output(need, kept=False)
    assert [downloads(hub, file) for file in weights.values()] == [2, 1, 1]


@pytest.mark.parametrize("freed", ["sources", "checkpoint"])
def test_reserve_waits_while_another_pair_uses_the_disk(
    freed: str, hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    one, two, _ = stored(hub, weights)
    size = weights["one"].stat().st_size
    store, budget = store_of(hub, directory, 2 * size + 19, [one], [two])
    need = need_of(one)
    reserve(store, need)
    path = store.fetch(one).weight_paths[0]

    waiting = Thread(target=reserve, args=(store, need_of(two)), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    assert path.exists()
    if freed == "sources":
        store.release([one])
    else:
        budget.release_output(need, kept=False)
    waiting.join(60)
    assert not waiting.is_alive()


def test_reserve_sources_does_not_wait_for_disk_of_the_checkpoint(
    hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    one, two, _ = stored(hub, weights)
    size = weights["one"].stat().st_size
    store, _ = store_of(hub, directory, 2 * size + 19, [one], [two])
    reserve(store, need_of(one))
    assert store.reserve_sources(need_of(two)) == size


def test_reserve_does_not_wait_for_a_pair_that_never_fits(
    hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    one, *_ = stored(hub, weights)
    store, _ = store_of(hub, directory, 1, [one])
    assert reserve(store, need_of(one)) > 1


def test_release_after_a_failed_download_frees_the_disk(
    hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    one, two, _ = stored(hub, weights)
    size = weights["one"].stat().st_size
    store, budget = store_of(hub, directory, size + 10, [one], [two])
    need = need_of(one)
    reserve(store, need)
    hub.faults.add("GET", "/team/stored-one/resolve/.*safetensors", status=403, times=9)
    hub.faults.add("HEAD", "/team/stored-one/resolve/.*safetensors", status=403, times=9)
    with pytest.raises(VedError) as failed:
        store.fetch(one)
    assert failed.value.code == ErrorCode.GATED_SOURCE
    store.release([one])
    budget.release_output(need, kept=False)
    assert reserve(store, need_of(two)) == size
    store.fetch(two)


# The budget alone


def need(output: int, kept: int = 0, **sources: int) -> DiskNeed:
    return DiskNeed(sources, output, kept)


def test_budget_counts_kept_checkpoints(tmp_path: Path) -> None:
    budget = DiskBudget(tmp_path, 100)
    first, second = need(40, kept=40), need(40, kept=40, a=20)
    budget.reserve_output(first)
    budget.release_output(first, kept=True)
    assert budget.fits(second)
    budget.keep(second)
    assert not budget.fits(need(21))
    assert budget.available == 20


def test_budget_counts_a_replaced_checkpoint_once(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"x" * 30)
    assert DiskNeed.of([], 40, tmp_path).kept == 10
    assert DiskNeed.of([], 40, tmp_path / "missing").kept == 40
    assert DiskNeed.of([], 40).kept == 0


def test_budget_is_never_above_the_free_disk(tmp_path: Path) -> None:
    assert DiskBudget(tmp_path, 10**18).limit < 10**18
    assert DiskBudget(tmp_path, 5).limit == 5


def test_budget_releases_equal_needs_one_by_one(tmp_path: Path) -> None:
    budget = DiskBudget(tmp_path, 100)
    first, second = need(30), need(30)
    budget.reserve_output(first)
    budget.reserve_output(second)
    for _ in range(2):
        budget.release_output(first, kept=False)
    assert budget.available == 70
