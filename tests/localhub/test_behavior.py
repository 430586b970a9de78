"""Behavior: what a hub answers where Hubs differ, through the unmodified client."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from tests.localhub.helpers import Client, status
from ved.localhub import Behavior, LocalHub

pytestmark = pytest.mark.hub


def test_like_production_switches_on_what_the_real_hub_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with LocalHub(tmp_path, like_production=True) as hub:
        assert hub.behavior == Behavior.of_production() != Behavior()
        hub.add_user("alice", token="hf_alice")
        api = HfApi(hub.endpoint, token="hf_alice")
        api.create_repo("alice/large")
        api.upload_file(path_or_fileobj=bytes(9), path_in_repo="a.bin", repo_id="alice/large")
        assert any(each.path.endswith("/v2/shards") for each in hub.requests)


@pytest.mark.parametrize("private", [False, True])
def test_small_files_redirect_to_another_address(
    private: bool, hub: LocalHub, alice: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.update_repo_settings(repo, private=private)
    alice.upload_file(path_or_fileobj=b"{}", path_in_repo="a b.json", repo_id=repo)
    monkeypatch.setattr(hub.behavior, "small_file_redirects", True)
    path = hf_hub_download(repo, "a b.json", endpoint=hub.endpoint, token=alice.token)
    assert Path(path).read_bytes() == b"{}"
    assert {307} == {each.status for each in hub.requests if "/resolve/" in each.path}
    assert {200} == {each.status for each in hub.requests if "/resolve-cache/" in each.path}


def test_errors_may_have_no_code(
    hub: LocalHub, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.behavior, "error_codes", False)
    with pytest.raises(HfHubHTTPError) as error:
        client("alice").model_info("nobody/nothing")
    assert status(error) == 404
    assert error.value.response is not None
    assert "X-Error-Code" not in error.value.response.headers


@pytest.mark.parametrize(
    ("metadata", "is_known"),
    [
        ("license: apache-2.0", True),
        ("license: appache-2.0", False),
        ("language: [en, yue, code]", True),
        ("language: pt-BR", False),
    ],
)
def test_metadata_may_have_to_be_in_the_lists_of_the_real_hub(
    metadata: str,
    is_known: bool,
    hub: LocalHub,
    alice: HfApi,
    repo: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = f"---\n{metadata}\n---\n".encode()
    monkeypatch.setattr(hub.behavior, "known_metadata", True)
    with nullcontext() if is_known else pytest.raises(ValueError, match=r"license|language"):
        alice.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo)
