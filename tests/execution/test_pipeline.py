"""Many pairs at a time: what overlaps, what is on the disk meanwhile, and what a failure leaves."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Lock, Thread
from typing import Any

import pytest
from huggingface_hub import _commit_api, constants

from tests import checkpoints
from tests.support.faults import ALL_FAULTS
from tests.support.publishing import build_pair, client, heads, manifest, pair, publish, sent
from ved import cli
from ved.commands import RunOptions, build
from ved.errors import ErrorCode, VedError
from ved.execution import checkpoint_dir
from ved.execution.checkpoint_dir import BuiltCheckpoint
from ved.execution.verification import verify
from ved.hub.access import HubAccess
from ved.localhub import LocalHub
from ved.planning.actions import Build
from ved.planning.build_order import order_by_download_cost
from ved.planning.plan import make_plan
from ved.results.result import Result

PATIENCE = 60.0  # seconds after which something is not going to happen any more
LARGE = 100_000  # bytes; weight files are larger, and everything else is smaller

Listener = Callable[[str], None]


@pytest.fixture(scope="module")
def weights(
    module_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Publish sources that no other test downloads; return their weight files by name."""
    folder = tmp_path_factory.mktemp("sources")
    directories = {}
    for seed in (1, 2):
        # The second encoder is larger than the first.
        options: dict[str, Any] = {"seed": 200 + seed, "hidden_size": 32 * seed}
        directories[f"encoder-{seed}"] = checkpoints.vit(folder / f"encoder-{seed}", **options)
    for seed in range(1, 5):
        name = f"decoder-{seed}"
        directories[name] = checkpoints.gpt2(folder / name, seed=200 + seed)
    for name, directory in directories.items():
        publish(module_hub, f"team/piped-{name}", directory)
    return {name: each / "model.safetensors" for name, each in directories.items()}


def piped(repo: str, encoder: int, decoder: int, **keys: Any) -> dict[str, Any]:
    """Return a manifest's entry of those sources."""
    names = {"encoder": f"team/piped-encoder-{encoder}", "decoder": f"team/piped-decoder-{decoder}"}
    return pair(repo, **names, **keys)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a cache of its own, so that no test finds sources of another."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def listeners(caplog: pytest.LogCaptureFixture) -> Iterator[list[Listener]]:
    """Have every line of VED's log told, in the thread that is about to do what it says."""
    caplog.set_level(logging.INFO, "ved")
    known: list[Listener] = []

    def tell(record: logging.LogRecord) -> bool:
        for listener in known:
            listener(record.getMessage())
        return True

    logger = logging.getLogger("ved")
    logger.addFilter(tell)
    yield known
    logger.removeFilter(tell)


def built(hub: LocalHub, entries: Sequence[Mapping[str, Any]], **options: Any) -> list[Result]:
    return build(manifest(*entries), RunOptions(**options), client(hub))


def actions(results: Sequence[Result]) -> list[str]:
    return [result.action for result in results]


def on_disk(directory: Path) -> dict[str, int]:
    """Return the sizes of the weight files in a directory while files come and go."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink() and path.exists():
                try:
                    found[str(path.relative_to(directory))] = path.stat().st_size
                except FileNotFoundError:
                    continue
    return {name: size for name, size in found.items() if size > LARGE}


# What overlaps


def appointed(listeners: list[Listener], *events: tuple[str, int]) -> Barrier:
    """Have events of a build wait for each other, such as the second pair's ("Publishing", 2)."""
    meeting = Barrier(len(events), timeout=PATIENCE)
    seen: Counter[str] = Counter()
    one_by_one = Lock()

    def meet(line: str) -> None:
        verb = line.partition(": ")[2].partition(" ")[0]
        with one_by_one:
            seen[verb] += 1
            event = verb, seen[verb]
        if event in events:
            meeting.wait()

    listeners.append(meet)
    return meeting


def test_pipeline_downloads_assembles_and_publishes_concurrently(
    hub: LocalHub, weights: dict[str, Path], listeners: list[Listener]
) -> None:
    meeting = appointed(
        listeners, ("Publishing", 1), ("Publishing", 2), ("Assembling", 3), ("Downloading", 4)
    )
    entries = [piped(f"owner/overlapping-{number}", 1, number) for number in range(1, 5)]
    assert actions(built(hub, entries)) == ["built"] * 4
    assert not meeting.broken


def test_pipeline_checks_while_others_publish(
    hub: LocalHub, weights: dict[str, Path], listeners: list[Listener]
) -> None:
    meeting = appointed(listeners, ("Checking", 1), ("Publishing", 2), ("Publishing", 3))
    entries = [piped(f"owner/checked-beside-{number}", 1, number) for number in range(1, 5)]
    assert actions(built(hub, entries)) == ["built"] * 4
    assert not meeting.broken


