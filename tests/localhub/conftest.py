"""One hub for all tests of this folder. Each test has its own accounts and repos on it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi, constants

from tests.localhub.helpers import Names
from tests.support.web import web
from ved.localhub import LocalHub

MULTIPART_THRESHOLD = 100_000

_numbers = itertools.count()


@pytest.fixture(scope="session")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    root = tmp_path_factory.mktemp("localhub")
    with LocalHub(root, multipart_threshold=MULTIPART_THRESHOLD, page_size=3, xet=False) as hub:
        yield hub


@pytest.fixture(autouse=True)
def client_settings(without_xet: None) -> None:
    """Let the client know LFS only, as this hub does."""


@pytest.fixture
def hub(
    shared_hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalHub]:
    """Return the hub with an empty log, and give the client an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))
    shared_hub.requests.clear()
    yield shared_hub
    shared_hub.faults.clear()


@pytest.fixture
def names(hub: LocalHub) -> Names:
    """Add the accounts of the test: alice and carol in an organization, and bob outside of it."""
    names = Names(next(_numbers))
    hub.add_user(names.alice, token=names.token("alice"), organizations=(names.acme,))
    hub.add_user(names.alice, token=names.token("alice_read"), role="read")
    hub.add_user(names.bob, token=names.token("bob"))
    hub.add_user(names.carol, token=names.token("carol"), organizations=(names.acme,))
    return names


@pytest.fixture
def client(hub: LocalHub, names: Names) -> Callable[[str | None], HfApi]:
    """Return a function that creates the client of alice, alice_read, bob, carol or nobody."""
    return lambda user: HfApi(hub.endpoint, token=names.token(user) if user else False)


@pytest.fixture
def alice(client: Callable[[str | None], HfApi]) -> HfApi:
    return client("alice")


@pytest.fixture
def bob(client: Callable[[str | None], HfApi]) -> HfApi:
    return client("bob")


@pytest.fixture
def repo(alice: HfApi, names: Names) -> str:
    """Create a public repo in alice's organization and return its id."""
    return alice.create_repo(f"{names.acme}/repo").repo_id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Create a folder with a small file, an LFS file for one PUT and one for several."""
    folder = tmp_path / "checkpoint"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A card\n")
    (folder / "flax_model.msgpack").write_bytes(bytes(range(256)) * 100)
    (folder / "model.safetensors").write_bytes(bytes(range(255, -1, -1)) * 1000)
    return folder


@pytest.fixture
def ask(hub: LocalHub, names: Names) -> Callable[..., httpx2.Response]:
    """Return a function that sends a request that huggingface_hub would not send."""

    def send(method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {names.token('alice')}"} | options.pop("headers", {})
        return web.request(method, hub.endpoint + path, headers=headers, **options)

    return send
