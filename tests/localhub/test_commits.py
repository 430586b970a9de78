"""Commits and LFS uploads, through the client and without it, checked with git."""

import base64
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import (
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub._commit_api import CommitOperation
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from tests.localhub.helpers import Ask, Names, add, file, git, git_in, head, lfs, status
from ved.localhub import LocalHub

pytestmark = pytest.mark.hub


def is_lfs(clone: Path, path: str) -> bool:
    return git_in(clone, "check-attr", "filter", path).endswith(": lfs\n")


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != ".gitattributes"
    }


def commit_lines(ask: Ask, repo: str, *lines: dict[str, Any], **values: str) -> httpx2.Response:
    """Commit without the client, which refuses or changes what these tests send."""
    first = {"key": "header", "value": {"summary": "raw", **values}}
    body = "\n".join(json.dumps(line) for line in [first, *lines])
    return ask("POST", f"/api/models/{repo}/commit/main", content=body)


def file_line(path: str, content: bytes = b"content") -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    return {"key": "file", "value": {"path": path, "content": encoded, "encoding": "base64"}}


def test_commit_of_a_folder_can_be_downloaded(
    hub: LocalHub, names: Names, alice: HfApi, repo: str, folder: Path
) -> None:
    commit = alice.upload_folder(repo_id=repo, folder_path=folder, commit_message="All of it")
    snapshot = snapshot_download(repo, endpoint=hub.endpoint)
    assert contents(Path(snapshot)) == contents(folder)
    assert head(alice, repo) == commit.oid
    assert git(hub, repo, "rev-parse", "main").strip() == commit.oid
    assert (
        git(hub, repo, "log", "--format=%s by %an")
        == f"All of it by {names.alice}\ninitial commit by {names.alice}\n"
    )
    assert git(hub, repo, "fsck", "--strict", "--full") == ""


def test_large_files_are_stored_as_git_lfs_stores_them(
    hub: LocalHub, alice: HfApi, repo: str, folder: Path, tmp_path: Path
) -> None:
    alice.upload_folder(repo_id=repo, folder_path=folder)
    git(hub, repo, "clone", "--quiet", ".", str(tmp_path / "clone"))
    for name in ("flax_model.msgpack", "model.safetensors"):
        content = (folder / name).read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        pointer = (
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{sha256}\nsize {len(content)}\n"
        )
        assert (tmp_path / "clone" / name).read_text() == pointer
        stored = hub.repository_path(repo) / "lfs/objects" / sha256[:2] / sha256[2:4] / sha256
        assert stored.read_bytes() == content
        assert is_lfs(tmp_path / "clone", name)


def test_upload_splits_objects_above_the_threshold(
    hub: LocalHub, alice: HfApi, repo: str, folder: Path
) -> None:
    alice.upload_folder(repo_id=repo, folder_path=folder)
    puts = [exchange.bytes_in for exchange in hub.requests if exchange.method == "PUT"]
    assert sorted(puts) == [25_600, 56_000, 100_000, 100_000]


def test_upload_skips_an_existing_object(
    hub: LocalHub, alice: HfApi, repo: str, folder: Path
) -> None:
    alice.upload_folder(repo_id=repo, folder_path=folder)
    hub.requests.clear()
    weights = folder / "model.safetensors"
    alice.upload_file(path_or_fileobj=weights, path_in_repo="copy.safetensors", repo_id=repo)
    assert "PUT" not in [exchange.method for exchange in hub.requests]
    downloaded = hf_hub_download(repo, "copy.safetensors", endpoint=hub.endpoint)
    assert Path(downloaded).read_bytes() == weights.read_bytes()


def test_preupload_returns_modes_ignored_files_and_ids(
    alice: HfApi, repo: str, folder: Path, ask: Ask
) -> None:
    alice.upload_folder(repo_id=repo, folder_path=folder)
    alice.upload_file(path_or_fileobj=b"*.log\n", path_in_repo=".gitignore", repo_id=repo)
    sizes = {"model.safetensors": 1, "README.md": 1, "big.txt": 10 * 2**20 + 1, "x.log": 1}
    files = [{"path": path, "size": size, "sample": ""} for path, size in sizes.items()]
    answer = ask("POST", f"/api/models/{repo}/preupload/main", json={"files": files}).json()
    modes = {file["path"]: file for file in answer["files"]}
    assert {path: file["uploadMode"] for path, file in modes.items()} == {
        "model.safetensors": "lfs",
        "README.md": "regular",
        "big.txt": "lfs",
        "x.log": "regular",
    }
    assert [path for path, file in modes.items() if file["shouldIgnore"]] == ["x.log"]
    assert modes["README.md"]["oid"] == file(alice, repo, "README.md").blob_id
    assert modes["model.safetensors"]["oid"] == lfs(alice, repo, "model.safetensors").sha256


