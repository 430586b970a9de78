"""ved.sources.digests: each file is hashed once, and again after it changed."""

import hashlib
import os
from pathlib import Path

import pytest

from ved.sources import file_sha256


def test_file_sha256_is_that_of_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()


def test_file_sha256_reads_unchanged_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"content")
    digest = file_sha256(tmp_path / "a")
    monkeypatch.delattr(hashlib, "file_digest")
    assert file_sha256(tmp_path / "a") == digest


def test_file_sha256_notices_change_of_same_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    before = file_sha256(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"after!")
    os.utime(tmp_path / "a", ns=(0, 12345))
    assert file_sha256(tmp_path / "a") != before
