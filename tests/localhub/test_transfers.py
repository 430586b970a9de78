"""Transfers: ranges, resumption, faults, rate limits, and the log of requests."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from huggingface_hub import HfApi, RepoFile, constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RevisionNotFoundError,
)
from safetensors.numpy import save_file

from tests.localhub.helpers import eventually, file, head, header, lfs, status
from tests.support.web import web
from ved.localhub import Exchange, LocalHub

pytestmark = pytest.mark.hub

SIZE = 300_000  # bytes: three parts at the hub's multipart threshold


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Create a safetensors file of a little more than SIZE bytes."""
    path = tmp_path / "model.safetensors"
    values = np.arange(SIZE, dtype=np.uint8)
    save_file({"weights": values}, path)
    return path


@pytest.fixture
def published(alice: HfApi, repo: str, weights: Path, hub: LocalHub) -> str:
    """Publish the weights and return their repo."""
    alice.upload_file(path_or_fileobj=weights, path_in_repo=weights.name, repo_id=repo)
    hub.requests.clear()
    return repo


def upload(api: HfApi, repo: str, path: Path) -> None:
    api.upload_file(path_or_fileobj=path, path_in_repo=path.name, repo_id=repo)


def download(hub: LocalHub, repo: str, name: str = "model.safetensors") -> bytes:
    return Path(hf_hub_download(repo, name, endpoint=hub.endpoint)).read_bytes()


def matching(hub: LocalHub, method: str, path: str = "") -> list[Exchange]:
    return [e for e in hub.requests if e.method == method and path in e.path]


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()


def test_download_of_a_safetensors_header_omits_the_weights(
    alice: HfApi, published: str, hub: LocalHub
) -> None:
    metadata = alice.parse_safetensors_file_metadata(published, "model.safetensors")
    assert metadata.tensors["weights"].shape == [SIZE]
    reads = matching(hub, "GET", "/lfs/")
    assert {read.status for read in reads} == {206}
    assert sum(read.bytes_out for read in reads) < SIZE


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_download_serves_ranges(
    alice: HfApi, published: str, hub: LocalHub, weights: Path, name: str
) -> None:
    config = b'{"model_type": "vit"}'
    alice.upload_file(path_or_fileobj=config, path_in_repo="config.json", repo_id=published)
    content = weights.read_bytes() if name == weights.name else config
    url = hf_hub_url(published, name, endpoint=hub.endpoint)
    for wanted, expected in [("0-0", content[:1]), ("5-9", content[5:10]), ("-4", content[-4:])]:
        answer = web.get(url, headers={"Range": f"bytes={wanted}"})
        assert (answer.status_code, answer.content) == (206, expected)
    assert web.get(url, headers={"Range": "bytes=9999999-"}).status_code == 416


def test_resolve_head_has_commit_size_and_hash(alice: HfApi, published: str, hub: LocalHub) -> None:
    url = hf_hub_url(published, "model.safetensors", endpoint=hub.endpoint)
    answer = web.head(follow_redirects=False, url=url)
    assert answer.status_code == 302
    assert answer.headers["X-Repo-Commit"] == head(alice, published)
    expected = lfs(alice, published, "model.safetensors")
    assert answer.headers["X-Linked-Size"] == str(expected.size)
    assert answer.headers["X-Linked-ETag"] == f'"{expected.sha256}"'
    regular = web.head(
        follow_redirects=False,
        url=hf_hub_url(published, ".gitattributes", endpoint=hub.endpoint),
        timeout=30,
    )
    attributes = file(alice, published, ".gitattributes")
    assert regular.status_code == 200
    assert regular.headers["ETag"] == f'"{attributes.blob_id}"'
    assert regular.headers["Content-Length"] == str(attributes.size)


def test_resolve_distinguishes_missing_files_and_revisions(published: str, hub: LocalHub) -> None:
    with pytest.raises(EntryNotFoundError):
        download(hub, published, "no-such-file")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(published, "x", revision="no-such-branch", endpoint=hub.endpoint)
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(published, "x", revision="0" * 40, endpoint=hub.endpoint)


