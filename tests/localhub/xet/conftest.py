"""A hub with Xet for all tests of this folder. The client is the real hf_xet."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from tests.localhub.helpers import Names
from tests.localhub.xet.helpers import WEIGHTS, Cas, upload
from ved.localhub import LocalHub


@pytest.fixture(scope="module")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    with LocalHub(tmp_path_factory.mktemp("localhub"), xet=True) as hub:
        yield hub


@pytest.fixture(autouse=True)
def client_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the client retry quickly, and give it an empty cache."""
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "10ms")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))


@pytest.fixture
def without_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client know LFS only."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture
def published(alice: HfApi, repo: str, hub: LocalHub) -> str:
    """Publish WEIGHTS as model.safetensors, by Xet, and return the repo."""
    upload(alice, repo, WEIGHTS)
    hub.requests.clear()
    return repo


@pytest.fixture
def cas(hub: LocalHub, repo: str, names: Names) -> Cas:
    """Return the CAS for a writer of the repo."""
    return Cas(hub, repo, names.token("alice"), "write")
