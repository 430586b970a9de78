"""One program against the local Hub, run with the client that VED uses and with client 0.36."""

import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi, constants

from tests.support.environments import python
from ved.localhub import LocalHub

pytestmark = pytest.mark.slow

HERE = Path(sys.executable)
SCENARIO = Path(__file__).with_name("client_scenario.py")

EXPECTED = {
    "publish": {
        "user": "alice",
        "created": "alice/scenario",
        "head is the commit": True,
        "unchanged files are no commit": True,
        "committed to": ["alice/scenario", "model"],
        "stale": ["HfHubHTTPError", 412],
        "exists": ["HfHubHTTPError", 409],
        "commits": ["Upload folder using huggingface_hub", "initial commit"],
        "tags": ["refs/tags/v1"],
    },
    "read": {
        "bit-exact": True,
        "in a folder": True,
        "tags": ["x", "license:mit"],
        "siblings": [
            [".gitattributes", 1519, False],
            ["README.md", 38, False],
            ["config.json", 2, False],
            ["model.safetensors", 250_000, True],
            ["sub/small.msgpack", 1000, True],
        ],
        "tree": [
            *(".gitattributes", "README.md", "config.json"),
            *("model.safetensors", "sub", "sub/small.msgpack"),
        ],
        "paths": ["config.json"],
        "listed": ["alice/scenario"],
        "no file": ["EntryNotFoundError", 404],
        "no revision": ["RevisionNotFoundError", 404],
        "no repo": ["RepositoryNotFoundError", 404],
        "bad token": ["HfHubHTTPError", 401],
    },
    "end": {
        "gated to others": ["GatedRepoError", 403],
        "gated to nobody": ["GatedRepoError", 401],
        "not theirs": ["HfHubHTTPError", 403],
        "private to others": ["RepositoryNotFoundError", 404],
        "private to nobody": ["RepositoryNotFoundError", 401],
        "private to me": True,
        "deleted": True,
    },
}


@pytest.mark.parametrize(
    ("version", "has_xet", "disabled", "storage"),
    [
        ("0.36.2", True, "0", "xet"),
        ("0.36.2", True, "1", "lfs"),
        ("0.36.2", False, "0", "lfs"),
        (huggingface_hub.__version__, True, "0", "xet"),
        (huggingface_hub.__version__, True, "1", "lfs"),
        (huggingface_hub.__version__, False, "1", "lfs"),
    ],
)
def test_client_versions_get_the_same_results(
    version: str, has_xet: bool, disabled: str, storage: str, tmp_path: Path
) -> None:
    interpreter = python("transformers4") if version == "0.36.2" else HERE
    environment = {
        "PATH": os.environ["PATH"],
        "HF_TOKEN": "hf_alice",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": disabled,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    imported = "import huggingface_hub; print(huggingface_hub.__version__)"
    assert run([interpreter, "-c", imported], environment).strip() == version
    with LocalHub(multipart_threshold=100_000, page_size=3, xet=has_xet) as hub:
        hub.add_user("alice", token="hf_alice")
        hub.add_user("bob", token="hf_bob")
        environment["HF_ENDPOINT"] = hub.endpoint
        seen = json.loads(run([interpreter, SCENARIO, "alice/scenario", "hf_bob"], environment))
    assert seen == EXPECTED
    assert {e.path.split("/")[1] for e in hub.requests} & {"lfs", "xet"} == {storage}


PUBLISH_WITHOUT_TOKEN = """
import sys, tempfile
from pathlib import Path
from huggingface_hub import HfApi, get_token
folder = Path(tempfile.mkdtemp())
(folder / "model.safetensors").write_bytes(bytes(1000))
api = HfApi()
api.create_repo(sys.argv[1], exist_ok=True)
print(api.upload_folder(repo_id=sys.argv[1], folder_path=folder).oid, get_token())
"""


@pytest.mark.parametrize("storage", ["lfs", "xet"])
def test_client_publishes_without_a_stored_token(storage: str, tmp_path: Path) -> None:
    with LocalHub(xet=storage == "xet") as hub:
        hub.add_user("alice", token="hf_alice")
        alice = HfApi(hub.endpoint, token="hf_alice")
        alice.create_repo("alice/model")
        hub.add_publisher("alice/model", repository="octo-org/octo-repo", workflow="publish.yml")
        environment = {
            **hub.add_job(repository="octo-org/octo-repo", workflow="publish.yml"),
            "PATH": os.environ["PATH"],
            "GITHUB_ACTIONS": "true",
            "HF_ENDPOINT": hub.endpoint,
            "HF_OIDC_RESOURCE": "alice/model",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "0" if storage == "xet" else "1",
        }
        printed = run([HERE, "-c", PUBLISH_WITHOUT_TOKEN, "alice/model"], environment)
        commit, token = printed.split()
        assert commit == alice.model_info("alice/model").sha
        assert token.startswith("hf_jwt_")
        assert {e.path.split("/")[1] for e in hub.requests if e.method == "PUT"} == {storage}


DOWNLOAD = """
import sys
from huggingface_hub import hf_hub_download
print(hf_hub_download(sys.argv[1], "model.safetensors"))
"""


def test_client_without_xet_downloads_a_file_of_xet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    content = bytes(range(250)) * 1000
    with LocalHub(xet=True) as hub:
        hub.add_user("alice", token="hf_alice")
        alice = HfApi(hub.endpoint, token="hf_alice")
        alice.create_repo("alice/model")
        alice.upload_file(
            path_or_fileobj=content, path_in_repo="model.safetensors", repo_id="alice/model"
        )
        assert any(e.path.endswith("/v2/shards") for e in hub.requests)
        hub.requests.clear()
        environment = {
            "PATH": os.environ["PATH"],
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
        }
        path = run([HERE, "-c", DOWNLOAD, "alice/model"], environment).strip()
        assert Path(path).read_bytes() == content
        assert [e.path for e in hub.requests if e.path.startswith(("/xet/", "/cas/"))] == []


def run(command: list[str | Path], environment: dict[str, str]) -> str:
    return subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=120
    ).stdout