def test_commit_tracks_a_large_file_of_any_name(
    hub: LocalHub, alice: HfApi, repo: str, tmp_path: Path
) -> None:
    content = bytes(10 * 2**20 + 1)
    alice.upload_file(path_or_fileobj=content, path_in_repo="a folder/[1].txt", repo_id=repo)
    assert lfs(alice, repo, "a folder/[1].txt").size == len(content)
    git(hub, repo, "clone", "--quiet", ".", str(tmp_path / "clone"))
    assert is_lfs(tmp_path / "clone", "a folder/[1].txt")
    assert not is_lfs(tmp_path / "clone", "a folder/1.txt")


def test_commit_refuses_a_regular_file_above_the_limit(ask: Ask, alice: HfApi, repo: str) -> None:
    answer = commit_lines(ask, repo, file_line("big.txt", bytes(10 * 2**20 + 1)))
    assert answer.status_code == 400
    assert alice.list_repo_files(repo) == [".gitattributes"]


def test_commit_refuses_a_stale_parent(alice: HfApi, repo: str) -> None:
    first = head(alice, repo)
    second = alice.create_commit(repo, [add("a")], commit_message="second", parent_commit=first).oid
    with pytest.raises(HfHubHTTPError) as error:
        alice.create_commit(repo, [add("b")], commit_message="third", parent_commit=first)
    assert status(error) == 412
    assert head(alice, repo) == second


def test_commit_accepts_one_of_several_on_one_parent(alice: HfApi, repo: str, ask: Ask) -> None:
    parent = head(alice, repo)
    with ThreadPoolExecutor(8) as pool:
        statuses = pool.map(
            lambda i: commit_lines(ask, repo, file_line(f"{i}"), parentCommit=parent).status_code,
            range(8),
        )
    assert sorted(statuses) == [200] + [412] * 7
    assert len(alice.list_repo_commits(repo)) == 2


