"""What several test modules ask the client, with the types that the answers have here."""

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import BlobLfsInfo, RepoFile


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
