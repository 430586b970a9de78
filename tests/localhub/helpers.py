"""Functions that several test modules share: accounts, requests, git."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import BlobLfsInfo, RepoFile

from ved.localhub import LocalHub

Ask = Callable[..., httpx2.Response]
Client = Callable[[str | None], HfApi]


@dataclass(frozen=True)
class Names:
    """The names of the accounts of one test."""

    number: int

    @property
    def alice(self) -> str:
        return f"alice-{self.number}"

    @property
    def bob(self) -> str:
        return f"bob-{self.number}"

    @property
    def carol(self) -> str:
        return f"carol-{self.number}"

    @property
    def acme(self) -> str:
        """The organization of alice and carol."""
        return f"acme-{self.number}"

    def token(self, user: str) -> str:
        """Return the token of alice, alice_read, bob or carol."""
        return f"hf_{user}_{self.number}"


def status(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    assert error.value.response is not None
    return int(error.value.response.status_code)


def header(error: pytest.ExceptionInfo[HfHubHTTPError], name: str) -> str:
    assert error.value.response is not None
    return str(error.value.response.headers[name])


def head(api: HfApi, repo: str) -> str:
    return str(api.model_info(repo).sha)


def file(api: HfApi, repo: str, path: str) -> RepoFile:
    (found,) = api.get_paths_info(repo, path)
    assert isinstance(found, RepoFile)
    return found


def lfs(api: HfApi, repo: str, path: str) -> BlobLfsInfo:
    info = file(api, repo, path).lfs
    assert isinstance(info, BlobLfsInfo)
    return info


def add(path: str, content: bytes = b"content") -> CommitOperationAdd:
    return CommitOperationAdd(path, content)


def git(hub: LocalHub, repo: str, *arguments: str) -> str:
    """Run git in the repo of a hub and return its output."""
    return git_in(hub.repository_path(repo), *arguments)


def git_in(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true; fail after 30 seconds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
