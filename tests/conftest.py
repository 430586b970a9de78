"""What every test runs in, and the Hub that many of them talk to."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from ved import environment

# huggingface_hub reads its settings when it is imported: the address of the Hub, and where caches
# and a stored token are. So all are settled here, and none is this user's own.
_HOME = tempfile.TemporaryDirectory(prefix="ved-tests-")
os.environ["HF_HOME"] = _HOME.name
# What one process compiles, the others need not; pytest's workers have these from their parent.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{_HOME.name}/compiled")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
with socket.create_server(("127.0.0.1", 0)) as _any:
    PORT = _any.getsockname()[1]
environment.prepare(progress_bars=False, endpoint=f"http://127.0.0.1:{PORT}")

from huggingface_hub import configure_http_backend  # noqa: E402

from tests.support import publishing  # noqa: E402
from tests.support.faults import BROKEN  # noqa: E402
from ved.localhub import LocalHub  # noqa: E402

TOKEN = publishing.TOKEN
NAMESPACE = "owner"

# The same examples on every run, however slow the machine.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.load_profile("steady")


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the tests from this user's token, cache and Hub, and from one another's."""
    for name in [name for name in os.environ if name.startswith(("HF_", "INPUT_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    yield
    configure_http_backend()  # without what a command made of it


@pytest.fixture(scope="session")
def session_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    with LocalHub(tmp_path_factory.mktemp("hub"), port=PORT) as hub:
        hub.add_user(NAMESPACE, token=TOKEN, organizations=("team",))
        yield hub


@pytest.fixture(scope="session")
def sources(session_hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Put sample sources on the Hub, each as `team/<family>`, and return their directories."""
    return publishing.publish_samples(session_hub, tmp_path_factory.mktemp("sources"))


@pytest.fixture
def hub(session_hub: LocalHub, sources: dict[str, Path]) -> Iterator[LocalHub]:
    """Lend out the Hub with the sample sources on it, and with its log empty."""
    session_hub.requests.clear()
    yield session_hub
    session_hub.faults.clear()


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many requests of builds were broken by the tests of faults, if they ran."""
    counts = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == BROKEN
    ]
    if counts:
        terminalreporter.write_line(
            f"{sum(counts)} requests were broken in {len(counts)} builds, and nothing else was."
        )
