"""The process that the tests run in, and the Hub that many of them use."""

import gc
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from shutil import disk_usage
from typing import NoReturn

import hypothesis
import pytest

from tests.support.caches import COMPILATION
from ved import environment
from ved.localhub import LocalHub

# Garbage that imports and the collection of tests leave is little, and a sixth of their time would
# be spent in looking for it.
_GARBAGE = gc.get_threshold()
gc.set_threshold(10**6)

# Processes of pytest-xdist get these from the one that starts them, which has prepared its own
# environment, and they would change what the tests print.
os.environ.pop("COLUMNS", None)
environment.bars_are_off = False

# A shell starts background jobs with SIGINT ignored, which processes inherit; tests send SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The tests create and delete very many small files, which a disk in memory does in a tenth of the
# time. Processes that tests start use the usual disk.
_MEMORY, _ENOUGH_BYTES = Path("/dev/shm"), 4 * 2**30
if "TMPDIR" not in os.environ and _MEMORY.is_dir() and disk_usage(_MEMORY).free > _ENOUGH_BYTES:
    tempfile.tempdir = str(_MEMORY)

# huggingface_hub reads its settings when it is imported: the address of the Hub, and where caches
# and a stored token are. So all are set here, and none is this user's own.
_HOME = tempfile.TemporaryDirectory(prefix="ved-tests-")
os.environ["HF_HOME"] = f"{_HOME.name}/hf-home"
# The Hub listens already here: a port that was only chosen could be taken by another process.
_HUB = LocalHub(Path(_HOME.name, "hub"), xet=True).__enter__()
environment.prepare(endpoint=_HUB.endpoint)
# VED itself honors neither. hf_xet reads its settings once, so its waits are short in all tests.
_KEPT = {**COMPILATION, **environment.XET_VARIABLES, "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms"}
os.environ.update(_KEPT)

from huggingface_hub import constants, set_client_factory  # noqa: E402
from huggingface_hub.utils import _xet  # noqa: E402

from tests.support import publishing  # noqa: E402
from tests.support.faults import BROKEN  # noqa: E402
from tests.support.hub_state import restored, restored_cache  # noqa: E402
from tests.support.web import default_client  # noqa: E402
from ved.examination.examiner import Examiner, use_examiner  # noqa: E402
from ved.logs import LogFormatter  # noqa: E402
from ved.redaction import KNOWN  # noqa: E402

set_client_factory(default_client)

TOKEN = publishing.TOKEN
NAMESPACE = "owner"
SAMPLE_REPOS = {f"team/{name}" for name in publishing.SAMPLES}

# The same examples on every run, however slow the machine.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.load_profile("steady")


@pytest.fixture(autouse=True)
def isolated(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Keep the tests from this user's token, cache and Hub, and from one another's."""
    if request.node.get_closest_marker("unit"):
        monkeypatch.setattr(LocalHub, "__enter__", _refuse_hub)
    for name in [name for name in os.environ if name.startswith(("HF_", "INPUT_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    for name, value in _KEPT.items():
        monkeypatch.setenv(name, value)
    for name, value in vars(KNOWN).items():
        monkeypatch.setattr(KNOWN, name, value)  # forgets the secrets of this test at its end
    _xet.XET_CONNECTION_INFO_CACHE.clear()  # the storage of the Hub is restored, too
    yield
    set_client_factory(default_client)  # without what a command made of it
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler.formatter, LogFormatter):
            root.removeHandler(handler)  # its stream is the captured one of this test


@pytest.fixture(scope="session", autouse=True)
def session_examiner() -> Iterator[None]:
    """Have all tests share one examining process: each new one would import jax again."""
    with Examiner() as examiner, use_examiner(examiner):
        yield


@pytest.fixture(scope="session")
def session_hub() -> LocalHub:
    """Return the Hub of this process, where `owner` may write to `owner` and `team`."""
    _HUB.add_user(NAMESPACE, token=TOKEN, organizations=("team",))
    return _HUB


@pytest.fixture(scope="session")
def sources(session_hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Publish sample sources, each as `team/<family>`, and return their directories."""
    return publishing.publish_samples(session_hub, tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def module_hub(session_hub: LocalHub, sources: dict[str, Path]) -> Iterator[LocalHub]:
    """Lend out the Hub to the fixtures of a module, and restore it after the module."""
    with restored(session_hub), restored_cache(SAMPLE_REPOS):
        yield session_hub


@pytest.fixture
def hub(module_hub: LocalHub) -> Iterator[LocalHub]:
    """Lend out the Hub with the sample sources on it and an empty log; restore it afterwards."""
    module_hub.requests.clear()
    with restored(module_hub), restored_cache(SAMPLE_REPOS):
        yield module_hub
    module_hub.faults.clear()


@pytest.fixture
def without_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let large files go by LFS, in this process and in those that the test starts."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")


@pytest.fixture
def unused_port() -> Iterator[int]:
    """Lend out a port that nobody else can take, and where nobody answers."""
    # Bound and not listening: a connection is refused, and no other process can bind it.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        yield port


TIERS = ("unit", "hub", "slow")
HOSTILE = Path(__file__).parent / "hostile"
"""Its tests build with many hostile sources and servers: with a Hub they are slow."""


def _refuse_hub(_: LocalHub) -> NoReturn:
    raise AssertionError("A test of the tier `unit` started a Hub: mark it with `hub`.")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Give each test its tier before others select by it, and put slow modules first afterwards."""
    _assign_tiers(items)
    yield  # pytest deselects, and pytest-randomly shuffles
    rank: dict[Path, int] = {}
    for item in items:
        (tier,) = _tiers(item)
        rank[item.path] = max(rank.get(item.path, 0), TIERS.index(tier))
    # Processes that work in parallel end at about the same time if long work comes first.
    items.sort(key=lambda item: -rank[item.path])


def pytest_collection_finish() -> None:
    """Look for garbage again, and not among what has been collected."""
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


def _assign_tiers(items: Iterable[pytest.Item]) -> None:
    """Give every test without a tier the one that its fixtures imply."""
    wrong = []
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        needs_hub = any(name == "hub" or name.endswith("_hub") for name in fixtures)
        tiers = _tiers(item)
        if not tiers:
            item.add_marker(
                ("slow" if HOSTILE in item.path.parents else "hub") if needs_hub else "unit"
            )
        elif len(tiers) > 1 or (tiers == ["unit"] and needs_hub):
            wrong.append(f"{item.nodeid}: {', '.join(tiers)}")
    if wrong:
        message = "Every test has one tier, and unit tests use no Hub:\n" + "\n".join(wrong)
        raise pytest.UsageError(message)


def _tiers(item: pytest.Item) -> list[str]:
    return [marker.name for marker in item.iter_markers() if marker.name in TIERS]


def pytest_unconfigure() -> None:
    """Stop the Hub, and do not report the requests that tests of interrupts left waiting."""
    logging.getLogger("uvicorn.error").disabled = True
    _HUB.__exit__(None, None, None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many requests failed in the tests of faults, if they ran."""
    counts = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == BROKEN
    ]
    if counts:
        terminalreporter.write_line(
            f"Faults: {sum(counts)} requests failed in {len(counts)} builds."
        )
