"""Starting, stopping and starting again."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from huggingface_hub import HfApi, hf_hub_download

from ved.errors import VedError
from ved.localhub import LocalHub


def test_a_hub_on_the_same_root_serves_the_same_repos_and_users(tmp_path: Path) -> None:
    content = bytes(1000)
    with LocalHub(tmp_path / "root") as hub:
        hub.add_user("alice", token="hf_alice", organizations=("acme",))
        hub.add_organization("empty")
        alice = HfApi(endpoint=hub.endpoint, token="hf_alice")
        alice.create_repo("acme/model", private=True)
        alice.upload_file(path_or_fileobj=content, path_in_repo="x.bin", repo_id="acme/model")
        collection = alice.create_collection("Kept", namespace="acme")
        before = alice.list_repo_commits("acme/model")
    with LocalHub(tmp_path / "root") as hub:
        alice = HfApi(endpoint=hub.endpoint, token="hf_alice")
        assert alice.list_repo_commits("acme/model") == before
        assert alice.model_info("acme/model").private
        assert alice.get_collection(collection.slug).title == "Kept"
        path = hf_hub_download(
            "acme/model",
            "x.bin",
            endpoint=hub.endpoint,
            token="hf_alice",
            cache_dir=tmp_path / "cache",
        )
        assert Path(path).read_bytes() == content


def test_unfinished_uploads_are_forgotten_at_the_next_start(tmp_path: Path) -> None:
    with LocalHub(tmp_path):
        (tmp_path / "incoming" / "unfinished").write_bytes(b"x")
    with LocalHub(tmp_path):
        assert list((tmp_path / "incoming").iterdir()) == []


def test_without_a_root_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with LocalHub() as hub:
        hub.add_user("alice", token="hf_alice")
        HfApi(endpoint=hub.endpoint, token="hf_alice").create_repo("model")
        assert hub.repository_path("alice/model").is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_hub_stops_listening_when_it_stops() -> None:
    with LocalHub() as hub:
        url = f"{hub.endpoint}/api/models"
        assert requests.get(url, timeout=30).json() == []
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=30)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.org", "::", ""])
def test_only_loopback_is_served(host: str) -> None:
    with pytest.raises(VedError, match=r"does not serve .* Use 127\.0\.0\.1\."):
        LocalHub(host=host)


def test_a_taken_port_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(VedError, match=f"Port {port} .* Choose another port"),
            LocalHub(port=port),
        ):
            pass


@pytest.mark.parametrize("name", ["../alice", "a/b", "", "-a", "é"])
def test_an_account_name_is_checked(name: str, tmp_path: Path) -> None:
    hub = LocalHub(tmp_path)
    with pytest.raises(VedError, match="no account name"):
        hub.add_user(name, token="t")
    with pytest.raises(VedError, match="no account name"):
        hub.add_organization(name)


def test_users_and_organizations_share_their_names(tmp_path: Path) -> None:
    hub = LocalHub(tmp_path)
    hub.add_user("alice", token="t", organizations=("acme",))
    with pytest.raises(VedError, match="is an organization"):
        hub.add_user("acme", token="u")
    with pytest.raises(VedError, match="is a user"):
        hub.add_organization("alice")


SERVE = """
from ved.localhub import LocalHub
hub = LocalHub(port={port})
print(hub.endpoint, flush=True)
hub.serve_forever()
print("stopped")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_forever_ends_with_a_signal(number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        program = SERVE.format(port=free.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    wait_until_answered(process.stdout.readline().strip())
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert (output, process.returncode) == ("stopped\n", 0)


def wait_until_answered(endpoint: str) -> None:
    """Wait for a hub that starts, or fail after a time that no machine needs."""
    deadline = time.monotonic() + 30
    while True:
        try:
            assert requests.get(f"{endpoint}/api/models", timeout=30).status_code == 200
            return
        except requests.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
