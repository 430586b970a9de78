"""Uploads by Xet: the requests, deduplication, checks, and repetitions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import HfApi, constants
from numpy.typing import NDArray

from tests.localhub.helpers import Names, head, lfs
from tests.localhub.xet.helpers import (
    WEIGHTS,
    download,
    matching,
    random_bytes,
    sent,
    stored_xorbs,
    upload,
)
from ved.localhub import LocalHub

pytestmark = pytest.mark.hub


def fresh_client(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the client forget which chunks it has sent."""
    monkeypatch.setenv("HF_HOME", str(folder))


def test_upload_goes_by_xet_and_not_by_lfs(alice: HfApi, repo: str, hub: LocalHub) -> None:
    content = random_bytes(1_000_000, "whole")
    upload(alice, repo, content)
    assert matching(hub, "PUT", "/lfs/") == []
    (put,) = matching(hub, "PUT", "/xet/bucket/")
    assert len(content) <= put.bytes_in < 1.001 * len(content)
    assert [e.status for e in matching(hub, "POST", "/v2/shards")] == [200]
    assert lfs(alice, repo, "model.safetensors").size == len(content)


def test_upload_of_a_folder_sends_large_files_in_one_batch(
    alice: HfApi, repo: str, hub: LocalHub, folder: Path
) -> None:
    alice.upload_folder(repo_id=repo, folder_path=folder)
    assert matching(hub, "PUT", "/lfs/") == []
    for path in folder.rglob("*.*"):
        name = path.relative_to(folder).as_posix()
        assert download(hub, repo, name) == path.read_bytes()


def test_dedup_sends_only_new_bytes(
    alice: HfApi, repo: str, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = random_bytes(3_000_000, "first")
    upload(alice, repo, first)
    fresh_client(monkeypatch, tmp_path / "other-machine")
    hub.requests.clear()

    second = first[:2_700_000] + random_bytes(300_000, "second")
    upload(alice, repo, second, "second.safetensors")

    assert [e.status for e in matching(hub, "GET", "/v1/chunks/")][:1] == [200]
    assert 300_000 <= sent(hub) < 300_000 + 2 * 128 * 1024  # whole chunks, of at most 128 KiB
    assert download(hub, repo, "second.safetensors") == second


def test_dedup_works_between_repos(
    alice: HfApi,
    bob: HfApi,
    published: str,
    names: Names,
    hub: LocalHub,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    fresh_client(monkeypatch, tmp_path / "bobs-machine")
    copy = bob.create_repo(f"{names.bob}/copy").repo_id
    upload(bob, copy, WEIGHTS)
    assert sent(hub) == 0
    assert download(hub, copy) == WEIGHTS


def test_dedup_is_also_asked_for_chunks_that_did_not_begin_a_file(
    alice: HfApi, repo: str, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = random_bytes(600_000, "before") + WEIGHTS
    upload(alice, repo, both)
    for attempt in range(2):
        fresh_client(monkeypatch, tmp_path / str(attempt))
        hub.requests.clear()
        upload(alice, repo, both[300_000:], f"{attempt}.safetensors")
    # The second time, the chunk that begins the file is known for that.
    assert sent(hub) == 0


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(200_000, np.float32),
        np.random.default_rng(0).normal(size=200_000).astype(np.float32),
        np.arange(300_001, dtype=np.uint8),
    ],
    ids=["constant", "floats", "uneven"],
)
def test_upload_of_compressed_chunks_is_unpacked(
    alice: HfApi, repo: str, hub: LocalHub, values: NDArray[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(alice, repo, values.tobytes())
    assert sent(hub) < values.nbytes
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the hub unpacks, not the client
    assert download(hub, repo) == values.tobytes()


@pytest.mark.parametrize(
    ("path", "older_path"),
    [("/v1/xorb-grants/", "/v1/xorbs/"), ("/v2/shards", "/v1/shards")],
    ids=["xorb", "shard"],
)
def test_upload_falls_back_to_older_requests(
    alice: HfApi, repo: str, hub: LocalHub, path: str, older_path: str
) -> None:
    content = random_bytes(500_000, "falls back", path)
    hub.faults.add("POST", path, status=404, times=100)
    upload(alice, repo, content)
    assert [e.status for e in matching(hub, "POST", older_path)] == [200]
    assert download(hub, repo) == content


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop_response": True}], ids=["503", "lost"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chunks/"),
        ("POST", "/v1/xorb-grants/"),
        ("PUT", "/xet/bucket/"),
        ("POST", "/v1/xorb-commits/"),
        ("POST", "/v2/shards"),
    ],
)
def test_upload_repeats_requests(
    alice: HfApi, repo: str, hub: LocalHub, method: str, path: str, fault: dict[str, Any]
) -> None:
    content = random_bytes(300_000, "repeats", method, path, fault)
    hub.faults.add(method, path, **fault)
    upload(alice, repo, content)
    assert len(matching(hub, method, path)) >= 2
    assert download(hub, repo) == content


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/xorb-grants/"), ("PUT", "/xet/bucket/"), ("POST", "/v2/shards")],
)
def test_upload_repeats_requests_that_were_cut(
    alice: HfApi, repo: str, hub: LocalHub, method: str, path: str
) -> None:
    content = random_bytes(300_000, "cut", path)
    hub.faults.add(method, path, cut_request=50)
    upload(alice, repo, content)
    cut, again = matching(hub, method, path)
    assert (cut.status, cut.bytes_in) == (None, 50)
    assert again.bytes_in > 50
    assert download(hub, repo) == content


def test_upload_repeats_a_xorb_that_was_damaged_on_the_way(
    alice: HfApi, repo: str, hub: LocalHub
) -> None:
    content = random_bytes(300_000, "xorb damaged on the way")
    hub.faults.add("PUT", "/xet/bucket/", flip_bit=True)
    upload(alice, repo, content)
    assert [e.status for e in matching(hub, "PUT", "/xet/bucket/")] == [400, 200]
    assert download(hub, repo) == content


def test_upload_of_a_damaged_xorb_to_the_cas_fails(alice: HfApi, repo: str, hub: LocalHub) -> None:
    content = random_bytes(300_000, "damaged xorb")
    before, stored = head(alice, repo), stored_xorbs(hub, repo)
    hub.faults.add("POST", "/v1/xorb-grants/", status=404, times=9)
    hub.faults.add("POST", "/v1/xorbs/", flip_bit=True)
    with pytest.raises(ConnectionError):
        upload(alice, repo, content)
    assert (head(alice, repo), stored_xorbs(hub, repo)) == (before, stored)


def test_upload_of_a_damaged_shard_fails(alice: HfApi, repo: str, hub: LocalHub) -> None:
    before = head(alice, repo)
    hub.faults.add("POST", "/v2/shards", flip_bit=True)
    with pytest.raises(RuntimeError):
        upload(alice, repo, random_bytes(300_000, "damaged shard"))
    assert head(alice, repo) == before
