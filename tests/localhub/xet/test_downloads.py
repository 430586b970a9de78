"""Downloads by Xet, and over the address for clients without it."""

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from tests.localhub.helpers import Names, lfs
from tests.localhub.xet.helpers import (
    WEIGHTS,
    Cas,
    download,
    matching,
    random_bytes,
    upload,
    xet_hash,
)
from tests.support.web import web
from ved.localhub import LocalHub

pytestmark = pytest.mark.hub

HEADER = 8  # bytes before each chunk


@pytest.fixture
def cas(hub: LocalHub, published: str) -> Cas:
    return Cas(hub, published, None)


def read_terms(body: dict[str, Any]) -> bytes:
    """Download the terms of a reconstruction, whose chunks are not compressed."""
    data = b""
    for term in body["terms"]:
        wanted, term_data = term["range"], b""
        url, first, last = address(body, term["hash"], wanted)
        answer = web.get(url, headers={"Range": f"bytes={first}-{last}"})
        assert (answer.status_code, len(answer.content)) == (206, last - first + 1)
        rest = answer.content
        for _ in range(wanted["start"], wanted["end"]):
            size = int.from_bytes(rest[1:4], "little")
            term_data += rest[HEADER : HEADER + size]
            rest = rest[HEADER + size :]
        assert (rest, len(term_data)) == (b"", term["unpacked_length"])
        data += term_data
    return data[body["offset_into_first_range"] :]


def address(body: dict[str, Any], xorb: str, chunks: dict[str, int]) -> tuple[str, int, int]:
    """Return the address and the byte range of some chunks, in either version."""
    if "fetch_info" in body:
        (found,) = [info for info in body["fetch_info"][xorb] if info["range"] == chunks]
        return found["url"], found["url_range"]["start"], found["url_range"]["end"]
    (source,) = body["xorbs"][xorb]
    (stored,) = [r["bytes"] for r in source["ranges"] if r["chunks"] == chunks]
    return source["url"], stored["start"], stored["end"]


def test_download_goes_by_xet(published: str, hub: LocalHub) -> None:
    assert download(hub, published) == WEIGHTS
    assert matching(hub, "GET", "/lfs/") == []
    (get,) = matching(hub, "GET", "/xet/xorbs/")
    assert (get.status, get.bytes_out > len(WEIGHTS)) == (206, True)


def test_download_without_xet_gets_the_assembled_file(
    published: str, hub: LocalHub, without_xet: None
) -> None:
    assert download(hub, published) == WEIGHTS
    assert matching(hub, "GET", "/xet/") == []
    url = f"{hub.endpoint}/{published}/resolve/main/model.safetensors"
    answer = web.get(url, headers={"Range": "bytes=100-199"})
    assert (answer.status_code, answer.content) == (206, WEIGHTS[100:200])


