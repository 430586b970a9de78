"""The storage beside the repos: after a restart, without Xet, and for samples."""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from huggingface_hub import HfApi, constants

from tests.localhub.helpers import Names
from tests.localhub.xet.helpers import (
    WEIGHTS,
    Cas,
    download,
    matching,
    sent,
    upload,
    xet_hash,
)
from tests.support.web import web
from ved.localhub import LocalHub, samples

pytestmark = pytest.mark.hub


def test_restarted_hub_keeps_files_xorbs_and_dedup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalHub(tmp_path / "hub", xet=True) as hub:
        hub.add_user("alice", token="hf_alice")
        alice = HfApi(hub.endpoint, token="hf_alice")
        alice.create_repo("alice/model")
        upload(alice, "alice/model", WEIGHTS)
        digest = xet_hash(hub, "alice/model")
    with LocalHub(tmp_path / "hub", xet=True) as hub:
        alice = HfApi(hub.endpoint, token="hf_alice")
        assert xet_hash(hub, "alice/model") == digest
        upload(alice, "alice/model", WEIGHTS + b"x", "longer.safetensors")
        assert sent(hub) < 2 * 128 * 1024
        assert download(hub, "alice/model", "longer.safetensors") == WEIGHTS + b"x"
        assert matching(hub, "GET", "/lfs/") == []


def test_hub_without_xet_keeps_files_of_xet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalHub(tmp_path / "hub", xet=True) as hub:
        hub.add_user("alice", token="hf_alice")
        alice = HfApi(hub.endpoint, token="hf_alice")
        alice.create_repo("alice/model")
        upload(alice, "alice/model", WEIGHTS)
    shutil.rmtree(tmp_path / "hub" / "xet")
    with LocalHub(tmp_path / "hub", xet=False) as hub:
        assert download(hub, "alice/model") == WEIGHTS
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        upload(HfApi(hub.endpoint, token="hf_alice"), "alice/model", b"x" * 1000, "b.safetensors")
        assert len(matching(hub, "PUT", "/lfs/")) == 1
        tokens = f"{hub.endpoint}/api/models/alice/model/xet-read-token/main"
        assert web.get(tokens).status_code == 404


def test_samples_leave_nothing_in_the_cache_of_the_user(hub: LocalHub, names: Names) -> None:
    repo = f"samples-{names.number}/gpt2"
    samples.publish(hub, {repo: samples.gpt2})
    assert len(matching(hub, "POST", "/v2/shards")) == 1
    assert not Path(os.environ["HF_HOME"], "xet").exists()


def test_storage_of_two_hubs_never_has_the_same_path(tmp_path: Path) -> None:
    paths = []
    for name in "ab":
        with LocalHub(tmp_path / name, xet=True) as hub:
            hub.add_user("alice", token="hf_alice")
            HfApi(hub.endpoint, token="hf_alice").create_repo("alice/model")
            paths.append(urlsplit(Cas(hub, "alice/model", None).url).path)
    assert paths[0] != paths[1]
