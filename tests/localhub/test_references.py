"""Branches, tags, history and listings of files."""

import hashlib
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RevisionNotFoundError,
)

from tests.localhub.helpers import Names, add, file, git, head, header, status
from ved.localhub import LocalHub


def test_branches_are_created_and_deleted(alice: HfApi, repo: str) -> None:
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


def test_branch_refuses_a_name_below_another(alice: HfApi, repo: str) -> None:
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
    with pytest.raises(RemoteEntryNotFoundError) as error:
        hf_hub_download(repo, "x", revision="v1.0", endpoint=hub.endpoint)
    assert header(error, "X-Repo-Commit") == before
    assert git(hub, repo, "fsck", "--strict") == ""
    alice.delete_tag(repo, tag="v1.0")
    assert alice.list_repo_refs(repo).tags == []


def test_history_lists_newest_first_in_pages(names: Names, alice: HfApi, repo: str) -> None:
    for number in range(4):
        alice.create_commit(
            repo, [add(f"{number}")], commit_message=f"c{number}", commit_description="More"
        )
    commits = alice.list_repo_commits(repo)
    assert [commit.title for commit in commits] == ["c3", "c2", "c1", "c0", "initial commit"]
    assert (commits[0].authors, commits[0].message) == ([names.alice], "More")


def test_tree_and_paths_list_entries(hub: LocalHub, alice: HfApi, repo: str, folder: Path) -> None:
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
    with pytest.raises(RemoteEntryNotFoundError):
        list(alice.list_repo_tree(repo, "no-such-folder"))
    wanted = ["tokenizer", "no-such-file", "tokenizer/vocab.txt"]
    found = alice.get_paths_info(repo, wanted, expand=True)
    assert [entry.path for entry in found] == ["tokenizer", "tokenizer/vocab.txt"]
    assert found[0].last_commit is not None
    assert found[0].last_commit.title == "deeper"
    assert found[1].last_commit is not None
    assert found[1].last_commit.oid == first.oid


def test_model_info_lists_blobs_and_sizes(alice: HfApi, repo: str, folder: Path) -> None:
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


def test_branch_refuses_a_reserved_name(alice: HfApi, repo: str) -> None:
    with pytest.raises(BadRequestError) as error:
        alice.create_branch(repo, branch="refs/pr/7")
    assert status(error) == 400