def test_pipeline_transfers_the_files_of_one_pair_at_a_time(
    hub: LocalHub,
    weights: dict[str, Path],
    listeners: list[Listener],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = _commit_api._upload_files
    running, most = Lock(), []
    both = appointed(listeners, ("Publishing", 1), ("Publishing", 2))

    def upload_files(*arguments: Any, **keys: Any) -> None:
        most.append(running.acquire(blocking=False))
        time.sleep(0.3)  # the other pair begins its upload meanwhile, if it may
        original(*arguments, **keys)
        running.release()

    monkeypatch.setattr(_commit_api, "_upload_files", upload_files)
    entries = [piped(f"owner/transferred-{number}", 1, number, check="none") for number in (1, 2)]
    assert actions(built(hub, entries)) == ["built"] * 2
    assert not both.broken
    assert most == [True, True]


@pytest.mark.parametrize("how", ["download", "generate"])
def test_pipeline_keeps_disk_only_for_checkpoints_that_checks_use(
    how: str,
    hub: LocalHub,
    weights: dict[str, Path],
    listeners: list[Listener],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ved.execution.card_run.flax_snippet", lambda *_, **__: "print('It runs.')")
    entries = [piped(f"owner/waiting-{how}-{number}", 1, 1, seed=number) for number in (1, 2)]
    for entry in entries:
        entry["check"] = how
    limit = max(disk_of(hub, entries))
    seen: list[str] = []
    listeners.append(seen.append)
    if how == "download":
        meeting = appointed(listeners, ("Checking", 1), ("Assembling", 2))

    assert actions(built(hub, entries, max_disk=limit)) == ["built", "built"]

    verbs = [line.partition(": ")[2].partition(" ")[0] for line in seen]
    if how == "download":
        assert not meeting.broken
    else:
        ran = next(i for i, line in enumerate(seen) if "The code of the card printed" in line)
        assert verbs[:ran].count("Assembling") == 1


# What is on the disk


def test_pipeline_downloads_shared_sources_once(
    hub: LocalHub, weights: dict[str, Path], without_xet: None
) -> None:
    hub.requests.clear()
    entries = [
        piped(f"owner/sharing-{encoder}-{decoder}", encoder, decoder)
        for encoder in (1, 2)
        for decoder in (1, 2)
    ]
    assert actions(built(hub, entries)) == ["built"] * 4
    downloaded = {name: sent(hub, file) // file.stat().st_size for name, file in weights.items()}
    assert downloaded == {
        **{"encoder-1": 1, "encoder-2": 1, "decoder-1": 1, "decoder-2": 1},
        **{"decoder-3": 0, "decoder-4": 0},
    }


def test_pipeline_deletes_sources_after_their_last_pair(
    hub: LocalHub, weights: dict[str, Path], listeners: list[Listener], tmp_path: Path
) -> None:
    held: dict[str, set[str]] = {}

    def look(line: str) -> None:
        repo, _, step = line.partition(": ")
        if step.startswith("Assembling"):
            held[repo] = {
                path.name.partition("@")[0]
                for path in tmp_path.glob(".ved-*/sources/*")
                if on_disk(path)
            }

    listeners.append(look)
    entries = [
        *(piped("owner/gone-1", 1, 1), piped("owner/gone-2", 1, 2), piped("owner/gone-3", 2, 2)),
    ]
    assert actions(built(hub, entries, output_directory=tmp_path)) == ["built"] * 3
    assert list(held) == ["owner/gone-1", "owner/gone-2", "owner/gone-3"]
    last = {"team--piped-encoder-2", "team--piped-decoder-2"}
    assert held["owner/gone-1"] >= {"team--piped-encoder-1", "team--piped-decoder-1"}
    assert "team--piped-decoder-1" not in held["owner/gone-2"]
    assert held["owner/gone-3"] == last
    assert list(tmp_path.glob(".ved-*")) == []


class Sampler(Thread):
    """Looks again and again at how many bytes of weight files are below a directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(daemon=True)
        self.directory = directory
        self.peak = 0
        self._over = Event()

    def look(self, _: str = "") -> None:
        # Files with headers alone are sparse: they are as long as the weights, and take no disk.
        folders = [
            path
            for path in self.directory.glob(".ved-*")
            if not path.name.startswith(".ved-headers-")
        ]
        size = sum(size for path in folders for size in on_disk(path).values())
        self.peak = max(self.peak, size)

    def run(self) -> None:
        while not self._over.is_set():
            self.look()

    def __enter__(self) -> "Sampler":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def planned(hub: LocalHub, entries: Sequence[Mapping[str, Any]]) -> dict[str, Build]:
    """Return the builds of a plan, by repo."""
    pairs, options = manifest(*entries).pairs, RunOptions(push=False)
    actions = make_plan(pairs, options, HubAccess(client(hub)))
    return {each.pair.repo: each for each in actions if isinstance(each, Build)}


def disk_of(hub: LocalHub, entries: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the bytes of sources and checkpoint of each pair."""
    builds = planned(hub, entries).values()
    return [sum(each.estimate.sources.values()) + each.estimate.output for each in builds]


@pytest.mark.slow
@pytest.mark.parametrize("copies", [1, 2])
def test_pipeline_stays_within_its_disk(
    copies: int,
    hub: LocalHub,
    weights: dict[str, Path],
    listeners: list[Listener],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every encoder with every decoder: with room for one pair, a source goes and comes again."""
    entries = [
        piped(f"owner/limited-{copies}-{encoder}-{decoder}", encoder, decoder)
        for encoder in (1, 2)
        for decoder in (1, 2, 3)
    ]
    disks = disk_of(hub, entries)
    assert len(disks) == len(entries)
    limit = copies * max(disks)
    assert limit < sum(disks) / 2
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    entries = [{**entry, "check": "none"} for entry in entries]
    with Sampler(tmp_path) as sampler:
        listeners.append(sampler.look)
        results = built(hub, entries, max_disk=limit)
    assert actions(results) == ["built"] * len(entries)
    headers = 40_000 * copies  # of weight files, which are not reckoned with, and less than a file
    assert max(disks) / 2 < sampler.peak <= limit + headers


def test_pipeline_uses_and_leaves_the_clients_cache(
    hub: LocalHub, weights: dict[str, Path], without_xet: None
) -> None:
    cached = Path(client(hub).hf_hub_download("team/piped-decoder-4", "model.safetensors"))
    hub.requests.clear()
    assert actions(built(hub, [piped("owner/cached", 1, 4)])) == ["built"]
    assert sent(hub, weights["decoder-4"]) < weights["decoder-4"].stat().st_size
    assert sent(hub, weights["encoder-1"]) >= weights["encoder-1"].stat().st_size
    assert cached.read_bytes() == weights["decoder-4"].read_bytes()
    cached.unlink()


# What a failure leaves


def test_pipeline_releases_disk_of_failed_pairs(
    hub: LocalHub,
    weights: dict[str, Path],
    listeners: list[Listener],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A download, an assembly and an upload fail, on a disk with room for one pair."""
    entries = [
        piped("owner/fails-to-download", 1, 1),
        piped("owner/fails-to-assemble", 1, 2),
        piped("owner/fails-to-publish", 1, 3),
        piped("owner/does-not-fail", 2, 2),
    ]
    hub.faults.add("POST", "/owner/fails-to-publish/commit/", status=403)

    def forbid(line: str) -> None:
        if line.startswith("owner/fails-to-download: Downloading"):
            for method in ("HEAD", "GET"):
                hub.faults.add(method, "/team/piped-decoder-1/resolve/", status=403, times=99)

    def build_checkpoint(*arguments: Any, **options: Any) -> BuiltCheckpoint:
        if arguments[-1].repo == "owner/fails-to-assemble":
            raise VedError("It cannot be assembled.", code=ErrorCode.DAMAGED_SOURCE)
        return checkpoint_dir.build_checkpoint(*arguments, **options)

    listeners.append(forbid)
    monkeypatch.setattr("ved.execution.pipeline.build_checkpoint", build_checkpoint)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    limit = max(disk_of(hub, entries))
    with ThreadPoolExecutor(1) as pool:
        results = pool.submit(built, hub, entries, max_disk=limit).result(PATIENCE)

    assert actions(results) == ["failed", "failed", "failed", "built"]
    assert [result.code for result in results] == [
        ErrorCode.GATED_SOURCE,
        ErrorCode.DAMAGED_SOURCE,
        ErrorCode.TOKEN_MAY_NOT_WRITE,
        None,
    ]
    assert "owner/does-not-fail" in heads(hub)
    assert list(tmp_path.glob(".ved-*")) == []


# In which order


def test_build_order_is_by_missing_bytes(hub: LocalHub, weights: dict[str, Path]) -> None:
    entries = [
        *(piped("owner/ordered-a", 2, 1), piped("owner/ordered-b", 1, 2)),
        *(piped("owner/ordered-c", 2, 3), piped("owner/ordered-d", 1, 3)),
        piped("owner/ordered-e", 1, 2, seed=1),
    ]
    ordered = [each.pair.repo for each in order_by_download_cost(planned(hub, entries).values())]
    # First the smaller encoder; then what costs nothing; then what shares one of its sources.
    assert ordered == [f"owner/ordered-{letter}" for letter in "bedca"]
    assert order_by_download_cost([]) == []


# Interrupts


def start(
    hub: LocalHub, entries: Sequence[Mapping[str, Any]], folder: Path
) -> subprocess.Popen[str]:
    """Run `ved build` in a process of its own, with its temporary files in `folder/tmp`."""
    folder.mkdir()
    (folder / "tmp").mkdir()
    (folder / "pairs.yaml").write_text(json.dumps({"pairs": entries}))
    return subprocess.Popen(
        [sys.executable, "-m", "ved", "build", "pairs.yaml", "--endpoint", hub.endpoint],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(cli.__file__).parents[1]),
            "HF_HOME": str(folder / "hf-home"),
            "HF_TOKEN": str(client(hub).token),
            "TMPDIR": str(folder / "tmp"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def asked(hub: LocalHub, method: str, path: str) -> bool:
    return any(each.method == method and path in each.path for each in list(hub.requests))


@pytest.mark.slow
# test_interruption.py interrupts uploads to new repos, and commits.
@pytest.mark.parametrize("is_new", [True, False] if ALL_FAULTS else [False])
@pytest.mark.parametrize("path", ["/v2/shards", "/commit/"] if ALL_FAULTS else ["/v2/shards"])
def test_interrupt_of_an_upload_ends_at_once_and_leaves_nothing(
    path: str, is_new: bool, hub: LocalHub, weights: dict[str, Path], tmp_path: Path
) -> None:
    method, repo = "POST", f"owner/interrupted-{path.count('/')}-{is_new}".lower()
    if not is_new:
        assert build_pair(hub, piped(repo, 1, 1)).action == "built"
    before = heads(hub).get(repo)
    hub.requests.clear()
    hub.faults.add(method, path, delay=10 * PATIENCE, times=9)

    process = start(hub, [piped(repo, 1, 1, seed=1)], tmp_path / "run")
    try:
        while not asked(hub, method, path):
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()

    assert process.returncode == 130
    assert "\nInterrupted.\n" in f"\n{printed}"
    assert "Traceback" not in printed
    assert list((tmp_path / "run" / "tmp").iterdir()) == []
    if is_new:
        assert client(hub).list_repo_files(repo) == [".gitattributes"]
    else:
        assert heads(hub)[repo] == before


@pytest.mark.parametrize("then", ["raise_if_interrupted()", "wait_interruptibly(Future())"])
def test_interrupt_that_a_callback_drops_is_raised_again(then: str) -> None:
    program = f"""
import signal
from concurrent.futures import Future
from ved import interruption

class Careless:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)  # what is raised here nobody gets

interruption.install_signal_handlers()
interruption.raise_if_interrupted()
Careless()
print("lost", flush=True)
interruption.{then}
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(cli.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert ended.stdout == "lost\n"
    assert ended.stderr.endswith("KeyboardInterrupt\n")
    assert ended.returncode != 0


# Two runs at once


@pytest.mark.slow
@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("first_is_done", [True, False])
def test_pipeline_of_two_runs_publishes_one(
    first_is_done: bool,
    is_new: bool,
    hub: LocalHub,
    weights: dict[str, Path],
    listeners: list[Listener],
) -> None:
    repo = f"owner/raced-{is_new}-{first_is_done}".lower()
    if not is_new:
        assert build_pair(hub, piped(repo, 1, 1)).action == "built"
    both, done, seen = Barrier(2, timeout=PATIENCE), Event(), []

    def meet(line: str) -> None:
        """Let both publish what they planned when neither had; at once, or one after the other."""
        if line.startswith(f"{repo}: Publishing"):
            seen.append(line)
            is_first = len(seen) == 1
            both.wait()
            if first_is_done and not is_first:
                assert done.wait(PATIENCE)
        if line.startswith(f"{repo}: Published"):
            done.set()

    listeners.append(meet)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(build_pair, hub, piped(repo, 1, 1, seed=seed)) for seed in (1, 2)]
        results = [run.result(PATIENCE) for run in runs]

    won, lost = sorted(results, key=lambda result: result.action)
    assert (won.action, lost.action) == ("built", "failed")
    assert heads(hub)[repo] == won.commit
    assert re.search("somebody .* meanwhile", lost.reason)
    assert repo in lost.reason
    verdict = verify(f"{repo}@{won.commit}", client(hub))
    assert verdict.is_true, str(verdict)
