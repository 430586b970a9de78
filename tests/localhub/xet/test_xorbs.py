"""Xorbs: their checks, grants, and the bucket."""

import base64

import anycrc
import lz4.frame
import pytest

from tests.localhub.xet.helpers import (
    Cas,
    plain_xorb,
    random_bytes,
    stored_xorbs,
    xorb_name,
)
from tests.support.web import web
from ved.localhub import LocalHub

pytestmark = pytest.mark.hub

CHUNKS = [random_bytes(70_000, "chunk 1"), random_bytes(50_000, "chunk 2")]
XORB = plain_xorb(CHUNKS)

FRAME = lz4.frame.compress(bytes(50_000))
FRAMES = b"\0" + len(FRAME).to_bytes(3, "little") + b"\1" + (50_000).to_bytes(3, "little") + FRAME
NAME = xorb_name(CHUNKS)


def named(chunks: list[bytes]) -> tuple[str, bytes]:
    return xorb_name(chunks), plain_xorb(chunks)


MALFORMED = {
    "another content": (NAME, plain_xorb([CHUNKS[1], CHUNKS[0]])),
    "truncated data": (NAME, XORB[:-1]),
    "truncated header": (NAME, XORB + b"\0\0"),
    "truncated frame": (xorb_name([bytes(50_000)]), FRAMES[:-4]),
    "unknown version": (NAME, b"\1" + XORB[1:]),
    "unknown scheme": (NAME, XORB[:4] + b"\3" + XORB[5:]),
    "no LZ4 frame": (NAME, XORB[:4] + b"\1" + XORB[5:]),
    "another size": (NAME, XORB[:5] + b"\0" + XORB[6:]),
    "no chunks": named([]),
    "empty chunk": named([b""]),
    "over 8192 chunks": named([b"x"] * 8193),
    "chunk over 128 KiB": named([bytes(128 * 1024 + 1)]),
}


@pytest.mark.parametrize(("name", "body"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_xorb_is_refused(
    cas: Cas, hub: LocalHub, repo: str, name: str, body: bytes
) -> None:
    before = stored_xorbs(hub, repo)
    answer = cas.ask("POST", f"/v1/xorbs/default/{name}", content=body)
    assert answer.status_code == 400
    assert stored_xorbs(hub, repo) == before


def test_xorb_may_have_compressed_chunks(cas: Cas) -> None:
    answer = cas.ask("POST", f"/v1/xorbs/default/{xorb_name([bytes(50_000)])}", content=FRAMES)
    assert answer.json() == {"was_inserted": True}


def test_xorb_may_end_with_a_footer(cas: Cas) -> None:
    path = f"/v1/xorbs/default/{xorb_name(CHUNKS)}"
    for expected in (True, False):
        answer = cas.ask("POST", path, content=XORB + b"XETBLOB" + bytes(100))
        assert answer.json() == {"was_inserted": expected}


class Granted:
    """A grant for a xorb, and the request that it allows."""

    def __init__(self, cas: Cas, chunks: list[bytes], name: str = "") -> None:
        self.cas, self.body, self.name = cas, plain_xorb(chunks), name or xorb_name(chunks)
        value = anycrc.Model("CRC64-NVME").calc(self.body)
        checksum = {"algo": "crc64nvme", "value": str(value)}
        wanted = {"length": len(self.body), "checksum": checksum}
        answer = cas.ask("POST", f"/v1/xorb-grants/default/{self.name}", json=wanted)
        assert answer.status_code == 201
        self.grant = answer.json()
        assert self.grant["headers"] == {
            "If-None-Match": "*",
            "x-amz-checksum-crc64nvme": base64.b64encode(value.to_bytes(8)).decode(),
        }

    def send(self, body: bytes, **headers: str) -> int:
        headers = self.grant["headers"] | headers
        url = self.grant["url"]
        answer = web.request(self.grant["method"], url, content=body, headers=headers)
        return answer.status_code

    def commit(self) -> int:
        path = f"/v1/xorb-commits/default/{self.name}/grant/{self.grant['id']}"
        return self.cas.ask("POST", path).status_code


def test_bucket_accepts_only_the_granted_request(cas: Cas) -> None:
    granted = Granted(cas, [random_bytes(50_000, "granted")])
    body = granted.body
    assert granted.commit() == 404  # nothing was sent
    assert granted.send(body, authorization="Bearer x") == 400
    assert granted.send(body, **{"If-None-Match": "x"}) == 403
    assert granted.send(body[:-1]) == 400
    assert granted.send(body + b"x") == 400
    assert granted.send(body[:-1] + bytes([body[-1] ^ 1])) == 400
    assert granted.commit() == 404
    assert granted.send(body) == 200
    assert granted.send(body) == 412
    assert granted.commit() == 200
    assert granted.commit() == 404  # the grant is used
    assert granted.send(body) == 400


def test_grant_is_not_needed_for_a_stored_xorb(cas: Cas) -> None:
    chunks = [random_bytes(50_000, "stored")]
    granted = Granted(cas, chunks)
    granted.send(granted.body)
    granted.commit()
    with pytest.raises(AssertionError):
        Granted(cas, chunks)


def test_commit_needs_the_hash_of_its_grant(cas: Cas) -> None:
    granted = Granted(cas, [random_bytes(50_000, "hash of its grant")])
    granted.send(granted.body)
    granted.name = xorb_name([b"another"])
    assert granted.commit() == 404


def test_commit_refuses_a_xorb_with_another_hash(cas: Cas, hub: LocalHub, repo: str) -> None:
    before = stored_xorbs(hub, repo)
    granted = Granted(cas, [random_bytes(50_000, "another hash")], name=xorb_name([b"another"]))
    assert granted.send(granted.body) == 200
    assert granted.commit() == 400
    assert stored_xorbs(hub, repo) == before


def test_bucket_refuses_unsigned_requests(cas: Cas) -> None:
    granted = Granted(cas, [random_bytes(50_000, "unsigned")])
    granted.grant["url"] = granted.grant["url"].replace("signature=", "signature=0")
    assert granted.send(granted.body) == 403
