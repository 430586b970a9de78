"""Shards: their checks, and the chunks that dedup queries find in them."""

import json

import pytest
from huggingface_hub import HfApi

from tests.localhub.xet.helpers import (
    Cas,
    random_bytes,
    upload,
)
from ved.localhub import LocalHub
from ved.localhub.xet import hashes
from ved.localhub.xet.shards import parse_shard

pytestmark = pytest.mark.hub

RECORD = 48  # bytes of a record in a shard


def shard_of(hub: LocalHub, repo: str) -> bytes:
    """Return the shard that was uploaded last."""
    folder = hub.repository_path(repo).parents[3] / "xet" / "shards"
    return max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns).read_bytes()


# The records of a shard with one file of one term: header, file, term, verification, metadata, end,
# xorb, chunks, end.
WRONG_FIELDS = {
    "tag": (0, 0),
    "version": (0, 32),
    "file hash": (1, 0),
    "no verification": (1, 35),
    "number of terms": (1, 36),
    "xorb of a term": (2, 0),
    "size of a term": (2, 36),
    "begin of a term": (2, 40),
    "end of a term": (2, 44),
    "end of a term outside of the xorb": (2, 47),
    "verification hash": (3, 0),
    "SHA-256": (4, 0),
    "hash of a xorb": (6, 0),
    "number of chunks": (6, 36),
    "hash of a chunk": (7, 0),
    "size of a chunk": (7, 36),
    "end": (-1, 0),
}


@pytest.mark.parametrize(("record", "offset"), WRONG_FIELDS.values(), ids=WRONG_FIELDS)
def test_shard_with_a_wrong_field_is_refused(
    cas: Cas, alice: HfApi, published: str, hub: LocalHub, record: int, offset: int
) -> None:
    upload(
        alice, published, random_bytes(200_000, "wrong field", record, offset), "other.safetensors"
    )
    shard = bytearray(shard_of(hub, published))
    shard[record * RECORD % len(shard) + offset] ^= 0x80
    answer = cas.ask("POST", "/v1/shards", content=bytes(shard))
    assert answer.status_code == 400
    *_, last = cas.ask("POST", "/v2/shards", content=bytes(shard)).text.splitlines()
    assert json.loads(last)["type"] == "error"
    assert json.loads(last)["retryable"] is False
    assert shard_of(hub, published) != bytes(shard)


def test_shard_cannot_give_a_file_the_sha256_of_another(
    cas: Cas, alice: HfApi, repo: str, hub: LocalHub
) -> None:
    upload(alice, repo, random_bytes(200_000, "SHA-256 a"), "a.safetensors")
    first = shard_of(hub, repo)
    upload(alice, repo, random_bytes(200_000, "SHA-256 b"), "b.safetensors")
    second = shard_of(hub, repo)
    metadata = slice(4 * RECORD, 5 * RECORD)
    wrong = second[: metadata.start] + first[metadata] + second[metadata.stop :]
    assert cas.ask("POST", "/v1/shards", content=wrong).status_code == 400


def test_dedup_knows_first_chunks_eligible_hashes_and_marked_chunks(
    cas: Cas, alice: HfApi, repo: str, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ved.localhub.xet.cas._DEDUP_REMAINDER", 4)
    upload(alice, repo, random_bytes(1_500_000, "eligible"))
    shard = bytearray(shard_of(hub, repo))
    (xorb,) = parse_shard(bytes(shard)).xorbs
    chunks = [chunk for chunk, _ in xorb.chunks]
    expected = {chunks[0]} | {chunk for chunk in chunks if hashes.last_word(chunk) % 4 == 0}
    assert 1 < len(expected) < len(chunks)

    def known() -> set[bytes]:
        paths = {chunk: f"/v1/chunks/default/{hashes.to_text(chunk)}" for chunk in chunks}
        return {chunk for chunk in chunks if cas.ask("GET", paths[chunk]).status_code == 200}

    assert known() == expected
    marked = next(index for index, chunk in enumerate(chunks) if chunk not in expected)
    shard[(7 + marked) * RECORD + 43] |= 0x80  # the flag for eligible chunks
    assert cas.ask("POST", "/v1/shards", content=bytes(shard)).status_code == 200
    assert known() == expected | {chunks[marked]}


def test_shard_is_known_the_second_time(cas: Cas, alice: HfApi, repo: str, hub: LocalHub) -> None:
    upload(alice, repo, random_bytes(200_000, "second time"))
    shard = shard_of(hub, repo)
    assert cas.ask("POST", "/v1/shards", content=shard).json() == {"result": 0}
    *_, last = cas.ask("POST", "/v2/shards", content=shard).text.splitlines()
    assert json.loads(last) == {"type": "result"}
