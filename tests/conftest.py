"""What every test runs in, and the Hub that many of them talk to."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ved import environment

environment.prepare(progress_bars=False)  # before the imports that read it

from ved.localhub import LocalHub  # noqa: E402

TOKEN = "hf_the_owners_token"
NAMESPACE = "owner"


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests from this user's token, cache and Hub, and from one another's."""
    for name in [name for name in os.environ if name.startswith(("HF_", "INPUT_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))


@pytest.fixture(scope="session")
def session_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        hub.add_user(NAMESPACE, token=TOKEN, organisations=("team",))
        yield hub