def test_download_resumes_after_cut_response(
    published: str, hub: LocalHub, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
    hub.faults.add("GET", "/lfs/", cut_response=120_000)
    assert download(hub, published) == weights.read_bytes()
    first, second = matching(hub, "GET", "/lfs/")
    assert (first.status, first.bytes_out) == (200, 120_000)
    # The client keeps whole chunks only.
    assert (second.status, second.bytes_out) == (206, weights.stat().st_size - 100_000)


def test_upload_repeats_after_cut_request(
    alice: HfApi, repo: str, hub: LocalHub, weights: Path
) -> None:
    hub.faults.add("PUT", "/2$", cut_request=50_000)
    upload(alice, repo, weights)
    assert download(hub, repo) == weights.read_bytes()
    first, second = [put for put in matching(hub, "PUT") if put.path.endswith("/2")]
    assert (first.status, first.bytes_in) == (None, 50_000)
    assert (second.status, second.bytes_in) == (200, 100_000)


def test_commit_with_cut_request_changes_nothing(alice: HfApi, repo: str, hub: LocalHub) -> None:
    before = head(alice, repo)
    hub.faults.add("POST", "/commit/main", cut_request=10)
    with pytest.raises(httpx2.TransportError):
        alice.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    assert head(alice, repo) == before


def test_commit_with_cut_response_is_stored(alice: HfApi, repo: str, hub: LocalHub) -> None:
    before = head(alice, repo)
    hub.faults.add("POST", "/commit/main", cut_response=5)
    with pytest.raises(httpx2.TransportError):
        alice.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    assert head(alice, repo) != before


@pytest.mark.parametrize("size", [SIZE, 10_000], ids=["in parts", "in one"])
def test_upload_with_flipped_bit_is_stored_by_the_sha256_of_the_client(
    alice: HfApi, repo: str, hub: LocalHub, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "x.msgpack"
    path.write_bytes(bytes(size))
    hub.faults.add("PUT", "/lfs/", flip_bit=True)
    upload(alice, repo, path)
    stored = download(hub, repo, "x.msgpack")
    assert [byte for byte in stored if byte] == [1]
    (found,) = alice.get_paths_info(repo, "x.msgpack")
    assert isinstance(found, RepoFile)
    assert found.lfs is not None
    assert found.lfs.sha256 == hashlib.sha256(bytes(size)).hexdigest()


def test_download_with_flipped_bit_differs_in_one_bit(
    alice: HfApi, repo: str, hub: LocalHub
) -> None:
    content = bytes(SIZE)
    alice.upload_file(path_or_fileobj=content, path_in_repo="x.msgpack", repo_id=repo)
    hub.faults.add("GET", "/lfs/", flip_bit=True)

    damaged = download(hub, repo, "x.msgpack")

    differences = [a ^ b for a, b in zip(damaged, content, strict=True) if a != b]
    assert differences == [1]


def test_upload_of_the_wrong_length_is_refused(alice: HfApi, repo: str, hub: LocalHub) -> None:
    wanted: dict[str, Any] = {
        "operation": "upload",
        "transfers": ["basic"],
        "objects": [{"oid": "0" * 64, "size": 3}],
    }
    headers = {"authorization": f"Bearer {alice.token}"}
    batch = f"{hub.endpoint}/{repo}.git/info/lfs/objects/batch"
    (item,) = web.post(batch, json=wanted, headers=headers).json()["objects"]
    for body in (b"ab", bytes(5_000_000)):
        answer = web.put(item["actions"]["upload"]["href"], content=body)
        assert answer.status_code == 400


def test_status_fault_sends_retry_after(alice: HfApi, repo: str, hub: LocalHub) -> None:
    hub.faults.add("GET", f"/api/models/{repo}$", status=429, retry_after=7, times=2)
    for _ in range(2):
        with pytest.raises(HfHubHTTPError) as error:
            alice.model_info(repo)
        assert status(error) == 429
        assert header(error, "Retry-After") == "7"
    alice.model_info(repo)


def test_upload_repeats_after_status_503(
    alice: HfApi, repo: str, hub: LocalHub, weights: Path
) -> None:
    hub.faults.add("PUT", "/lfs/", status=503)
    upload(alice, repo, weights)
    assert [put.status for put in matching(hub, "PUT")] == [503, 200, 200, 200, 200]
    assert download(hub, repo) == weights.read_bytes()


def test_download_rate_limits_responses(published: str, hub: LocalHub, weights: Path) -> None:
    hub.faults.download.rate = 1000
    url = hf_hub_url(published, "model.safetensors", endpoint=hub.endpoint)
    with web.stream("GET", url) as answer:
        parts = answer.iter_bytes()
        start = next(parts)
        (exchange,) = matching(hub, "GET", "/lfs/")
        assert (
            exchange.bytes_out < 50_000
        )  # without a limit, the buffers of the sockets take everything
        hub.faults.download.rate = None
        assert start + b"".join(parts) == weights.read_bytes()


def test_upload_rate_limits_requests(alice: HfApi, repo: str, hub: LocalHub, weights: Path) -> None:
    hub.faults.upload.rate = 1000
    hub.requests.clear()
    with in_background(lambda: upload(alice, repo, weights)):
        eventually(lambda: len(matching(hub, "PUT")) == 1 and matching(hub, "PUT")[0].bytes_in > 0)
        assert matching(hub, "PUT")[0].status is None  # at this rate it takes minutes
        hub.faults.upload.rate = None
    assert download(hub, repo) == weights.read_bytes()


def test_delay_outlasts_the_client(hub: LocalHub, repo: str) -> None:
    hub.faults.add("GET", "/refs$", delay=2)
    url = f"{hub.endpoint}/api/models/{repo}/refs"
    with pytest.raises(httpx2.ReadTimeout):
        web.get(url, timeout=0.5)
    assert web.get(url).status_code == 200


def test_requests_lists_methods_paths_and_bytes(
    alice: HfApi, repo: str, hub: LocalHub, tmp_path: Path
) -> None:
    hub.requests.clear()
    content = bytes(1000)
    alice.upload_file(path_or_fileobj=content, path_in_repo="x.bin", repo_id=repo)
    (put,) = matching(hub, "PUT")
    assert put.path.startswith(f"/lfs/models/{repo}/")
    assert (put.status, put.bytes_in, put.bytes_out) == (200, 1000, 0)
    download(hub, repo, "x.bin")
    (get,) = matching(hub, "GET")
    assert (get.status, get.bytes_in, get.bytes_out) == (200, 0, 1000)
    hub.requests.clear()
    assert hub.requests == []