def test_commit_accepts_concurrent_commits_without_parent(
    hub: LocalHub, alice: HfApi, repo: str, ask: Ask
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: commit_lines(ask, repo, file_line(f"{i}")), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert set(alice.list_repo_files(repo)) == {".gitattributes", *"01234567"}
    assert git(hub, repo, "fsck", "--strict") == ""


def test_commit_refuses_a_missing_lfs_object(alice: HfApi, repo: str, ask: Ask) -> None:
    before = head(alice, repo)
    large = {"path": "x.bin", "algo": "sha256", "oid": "0" * 64, "size": 3}
    answer = commit_lines(ask, repo, file_line("a"), {"key": "lfsFile", "value": large})
    assert answer.status_code == 400
    assert head(alice, repo) == before


def test_commit_refuses_a_wrong_lfs_size(alice: HfApi, repo: str, ask: Ask) -> None:
    alice.upload_file(path_or_fileobj=b"abc", path_in_repo="x.bin", repo_id=repo)
    before = head(alice, repo)
    wrong = {"path": "y.bin", "algo": "sha256", "oid": lfs(alice, repo, "x.bin").sha256, "size": 4}
    assert commit_lines(ask, repo, {"key": "lfsFile", "value": wrong}).status_code == 400
    assert head(alice, repo) == before


@pytest.mark.parametrize(
    "path",
    [
        *("../x", "a/../b", "/etc/passwd", "./x", "a//b", "a/", "", "a\\b", "a\nb", "a\0b"),
        *(".git/config", "a/.GIT/x", "git~1/x", ".git./x", ".g\u200cit/x"),
    ],
)
def test_commit_refuses_a_path_that_git_cannot_check_out(
    alice: HfApi, repo: str, ask: Ask, path: str
) -> None:
    assert commit_lines(ask, repo, file_line(path)).status_code == 400
    assert alice.list_repo_files(repo) == [".gitattributes"]


def test_commit_refuses_a_path_that_is_a_file_and_a_folder(ask: Ask, repo: str) -> None:
    assert commit_lines(ask, repo, file_line("a"), file_line("a/b")).status_code == 400
    assert commit_lines(ask, repo, file_line("a")).status_code == 200
    assert commit_lines(ask, repo, file_line("a/b")).status_code == 400


@pytest.mark.parametrize("line", ["{", '{"key": "mystery", "value": {}}', "[]"])
def test_commit_refuses_malformed_lines(ask: Ask, repo: str, line: str) -> None:
    header = '{"key": "header", "value": {"summary": "x"}}\n'
    answer = ask("POST", f"/api/models/{repo}/commit/main", content=header + line)
    assert answer.status_code == 400


def test_commit_refuses_wrong_card_metadata(ask: Ask, repo: str) -> None:
    answer = commit_lines(ask, repo, file_line("README.md", b"---\nlicense: NO SUCH\n---\n"))
    assert answer.status_code == 400
    assert "license" in answer.json()["error"]


def test_commit_deletes_and_copies_files(alice: HfApi, repo: str, folder: Path) -> None:
    alice.upload_folder(repo_id=repo, folder_path=folder)
    operations: list[CommitOperation] = [
        CommitOperationDelete("tokenizer/"),
        CommitOperationDelete("README.md"),
        CommitOperationCopy("model.safetensors", "moved/model.safetensors"),
    ]
    alice.create_commit(repo, operations, commit_message="rearrange")
    assert set(alice.list_repo_files(repo)) == {
        ".gitattributes",
        "flax_model.msgpack",
        "model.safetensors",
        "moved/model.safetensors",
    }


@pytest.mark.parametrize("missing", ["no-such-file", "no-such-folder/"])
def test_commit_refuses_to_delete_a_missing_entry(alice: HfApi, repo: str, missing: str) -> None:
    with pytest.raises(EntryNotFoundError):
        alice.create_commit(repo, [CommitOperationDelete(missing)], commit_message="delete")


def test_upload_skips_ignored_files(alice: HfApi, repo: str, tmp_path: Path) -> None:
    for name in (".gitignore", "kept.txt", "trace.log"):
        (tmp_path / name).write_text("*.log\n")
    alice.upload_folder(repo_id=repo, folder_path=tmp_path)
    assert set(alice.list_repo_files(repo)) == {".gitattributes", ".gitignore", "kept.txt"}


def test_lfs_verify_checks_existence_and_size(
    alice: HfApi, repo: str, folder: Path, ask: Ask
) -> None:
    alice.upload_folder(repo_id=repo, folder_path=folder)
    content = (folder / "model.safetensors").read_bytes()
    verify = f"/{repo}.git/info/lfs/objects/verify"
    oid = hashlib.sha256(content).hexdigest()
    for payload, expected in [
        ({"oid": oid, "size": len(content)}, 200),
        ({"oid": oid, "size": 1}, 400),
        ({"oid": "0" * 64, "size": 1}, 404),
        ({"oid": "../../secret", "size": 1}, 400),
    ]:
        assert ask("POST", verify, json=payload).status_code == expected


def test_lfs_urls_need_a_signature(ask: Ask, repo: str) -> None:
    assert ask("PUT", f"/lfs/models/{repo}/{'0' * 64}/3", content=b"abc").status_code == 403
    assert ask("GET", f"/lfs/models/{repo}/{'0' * 64}?signature=abc").status_code == 403


def test_lfs_batch_answers_basic_if_xet_is_offered(ask: Ask, repo: str) -> None:
    offered = {
        "operation": "upload",
        "transfers": ["basic", "multipart", "xet"],
        "objects": [{"oid": "0" * 64, "size": 3}],
        "ref": {"name": "main"},
    }
    answer = ask("POST", f"/{repo}.git/info/lfs/objects/batch", json=offered).json()
    assert answer["transfer"] == "basic"


def test_commit_refuses_a_pull_request(alice: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        alice.create_commit(repo, [add("x")], commit_message="propose", create_pr=True)
    assert status(error) == 501
    assert alice.list_repo_files(repo) == [".gitattributes"]
