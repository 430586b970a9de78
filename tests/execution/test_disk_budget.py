"""The disk of a run: sources are there once, as long as somebody needs them, and within a limit."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

from tests import checkpoints
from tests.support.publishing import client, publish, sent
from ved.errors import VedError
from ved.execution.store import Store
from ved.families.family import Role
from ved.localhub import LocalHub
from ved.manifest.models import SourceRef
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


def test_a_source_is_downloaded_once_and_gone_when_its_last_user_is_done(
    hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    one, two, _ = stored(hub, weights)
    size = weights["one"].stat().st_size
    store = Store(directory, PLENTY, client(hub), [[one], [one, two]])

    assert store.make_room([one], 10) == size
    first = store.fetch(one)
    assert [path.read_bytes() for path in first.weight_paths] == [weights["one"].read_bytes()]
    assert directory in first.directory.parents
    assert store.make_room([one, two], 10) == weights["two"].stat().st_size
    assert store.fetch(one) == first
    store.fetch(two)
    assert [downloads(hub, weights[name]) for name in ("one", "two")] == [1, 1]

    store.release([one])
    assert first.weight_paths[0].exists()
    store.release([one, two])
    assert size_of(directory) == 0


def test_a_source_that_is_used_twice_in_a_pair_has_one_user(
    hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    one, *_ = stored(hub, weights)
    store = Store(directory, PLENTY, client(hub), [[one, one]])
    assert store.make_room([one, one], 10) == weights["one"].stat().st_size
    store.fetch(one)
    store.release([one, one])
    assert size_of(directory) == 0


def test_a_local_directory_takes_no_room_and_is_left(
    hub: LocalHub, sources: dict[str, Path], directory: Path
) -> None:
    local = resolved(hub, str(sources["vit"]))
    store = Store(directory, 10, client(hub), [[local]])
    assert store.make_room([local], 10) == 0
    assert store.fetch(local).directory == sources["vit"]
    store.release([local])
    assert (sources["vit"] / "model.safetensors").exists()
    assert not directory.exists()


def test_what_the_clients_own_cache_has_is_used_and_left(
    hub: LocalHub, weights: dict[str, Path], cached: Path, directory: Path
) -> None:
    one, *_ = stored(hub, weights)
    hub.requests.clear()
    store = Store(directory, 10, client(hub), [[one]])
    assert store.make_room([one], 10) == 0
    source = store.fetch(one)
    assert source.directory == cached
    assert Path(constants.HF_HUB_CACHE) in cached.parents
    store.release([one])
    assert (cached / "model.safetensors").read_bytes() == weights["one"].read_bytes()
    assert downloads(hub, weights["one"]) == 0
    assert not directory.exists()


# Within the limit


def test_what_only_later_pairs_need_goes_where_there_is_no_room(
    hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    """Pairs whose order alternates their sources: each source is downloaded whenever it is due."""
    one, two, _ = stored(hub, weights)
    size = weights["one"].stat().st_size
    users = [[one], [two], [one], [two]]
    store = Store(directory, size + 10, client(hub), users)

    for pair in users:
        assert store.make_room(pair, 10) == size
        store.fetch(pair[0])
        assert size_of(directory) == size
        store.release(pair)
        store.give_back(10)

    assert [downloads(hub, weights[name]) for name in ("one", "two")] == [2, 2]
    assert size_of(directory) == 0


def test_what_the_pair_itself_needs_does_not_go(
    hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    one, two, three = stored(hub, weights)
    size = weights["one"].stat().st_size
    store = Store(directory, 2 * size + 10, client(hub), [[one, two], [two, three], [one]])
    for pair, missing in (([one, two], 2), ([two, three], 1), ([one], 1)):
        assert store.make_room(pair, 10) == missing * size
        for source in pair:
            store.fetch(source)
        assert size_of(directory) <= 2 * size
        store.release(pair)
        store.give_back(10)
    assert [downloads(hub, file) for file in weights.values()] == [2, 1, 1]


@pytest.mark.parametrize("freed", ["sources", "checkpoint"])
def test_room_is_waited_for_while_a_checkpoint_is_on_the_disk(
    freed: str, hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    one, two, _ = stored(hub, weights)
    size = weights["one"].stat().st_size
    store = Store(directory, 2 * size + 19, client(hub), [[one], [two]])
    store.make_room([one], 10)
    path = store.fetch(one).weight_paths[0]

    waiting = Thread(target=store.make_room, args=([two], 10), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    assert path.exists()
    if freed == "sources":
        store.release([one])
    else:
        store.give_back(10)
    waiting.join(60)
    assert not waiting.is_alive()


def test_a_pair_that_is_larger_than_the_limit_is_not_waited_for(
    hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    one, *_ = stored(hub, weights)
    assert Store(directory, 1, client(hub), [[one]]).make_room([one], 10) > 1


def test_a_download_that_fails_takes_no_room_once_it_is_released(
    hub: LocalHub, weights: dict[str, Path], directory: Path
) -> None:
    one, two, _ = stored(hub, weights)
    size = weights["one"].stat().st_size
    store = Store(directory, size + 10, client(hub), [[one], [two]])
    store.make_room([one], 10)
    hub.faults.add("GET", "/team/stored-one/resolve/.*safetensors", status=403, times=9)
    hub.faults.add("HEAD", "/team/stored-one/resolve/.*safetensors", status=403, times=9)
    with pytest.raises(VedError, match=r"Cannot download model\.safetensors of team/stored-one@"):
        store.fetch(one)
    store.release([one])
    store.give_back(10)
    assert store.make_room([two], 10) == size
    store.fetch(two)
    assert size_of(directory) == size
