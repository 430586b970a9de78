"""Commits, LFS uploads, references and pull requests, and what git says of them."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub._commit_api import CommitOperation
from huggingface_hub.community import DiscussionComment
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RevisionNotFoundError

from tests.localhub.helpers import file, head, header, lfs, status
from ved.localhub import LocalHub

Ask = Callable[..., requests.Response]


def git(hub: LocalHub, repo: str, *arguments: str) -> str:
    return git_in(hub.repository_path(repo), *arguments)


def git_in(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def is_lfs(clone: Path, path: str) -> bool:
    return git_in(clone, "check-attr", "filter", path).endswith(": lfs\n")


def add(path: str, content: bytes = b"content") -> CommitOperationAdd:
    return CommitOperationAdd(path, content)


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != ".gitattributes"
    }


def commit_lines(ask: Ask, repo: str, *lines: dict[str, Any], **header: str) -> requests.Response:
    """Commit past the client, which would refuse or prevent what these tests send."""
    first = {"key": "header", "value": {"summary": "raw", **header}}
    body = "\n".join(json.dumps(line) for line in [first, *lines])
    return ask("POST", f"/api/models/{repo}/commit/main", data=body)


def file_line(path: str, content: bytes = b"content") -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    return {"key": "file", "value": {"path": path, "content": encoded, "encoding": "base64"}}


def test_a_folder_comes_back_as_it_went(
    hub: LocalHub, alice: HfApi, repo: str, folder: Path
) -> None:
    commit = alice.upload_folder(repo_id=repo, folder_path=folder, commit_message="All of it")
    snapshot = snapshot_download(repo, endpoint=hub.endpoint)
    assert contents(Path(snapshot)) == contents(folder)
    assert head(alice, repo) == commit.oid
    assert git(hub, repo, "rev-parse", "main").strip() == commit.oid
    assert (
        git(hub, repo, "log", "--format=%s by %an")
        == "All of it by alice\ninitial commit by alice\n"
    )
    assert git(hub, repo, "fsck", "--strict", "--full") == ""


def test_large_files_are_pointers_in_git_and_objects_where_git_lfs_looks(
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


def test_large_objects_go_in_parts_and_small_ones_in_one_put(
    hub: LocalHub, alice: HfApi, repo: str, folder: Path
) -> None:
    alice.upload_folder(repo_id=repo, folder_path=folder)
    puts = [exchange.bytes_in for exchange in hub.requests if exchange.method == "PUT"]
    assert sorted(puts) == [25_600, 56_000, 100_000, 100_000]


def test_an_object_that_is_here_is_not_uploaded_again(
    hub: LocalHub, alice: HfApi, repo: str, folder: Path
) -> None:
    alice.upload_folder(repo_id=repo, folder_path=folder)
    hub.requests.clear()
    weights = folder / "model.safetensors"
    alice.upload_file(path_or_fileobj=weights, path_in_repo="copy.safetensors", repo_id=repo)
    assert "PUT" not in [exchange.method for exchange in hub.requests]
    downloaded = hf_hub_download(repo, "copy.safetensors", endpoint=hub.endpoint)
    assert Path(downloaded).read_bytes() == weights.read_bytes()


def test_preupload_tells_what_is_large_ignored_and_unchanged(
    alice: HfApi, repo: str, folder: Path, ask: Ask
) -> None:
    alice.upload_folder(repo_id=repo, folder_path=folder)
    alice.upload_file(path_or_fileobj=b"*.log\n", path_in_repo=".gitignore", repo_id=repo)
    sizes = {"model.safetensors": 1, "README.md": 1, "big.txt": 10 * 2**20 + 1, "x.log": 1}
    files = [{"path": path, "size": size, "sample": ""} for path, size in sizes.items()]
    answer = ask("POST", f"/api/models/{repo}/preupload/main", json={"files": files}).json()
    told = {file["path"]: file for file in answer["files"]}
    assert {path: file["uploadMode"] for path, file in told.items()} == {
        "model.safetensors": "lfs",
        "README.md": "regular",
        "big.txt": "lfs",
        "x.log": "regular",
    }
    assert [path for path, file in told.items() if file["shouldIgnore"]] == ["x.log"]
    assert told["README.md"]["oid"] == file(alice, repo, "README.md").blob_id
    assert told["model.safetensors"]["oid"] == lfs(alice, repo, "model.safetensors").sha256


def test_a_large_file_of_any_name_becomes_lfs_and_is_tracked(
    hub: LocalHub, alice: HfApi, repo: str, tmp_path: Path
) -> None:
    content = bytes(10 * 2**20 + 1)
    alice.upload_file(path_or_fileobj=content, path_in_repo="a folder/[1].txt", repo_id=repo)
    assert lfs(alice, repo, "a folder/[1].txt").size == len(content)
    git(hub, repo, "clone", "--quiet", ".", str(tmp_path / "clone"))
    assert is_lfs(tmp_path / "clone", "a folder/[1].txt")
    assert not is_lfs(tmp_path / "clone", "a folder/1.txt")


def test_a_regular_file_above_the_limit_is_refused(ask: Ask, alice: HfApi, repo: str) -> None:
    answer = commit_lines(ask, repo, file_line("big.txt", bytes(10 * 2**20 + 1)))
    assert answer.status_code == 400
    assert alice.list_repo_files(repo) == [".gitattributes"]


def test_a_stale_parent_is_412_and_changes_nothing(alice: HfApi, repo: str) -> None:
    first = head(alice, repo)
    second = alice.create_commit(repo, [add("a")], commit_message="second", parent_commit=first).oid
    with pytest.raises(HfHubHTTPError) as error:
        alice.create_commit(repo, [add("b")], commit_message="third", parent_commit=first)
    assert status(error) == 412
    assert head(alice, repo) == second


def test_of_concurrent_commits_on_one_parent_exactly_one_wins(
    alice: HfApi, repo: str, ask: Ask
) -> None:
    parent = head(alice, repo)
    with ThreadPoolExecutor(8) as pool:
        statuses = pool.map(
            lambda i: commit_lines(ask, repo, file_line(f"{i}"), parentCommit=parent).status_code,
            range(8),
        )
    assert sorted(statuses) == [200] + [412] * 7
    assert len(alice.list_repo_commits(repo)) == 2


def test_concurrent_commits_on_any_parent_all_land(
    hub: LocalHub, alice: HfApi, repo: str, ask: Ask
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: commit_lines(ask, repo, file_line(f"{i}")), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert set(alice.list_repo_files(repo)) == {".gitattributes", *"01234567"}
    assert git(hub, repo, "fsck", "--strict") == ""


def test_a_commit_whose_lfs_object_is_missing_changes_nothing(
    alice: HfApi, repo: str, ask: Ask
) -> None:
    before = head(alice, repo)
    large = {"path": "x.bin", "algo": "sha256", "oid": "0" * 64, "size": 3}
    answer = commit_lines(ask, repo, file_line("a"), {"key": "lfsFile", "value": large})
    assert answer.status_code == 400
    assert head(alice, repo) == before


def test_a_commit_that_errs_about_an_objects_size_changes_nothing(
    alice: HfApi, repo: str, ask: Ask
) -> None:
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
def test_a_path_that_no_checkout_could_take_is_refused(
    alice: HfApi, repo: str, ask: Ask, path: str
) -> None:
    assert commit_lines(ask, repo, file_line(path)).status_code == 400
    assert alice.list_repo_files(repo) == [".gitattributes"]


def test_a_path_cannot_be_a_file_and_a_folder(ask: Ask, repo: str) -> None:
    assert commit_lines(ask, repo, file_line("a"), file_line("a/b")).status_code == 400
    assert commit_lines(ask, repo, file_line("a")).status_code == 200
    assert commit_lines(ask, repo, file_line("a/b")).status_code == 400


@pytest.mark.parametrize("line", ["{", '{"key": "mystery", "value": {}}', "[]"])
def test_a_malformed_commit_is_400(ask: Ask, repo: str, line: str) -> None:
    header = '{"key": "header", "value": {"summary": "x"}}\n'
    answer = ask("POST", f"/api/models/{repo}/commit/main", data=header + line)
    assert answer.status_code == 400


def test_wrong_metadata_is_refused_in_the_commit_itself(ask: Ask, repo: str) -> None:
    answer = commit_lines(ask, repo, file_line("README.md", b"---\nlicense: NO SUCH\n---\n"))
    assert answer.status_code == 400
    assert "license" in answer.json()["error"]


def test_files_and_folders_are_deleted_and_copied(alice: HfApi, repo: str, folder: Path) -> None:
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
def test_deleting_what_is_not_there_is_entry_not_found(
    alice: HfApi, repo: str, missing: str
) -> None:
    with pytest.raises(EntryNotFoundError):
        alice.create_commit(repo, [CommitOperationDelete(missing)], commit_message="delete")


def test_ignored_files_are_left_out(alice: HfApi, repo: str, tmp_path: Path) -> None:
    for name in (".gitignore", "kept.txt", "trace.log"):
        (tmp_path / name).write_text("*.log\n")
    alice.upload_folder(repo_id=repo, folder_path=tmp_path)
    assert set(alice.list_repo_files(repo)) == {".gitattributes", ".gitignore", "kept.txt"}


def test_a_pull_request_leaves_main_alone(hub: LocalHub, alice: HfApi, repo: str) -> None:
    before = head(alice, repo)
    commit = alice.create_commit(
        repo, [add("x.bin")], commit_message="Add x", commit_description="Why", create_pr=True
    )
    assert commit.pr_revision == "refs/pr/1"
    assert commit.pr_url == f"{hub.endpoint}/{repo}/discussions/1"
    assert head(alice, repo) == before
    assert git(hub, repo, "rev-parse", "refs/pr/1").strip() == commit.oid
    second = alice.create_commit(
        repo, [add("y")], commit_message="Add y", revision="refs/pr/1", parent_commit=commit.oid
    )
    files = alice.list_repo_files(repo, revision="refs/pr/1")
    assert files == [".gitattributes", "x.bin", "y"]
    details = alice.get_discussion_details(repo, 1)
    assert (details.title, details.status, details.is_pull_request) == ("Add x", "open", True)
    assert details.target_branch == "refs/heads/main"
    comment, *commits = details.events
    assert isinstance(comment, DiscussionComment)
    assert comment.content == "Why"
    assert [getattr(event, "oid", None) for event in commits] == [commit.oid, second.oid]
    refs = alice.list_repo_refs(repo, include_pull_requests=True)
    assert [(ref.ref, ref.target_commit) for ref in refs.pull_requests or []] == [
        ("refs/pr/1", second.oid)
    ]


def test_a_pull_request_begins_at_the_parent_it_names(alice: HfApi, repo: str) -> None:
    first = head(alice, repo)
    alice.create_commit(repo, [add("a")], commit_message="second")
    commit = alice.create_commit(
        repo, [add("b")], commit_message="from the first", create_pr=True, parent_commit=first
    )
    assert alice.list_repo_files(repo, revision=commit.pr_revision) == [".gitattributes", "b"]


def test_strangers_propose_and_continue_their_own_pull_request_only(
    alice: HfApi, bob: HfApi, repo: str
) -> None:
    alice.create_commit(repo, [add("a")], commit_message="alice's", create_pr=True)
    bobs = bob.create_commit(repo, [add("b.bin")], commit_message="bob's", create_pr=True)
    assert bobs.pr_revision == "refs/pr/2"
    bob.create_commit(repo, [add("c.bin")], commit_message="more", revision="refs/pr/2")
    with pytest.raises(HfHubHTTPError) as error:
        bob.create_commit(repo, [add("d")], commit_message="meddle", revision="refs/pr/1")
    assert status(error) == 403


def test_discussions_and_pull_requests_share_their_numbers(alice: HfApi, repo: str) -> None:
    assert alice.create_discussion(repo, title="Hello", description="Hi").num == 1
    draft = alice.create_pull_request(repo, title="Soon")
    assert (draft.num, draft.status) == (2, "draft")
    listed = [(known.num, known.is_pull_request) for known in alice.get_repo_discussions(repo)]
    assert listed == [(2, True), (1, False)]


def test_branches(alice: HfApi, repo: str) -> None:
    start = head(alice, repo)
    alice.create_branch(repo, branch="feature/one")
    commit = alice.create_commit(
        repo, [add("x")], commit_message="on the branch", revision="feature/one"
    )
    alice.create_branch(repo, branch="again", revision="feature/one")
    with pytest.raises(HfHubHTTPError) as error:
        alice.create_branch(repo, branch="again")
    assert status(error) == 409
    refs = {ref.name: ref.target_commit for ref in alice.list_repo_refs(repo).branches}
    assert refs == {"main": start, "feature/one": commit.oid, "again": commit.oid}
    alice.delete_branch(repo, branch="feature/one")
    with pytest.raises(RevisionNotFoundError):
        alice.model_info(repo, revision="feature/one")
    with pytest.raises(HfHubHTTPError):
        alice.delete_branch(repo, branch="main")


def test_a_branch_below_another_is_409(alice: HfApi, repo: str) -> None:
    alice.create_branch(repo, branch="a")
    alice.create_branch(repo, branch="b/c")
    for branch in ("a/b", "b"):
        with pytest.raises(HfHubHTTPError) as error:
            alice.create_branch(repo, branch=branch)
        assert status(error) == 409


@pytest.mark.parametrize("message", [None, "The first"])
def test_tags_name_commits(hub: LocalHub, alice: HfApi, repo: str, message: str | None) -> None:
    before = head(alice, repo)
    alice.create_tag(repo, tag="v1.0", tag_message=message)
    alice.create_commit(repo, [add("x")], commit_message="later")
    alice.create_tag(repo, tag="v1.0", exist_ok=True)
    assert alice.model_info(repo, revision="v1.0").sha == before
    (tag,) = alice.list_repo_refs(repo).tags
    assert (tag.name, tag.ref, tag.target_commit) == ("v1.0", "refs/tags/v1.0", before)
    with pytest.raises(EntryNotFoundError) as error:
        hf_hub_download(repo, "x", revision="v1.0", endpoint=hub.endpoint)
    assert header(error, "X-Repo-Commit") == before
    assert git(hub, repo, "fsck", "--strict") == ""
    alice.delete_tag(repo, tag="v1.0")
    assert alice.list_repo_refs(repo).tags == []


def test_history_pages_from_the_newest(alice: HfApi, repo: str) -> None:
    for number in range(4):
        alice.create_commit(
            repo, [add(f"{number}")], commit_message=f"c{number}", commit_description="More"
        )
    commits = alice.list_repo_commits(repo)
    assert [commit.title for commit in commits] == ["c3", "c2", "c1", "c0", "initial commit"]
    assert (commits[0].authors, commits[0].message) == (["alice"], "More")


def test_trees_and_paths(hub: LocalHub, alice: HfApi, repo: str, folder: Path) -> None:
    first = alice.upload_folder(repo_id=repo, folder_path=folder)
    alice.create_commit(repo, [add("tokenizer/new/deep.txt")], commit_message="deeper")
    tree = {entry.path: entry for entry in alice.list_repo_tree(repo, recursive=True)}
    assert set(tree) == {
        *(".gitattributes", "README.md", "flax_model.msgpack", "model.safetensors"),
        *("tokenizer", "tokenizer/vocab.txt", "tokenizer/new", "tokenizer/new/deep.txt"),
    }
    for path, entry in tree.items():
        oid = entry.tree_id if hasattr(entry, "tree_id") else entry.blob_id
        assert oid == git(hub, repo, "rev-parse", f"main:{path}").strip()
    assert file(alice, repo, "model.safetensors").size == 256_000
    assert [entry.path for entry in alice.list_repo_tree(repo, "tokenizer")] == [
        "tokenizer/new",
        "tokenizer/vocab.txt",
    ]
    with pytest.raises(EntryNotFoundError):
        list(alice.list_repo_tree(repo, "no-such-folder"))
    asked = ["tokenizer", "no-such-file", "tokenizer/vocab.txt"]
    found = alice.get_paths_info(repo, asked, expand=True)
    assert [entry.path for entry in found] == ["tokenizer", "tokenizer/vocab.txt"]
    assert found[0].last_commit is not None
    assert found[0].last_commit.title == "deeper"
    assert found[1].last_commit is not None
    assert found[1].last_commit.oid == first.oid


def test_files_metadata_tells_blobs_and_sizes(alice: HfApi, repo: str, folder: Path) -> None:
    alice.upload_folder(repo_id=repo, folder_path=folder)
    siblings = {
        file.rfilename: file for file in alice.model_info(repo, files_metadata=True).siblings or []
    }
    weights = siblings["model.safetensors"]
    assert weights.lfs is not None
    assert (
        weights.lfs.sha256
        == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    )
    assert (weights.size, siblings["tokenizer/vocab.txt"].size) == (256_000, 12)


def test_verification_knows_missing_objects_and_wrong_sizes(
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


def test_urls_that_carry_bytes_are_signed(ask: Ask, repo: str) -> None:
    assert ask("PUT", f"/lfs/models/{repo}/{'0' * 64}/3", data=b"abc").status_code == 403
    assert ask("GET", f"/lfs/models/{repo}/{'0' * 64}?signature=abc").status_code == 403


def test_the_batch_answers_basic_to_who_offers_xet(ask: Ask, repo: str) -> None:
    offered = {
        "operation": "upload",
        "transfers": ["basic", "multipart", "xet"],
        "objects": [{"oid": "0" * 64, "size": 3}],
        "ref": {"name": "main"},
    }
    answer = ask("POST", f"/{repo}.git/info/lfs/objects/batch", json=offered).json()
    assert answer["transfer"] == "basic"
