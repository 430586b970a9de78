"""One hub for all tests of this folder, with a new repo for each test that asks for one."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from huggingface_hub import HfApi, constants

from ved.localhub import LocalHub

MULTIPART_THRESHOLD = 100_000

_numbers = itertools.count()


@pytest.fixture(scope="session")
def lasting_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    root = tmp_path_factory.mktemp("localhub")
    with LocalHub(root, multipart_threshold=MULTIPART_THRESHOLD, page_size=3) as hub:
        hub.add_user("alice", token="hf_alice", organizations=("acme",))
        hub.add_user("alice", token="hf_alice_read", role="read")
        hub.add_user("bob", token="hf_bob")
        hub.add_user("carol", token="hf_carol", organizations=("acme",))
        yield hub


@pytest.fixture
def hub(
    lasting_hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalHub]:
    """Lend out the hub, with its log empty and with the client's cache empty."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))
    lasting_hub.requests.clear()
    yield lasting_hub
    lasting_hub.faults.clear()


@pytest.fixture
def client(hub: LocalHub) -> Callable[[str | bool], HfApi]:
    """Make the client of a token, or of nobody with False."""
    return lambda token: HfApi(endpoint=hub.endpoint, token=token)


@pytest.fixture
def alice(client: Callable[[str | bool], HfApi]) -> HfApi:
    return client("hf_alice")


@pytest.fixture
def bob(client: Callable[[str | bool], HfApi]) -> HfApi:
    return client("hf_bob")


@pytest.fixture
def repo(alice: HfApi) -> str:
    """Make a public repo in alice's organization and return its id."""
    return alice.create_repo(f"acme/repo-{next(_numbers)}").repo_id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with a small file, an LFS file for one PUT and one for several."""
    folder = tmp_path / "checkpoint"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A card\n")
    (folder / "flax_model.msgpack").write_bytes(bytes(range(256)) * 100)
    (folder / "model.safetensors").write_bytes(bytes(range(255, -1, -1)) * 1000)
    return folder


@pytest.fixture
def ask(hub: LocalHub) -> Callable[..., requests.Response]:
    """Send a request that huggingface_hub would not send."""

    def send(method: str, path: str, token: str = "hf_alice", **options: Any) -> requests.Response:
        headers = {"authorization": f"Bearer {token}"} | options.pop("headers", {})
        return requests.request(method, hub.endpoint + path, headers=headers, timeout=30, **options)

    return send