def test_file_from_lfs_is_served_to_all_clients(
    alice: HfApi, repo: str, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random_bytes(300_000, "from LFS")
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        upload(alice, repo, content)
    assert len(matching(hub, "PUT", "/lfs/")) == 1
    assert download(hub, repo) == content
    # Xet learns of the content when it is uploaded by Xet, for any repo.
    other = alice.create_repo(f"{repo}-2").repo_id
    upload(alice, other, content)
    assert xet_hash(hub, repo) == xet_hash(hub, other)


def test_file_has_its_hash_in_listings_and_headers(
    alice: HfApi, published: str, hub: LocalHub
) -> None:
    digest = xet_hash(hub, published)
    listings = [
        web.get(f"{hub.endpoint}/api/models/{published}/tree/main").json(),
        web.post(
            f"{hub.endpoint}/api/models/{published}/paths-info/main",
            data={"paths": ["model.safetensors", ".gitattributes"]},
        ).json(),
    ]
    for listing in listings:
        hashes = {entry["path"]: entry.get("xetHash") for entry in listing}
        assert hashes == {"model.safetensors": digest, ".gitattributes": None}
    url = f"{hub.endpoint}/{published}/resolve/main/model.safetensors"
    answer = web.head(follow_redirects=False, url=url)
    assert answer.headers["X-Linked-ETag"].strip('"') == hashlib.sha256(WEIGHTS).hexdigest()
    assert answer.links["xet-auth"]["url"] == (
        f"{hub.endpoint}/api/models/{published}/xet-read-token/{answer.headers['X-Repo-Commit']}"
    )
    assert answer.links["xet-reconstruction-info"]["url"].endswith(f"/v1/reconstructions/{digest}")
    assert lfs(alice, published, "model.safetensors").size == len(WEIGHTS)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 0), (0, 999_999), (1, 70_000), (500_000, 500_000), (999_999, 999_999), (900_000, 10**9)],
)
def test_reconstruction_of_a_range_has_its_bytes(
    cas: Cas, hub: LocalHub, published: str, version: str, start: int, end: int
) -> None:
    path = f"/{version}/reconstructions/{xet_hash(hub, published)}"
    body = cas.ask("GET", path, headers={"Range": f"bytes={start}-{end}"}).json()
    assert body["offset_into_first_range"] < 128 * 1024  # chunks before the range are left out
    data = read_terms(body)
    expected = WEIGHTS[start : end + 1]
    assert data.startswith(expected)
    assert len(data) - len(expected) < 128 * 1024  # the rest of the last chunk


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_reconstruction_of_several_terms_has_their_bytes(
    alice: HfApi, repo: str, hub: LocalHub, names: Names, version: str
) -> None:
    parts = [random_bytes(300_000, "part", number) for number in range(3)]
    upload(alice, repo, parts[0] + parts[1], "a.safetensors")
    upload(alice, repo, parts[1] + parts[2] + parts[0], "b.safetensors")
    expected = parts[1] + parts[2] + parts[0]
    path = f"/{version}/reconstructions/{xet_hash(hub, repo, 'b.safetensors')}"
    cas = Cas(hub, repo, None)
    answer = cas.ask("GET", path).json()
    assert len(answer["terms"]) > 1
    assert read_terms(answer) == expected
    for start in range(0, len(expected), 97_001):
        range_ = {"Range": f"bytes={start}-{start + 200_000}"}
        data = read_terms(cas.ask("GET", path, headers=range_).json())
        assert data.startswith(expected[start : start + 200_001])


def test_reconstruction_after_the_end_is_416(cas: Cas, hub: LocalHub, published: str) -> None:
    path = f"/v2/reconstructions/{xet_hash(hub, published)}"
    answer = cas.ask("GET", path, headers={"Range": f"bytes={len(WEIGHTS)}-"})
    assert answer.status_code == 416


def test_download_falls_back_to_reconstructions_of_version_1(published: str, hub: LocalHub) -> None:
    hub.faults.add("GET", "/v2/reconstructions/", status=404, times=100)
    assert download(hub, published) == WEIGHTS
    assert len(matching(hub, "GET", "/v1/reconstructions/")) >= 1


@pytest.mark.parametrize("path", ["/v2/reconstructions/", "/xet/xorbs/"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"drop_response": True}, {"cut_response": 100}])
def test_download_repeats_requests(
    published: str, hub: LocalHub, path: str, fault: dict[str, Any]
) -> None:
    hub.faults.add("GET", path, **fault)
    assert download(hub, published) == WEIGHTS
    assert len(matching(hub, "GET", path)) >= 2


def test_download_renews_an_expired_address(tmp_path: Path) -> None:
    with LocalHub(tmp_path, xet=True, address_lifetime=3.0) as hub:
        hub.add_user("alice", token="hf_alice")
        alice = HfApi(hub.endpoint, token="hf_alice")
        alice.create_repo("alice/model")
        upload(alice, "alice/model", WEIGHTS)
        hub.faults.add("GET", "/xet/xorbs/", delay=3.1)
        assert download(hub, "alice/model") == WEIGHTS
        assert next(e.status for e in matching(hub, "GET", "/xet/xorbs/")) == 403
        assert len(matching(hub, "GET", "/v2/reconstructions/")) >= 2


def test_address_is_signed_for_one_path_and_expires(
    cas: Cas, hub: LocalHub, published: str
) -> None:
    body = cas.ask("GET", f"/v1/reconstructions/{xet_hash(hub, published)}").json()
    ((xorb, (info, *_)),) = body["fetch_info"].items()
    assert web.get(info["url"]).status_code == 200
    for changed in (
        info["url"].replace(xorb, "0" * 64),
        info["url"].replace("expires=", f"expires={time.time() + 9e6:.3f}&was="),
        info["url"].split("?")[0],
    ):
        assert web.get(changed).status_code == 403
    assert web.put(info["url"]).status_code == 405
