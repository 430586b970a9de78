"""ved.sources.snapshot: which files are downloaded, from where, and how they are checked."""

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants, try_to_load_from_cache

from tests import checkpoints
from tests.support.publishing import TOKEN, client, publish, sent
from tests.support.raising import raises
from ved.errors import ErrorCode
from ved.hub import http, retries
from ved.localhub import LocalHub
from ved.manifest.pair_models import SourceRef
from ved.sources import Snapshot, pin
from ved.sources.snapshot import read_json

WEIGHTS = "model.safetensors"


def published(hub: LocalHub, repo: str, directory: Path) -> Snapshot:
    publish(hub, repo, directory)
    return pin(SourceRef(model=repo), client(hub))


def test_fetch_reads_at_commit(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.vit(tmp_path / "vit")
    snapshot = published(hub, "team/moving", directory)
    client(hub).upload_folder(
        repo_id="team/moving", folder_path=checkpoints.vit(tmp_path / "other", seed=1)
    )
    fetched = snapshot.fetch([WEIGHTS], client(hub))
    assert (fetched / WEIGHTS).read_bytes() == (directory / WEIGHTS).read_bytes()


def test_fetch_from_local_directory_returns_it(hub: LocalHub, sources: dict[str, Path]) -> None:
    snapshot = pin(SourceRef(model=str(sources["vit"])), client(hub))
    assert snapshot.fetch([WEIGHTS], client(hub)) == sources["vit"]
    assert hub.requests == []


def test_fetch_into_own_cache_leaves_default_cache(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.vit(tmp_path / "vit", seed=17)
    snapshot = published(hub, "team/elsewhere", directory)

    fetched = snapshot.fetch([WEIGHTS], client(hub), tmp_path / "cache")

    assert fetched.is_relative_to(tmp_path / "cache")
    assert (fetched / WEIGHTS).read_bytes() == (directory / WEIGHTS).read_bytes()
    cached = try_to_load_from_cache("team/elsewhere", WEIGHTS, revision=snapshot.commit)
    assert cached is None


@pytest.mark.parametrize("status", [403, 501])
@pytest.mark.parametrize("path", ["/", rf"/{WEIGHTS}$"])
def test_fetch_explains_failed_download(
    status: int, path: str, hub: LocalHub, tmp_path: Path
) -> None:
    """A failure between two files is not an incomplete source."""
    snapshot = published(hub, "team/failing", checkpoints.vit(tmp_path / "vit"))
    hub.faults.add("HEAD", f"/team/failing/resolve/.*{path}", times=100, status=status)
    code = ErrorCode.GATED_SOURCE if status == 403 else ErrorCode.HUB_DOES_NOT_ANSWER
    with raises(code, "team/failing"):
        snapshot.fetch(["config.json", WEIGHTS], client(hub))


def test_fetch_resumes_truncated_download(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_xet: None
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    weights = checkpoints.vit(tmp_path / "vit", hidden_size=128) / WEIGHTS
    snapshot = published(hub, "team/cut", weights.parent)
    hub.faults.add("GET", "/lfs/models/team/cut/", times=2, cut_response=500_000)
    hub.requests.clear()

    fetched = snapshot.fetch([WEIGHTS], http.connect(TOKEN), tmp_path / "cache")

    assert (fetched / WEIGHTS).read_bytes() == weights.read_bytes()
    size = weights.stat().st_size
    assert size > 1_000_000
    # Each truncation loses less than a chunk.
    assert size <= sent(hub, weights) < size + 2 * constants.DOWNLOAD_CHUNK_SIZE


def test_fetch_downloads_damaged_file_again(
    hub: LocalHub, tmp_path: Path, caplog: pytest.LogCaptureFixture, without_xet: None
) -> None:
    directory = checkpoints.vit(tmp_path / "vit")
    snapshot = published(hub, "team/flipped", directory)
    hub.faults.add("GET", "/lfs/models/team/flipped/", flip_bit=True)
    fetched = snapshot.fetch([WEIGHTS], client(hub), tmp_path / "cache")
    assert (fetched / WEIGHTS).read_bytes() == (directory / WEIGHTS).read_bytes()


def test_fetch_refuses_file_that_is_damaged_twice(
    hub: LocalHub, tmp_path: Path, without_xet: None
) -> None:
    snapshot = published(hub, "team/flipped-twice", checkpoints.vit(tmp_path / "vit"))
    hub.faults.add("GET", "/lfs/models/team/flipped-twice/", times=2, flip_bit=True)
    with raises(ErrorCode.DAMAGED_SOURCE, WEIGHTS, snapshot.sha256[WEIGHTS]):
        snapshot.fetch([WEIGHTS], client(hub), tmp_path / "cache")


def test_fetch_checks_no_digest_that_the_hub_does_not_report(
    hub: LocalHub, tmp_path: Path, without_xet: None
) -> None:
    snapshot = published(hub, "team/plain", checkpoints.vit(tmp_path / "vit"))
    hub.faults.add("GET", "/lfs/models/team/plain/", flip_bit=True)
    replace(snapshot, sha256={}).fetch([WEIGHTS], client(hub), tmp_path / "cache")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b'"text"', b"[" * 100_000])
def test_read_json_refuses_other_content(content: bytes, hub: LocalHub, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    snapshot = pin(SourceRef(model=str(tmp_path)), client(hub))
    with raises(ErrorCode.DAMAGED_SOURCE, "a.json", str(tmp_path)):
        read_json(snapshot, "a.json", client(hub))
