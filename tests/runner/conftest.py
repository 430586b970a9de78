"""The container engine, the Hub and act, once for all tests of the runner."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from huggingface_hub import HfApi

from tests.runner.act import Act, Repository, copy_of_head
from tests.runner.container_layout import LayoutProxy
from tests.support import environments
from ved.localhub import LocalHub, samples

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLES = ROOT / "examples"
TOKEN = "hf_runner"  # of the Hub's user `me`
ENGINE = os.environ.get("VED_RUNNER_ENGINE")
PROGRAMS = ("podman", "buildah", "runc", "mmdebstrap", "iptables")
NETWORK_PROGRAM = Path("/usr/lib/podman/netavark")

NewRepository = Callable[[Mapping[str, str]], Repository]


@pytest.fixture(scope="session")
def engine() -> Iterator[Path]:
    """Yield the socket of a container engine, or skip the tests if this machine cannot have one."""
    if ENGINE is None:
        pytest.skip("VED_RUNNER_ENGINE is not set")
    if ENGINE != "podman":
        yield Path(ENGINE)
        return
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    missing += [] if NETWORK_PROGRAM.exists() else ["netavark"]
    if missing or sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip(f"podman needs Linux, root and the missing programs {missing}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    state = cache / "ved" / "runner"
    state.mkdir(parents=True, exist_ok=True)
    with FileLock(state / "lock"):  # two engines cannot share a storage
        address = state / "engine.sock"
        address.unlink(missing_ok=True)
        log = state / "engine.log"
        with (
            log.open("w") as output,
            subprocess.Popen([HERE / "engine.sh", state], stdout=output, stderr=output) as process,
        ):
            try:
                while not address.exists():
                    if process.poll() is not None:
                        reason = log.read_text().strip().splitlines()[-1:]
                        pytest.skip(f"podman does not work here: {reason}; see {log}")
                    time.sleep(0.1)
                yield address
            finally:
                process.terminate()


@pytest.fixture(scope="session")
def runner_hub() -> Iterator[LocalHub]:
    """Yield a Hub on the loopback of this machine, with models under the names of real ones."""
    with tempfile.TemporaryDirectory() as root, LocalHub(Path(root), xet=False) as hub:
        hub.add_user("me", token=TOKEN)
        samples.publish(hub)
        yield hub


@pytest.fixture(scope="session")
def hub_api(runner_hub: LocalHub) -> HfApi:
    return HfApi(runner_hub.endpoint, token=TOKEN)


@pytest.fixture(scope="session")
def act(engine: Path) -> Iterator[Act]:
    """Yield act. Its containers are on this machine's network, where they reach the Hub."""
    with _act(engine, network="host") as act:
        yield act


@pytest.fixture(scope="session")
def act_on_bridge(engine: Path) -> Iterator[Act]:
    """Yield act. Its containers are on a network of their own, as on GitHub."""
    with _act(engine, network=None) as act:
        yield act


@contextmanager
def _act(engine: Path, network: str | None) -> Iterator[Act]:
    # The path of a socket has at most 107 bytes, so the directory is not pytest's.
    with tempfile.TemporaryDirectory(prefix="ved-", dir="/tmp") as name:
        directory = Path(name)
        copy_of_head(ROOT, directory / "ved", keep_digest=ENGINE != "podman")
        program = environments.python("act").with_name("act")
        with closing(LayoutProxy(directory / "engine.sock", engine, network)) as proxy:
            yield Act(program, proxy.address, directory / "ved", directory)


@pytest.fixture(scope="module")
def new_repository(act: Act, tmp_path_factory: pytest.TempPathFactory) -> NewRepository:
    """Return a function that creates a repository with one commit and the secret HF_TOKEN."""

    def create(files: Mapping[str, str]) -> Repository:
        repository = Repository(act, tmp_path_factory.mktemp("repository"), {"HF_TOKEN": TOKEN})
        repository.commit(files)
        return repository

    return create
