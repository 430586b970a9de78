"""LocalHub: its start and stop, its address, its accounts, and the files that it opens."""

import contextlib
import doctest
import gc
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from tests.localhub.helpers import eventually, git
from tests.support.web import web
from ved.errors import ErrorCode, VedError
from ved.localhub import Faults, LocalHub, server

pytestmark = pytest.mark.hub


def test_hub_with_the_same_root_serves_the_same_repos(tmp_path: Path) -> None:
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


def test_start_removes_unfinished_uploads(tmp_path: Path) -> None:
    with LocalHub(tmp_path):
        (tmp_path / "incoming" / "unfinished").write_bytes(b"x")
    with LocalHub(tmp_path):
        assert list((tmp_path / "incoming").iterdir()) == []


def test_hub_without_root_removes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with LocalHub() as hub:
        hub.add_user("alice", token="hf_alice")
        HfApi(endpoint=hub.endpoint, token="hf_alice").create_repo("model")
        assert hub.repository_path("alice/model").is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_exit_closes_the_port() -> None:
    with LocalHub() as hub:
        url = f"{hub.endpoint}/api/models"
        assert web.get(url).json() == []
    with pytest.raises(httpx2.NetworkError):
        web.get(url)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.org", "::", ""])
def test_hub_refuses_other_hosts_than_loopback(host: str) -> None:
    with pytest.raises(VedError) as error:
        LocalHub(host=host)
    assert error.value.code == ErrorCode.LOCAL_HUB
    assert repr(host) in error.value.cause


def test_start_explains_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(VedError) as error, LocalHub(port=port):
            pass
    assert error.value.code == ErrorCode.LOCAL_HUB
    assert str(port) in error.value.cause


@pytest.mark.parametrize("name", ["../alice", "a/b", "", "-a", "é"])
def test_add_user_refuses_a_malformed_name(name: str, tmp_path: Path) -> None:
    hub = LocalHub(tmp_path)
    attempts: list[Callable[[], None]] = [
        lambda: hub.add_user(name, token="t"),
        lambda: hub.add_user("alice", token="t", organizations=(name,)),
        lambda: hub.add_organization(name),
    ]
    for attempt in attempts:
        with pytest.raises(VedError) as error:
            attempt()
        assert error.value.code == ErrorCode.LOCAL_HUB
        assert repr(name) in error.value.cause


def test_user_and_organization_cannot_share_a_name(tmp_path: Path) -> None:
    hub = LocalHub(tmp_path)
    hub.add_user("alice", token="t", organizations=("acme",))
    with pytest.raises(VedError) as error:
        hub.add_user("acme", token="u")
    assert error.value.code == ErrorCode.LOCAL_HUB
    with pytest.raises(VedError) as error:
        hub.add_organization("alice")
    assert error.value.code == ErrorCode.LOCAL_HUB


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Bind a socket to a free port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def test_endpoint_is_known_before_the_start_with_a_listener(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    hub = LocalHub(listener=listener)
    endpoint = hub.endpoint
    assert endpoint == f"http://127.0.0.1:{port}"
    with pytest.raises(httpx2.NetworkError):
        web.get(f"{endpoint}/api/models")
    with hub:
        assert hub.endpoint == endpoint
        assert web.get(f"{endpoint}/api/models").status_code == 200
    with hub:  # a second start binds the same port again
        assert web.get(f"{endpoint}/api/models").status_code == 200
    with pytest.raises(httpx2.NetworkError):
        web.get(f"{endpoint}/api/models")


def test_listener_keeps_its_port_from_other_hubs(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    hub = LocalHub(listener=listener)
    with pytest.raises(VedError), LocalHub(port=port):
        pass
    with hub:
        assert web.get(f"{hub.endpoint}/api/models").status_code == 200


def test_endpoint_needs_a_port_or_a_start() -> None:
    hub = LocalHub()
    with pytest.raises(VedError) as error:
        _ = hub.endpoint
    assert error.value.code == ErrorCode.LOCAL_HUB
    with hub:
        assert web.get(f"{hub.endpoint}/api/models").status_code == 200


@pytest.mark.filterwarnings("always::ResourceWarning")
def test_requests_close_their_files(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    with LocalHub(tmp_path / "hub") as hub:
        hub.add_user("alice", token="hf_alice")
        api = HfApi(hub.endpoint, token="hf_alice")
        api.create_repo("alice/model")
        publish_and_read(api, tmp_path / "0")
        # An open git repository keeps its packs open, but not its loose objects.
        git(hub, "alice/model", "repack", "-adq")
        gc.collect()
        recwarn.clear()
        gc.disable()
        try:
            hub.requests.clear()
            for number in range(1, 6):
                publish_and_read(api, tmp_path / str(number))
            assert len(hub.requests) >= 50
            eventually(lambda: open_files_below(tmp_path / "hub") == [])
        finally:
            gc.enable()
        gc.collect()
    warned = [str(each.message) for each in recwarn if issubclass(each.category, ResourceWarning)]
    assert [text for text in warned if "socket" not in text] == []


def open_files_below(folder: Path) -> list[str]:
    """Return the files below a folder that this process has open."""
    opened = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            opened.append(str(descriptor.readlink()))
    return [path for path in opened if Path(path).is_relative_to(folder)]


def publish_and_read(api: HfApi, folder: Path) -> None:
    """Send ten requests or more that read or write the repo alice/model."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(folder.name.encode() * 1000)
    (folder / "config.json").write_text(f'{{"number": {folder.name}}}')
    commit = api.upload_folder(repo_id="alice/model", folder_path=folder)
    assert api.model_info("alice/model", files_metadata=True).sha == commit.oid
    assert "alice/model" in [model.id for model in api.list_models(author="alice", filter=[])]
    assert len(api.list_repo_commits("alice/model")) == 2 + int(folder.name)
    assert "config.json" in [entry.path for entry in api.list_repo_tree("alice/model")]
    snapshot_download(
        "alice/model", endpoint=api.endpoint, token=api.token, local_dir=folder / "read"
    )


def test_example_in_the_docstring_runs() -> None:
    results = doctest.testmod(server)
    assert results.attempted > 0
    assert results.failed == 0


def test_docs_list_every_public_member() -> None:
    page = (Path(__file__).parents[2] / "docs" / "localhub.md").read_text()
    for owner in (LocalHub, Faults):
        names = [name for name in vars(owner) if not name.startswith("_") and name != "next_fault"]
        assert [name for name in names if f"`{name}" not in page and f".{name}" not in page] == []


SERVE = """
import socket
from ved.localhub import LocalHub
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
hub = LocalHub(listener=listener)
print(hub.endpoint, flush=True)
hub.serve_forever()
print("stopped")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_forever_ends_at_a_signal(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    wait_until_answered(process.stdout.readline().strip())
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert (output, process.returncode) == ("stopped\n", 0)


def wait_until_answered(endpoint: str) -> None:
    def answers() -> bool:
        try:
            return web.get(f"{endpoint}/api/models").status_code == 200
        except httpx2.NetworkError:
            return False

    eventually(answers)
