"""What the Hub tells of repos, whoever wrote it there, and what is made of that."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd

from tests.support.publishing import build_pair, client, heads, pair
from ved.errors import VedError
from ved.localhub import LocalHub
from ved.publishing.repos import (
    ListedRepo,
    RemoteFile,
    TargetRepo,
    list_repos,
    read_published_record,
    read_record_file,
    read_repo,
)
from ved.record import build_record
from ved.record.build_record import BuildRecord, RecordedFile

NUMBERS = count(1)


@pytest.fixture(scope="module")
def built(module_hub: LocalHub, sources: dict[str, Path]) -> str:
    """Publish a pair, and return its repo."""
    assert build_pair(module_hub, pair("owner/target")).action == "built"
    return "owner/target"


@pytest.fixture
def repo(hub: LocalHub) -> Iterator[str]:
    """Lend out an empty repo."""
    name = f"owner/target-{next(NUMBERS)}"
    client(hub).create_repo(name)
    yield name
    client(hub).delete_repo(name)


def commit(hub: LocalHub, repo: str, files: Mapping[str, bytes]) -> str:
    """Commit files, and return the commit."""
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    return client(hub).create_commit(repo, operations, commit_message="By hand").oid


# What a listing tells


def listing_of(hub: LocalHub, repo: str) -> ListedRepo:
    return list_repos("owner", client(hub))[repo]


def test_a_listing_tells_of_a_published_pair_what_its_record_does(
    hub: LocalHub, built: str
) -> None:
    made = read_published_record(read_repo(built, client(hub)), client(hub))
    told = listing_of(hub, built)
    assert (told.fingerprint, told.card_digest) == (made.fingerprint, made.card_digest)
    assert (told.head, told.private) == (heads(hub)[built], False)
    newest, *_ = client(hub).list_repo_commits(built)
    assert told.modified == newest.created_at.timestamp()


def test_a_listing_names_repos_in_lower_case_and_private_ones_to_their_owner_alone(
    hub: LocalHub,
) -> None:
    client(hub).create_repo("owner/Target-Hidden", private=True)
    assert list_repos("owner", client(hub))["owner/target-hidden"].private
    assert "owner/target-hidden" not in list_repos("owner", client(hub, None))
    assert list_repos("nobody-at-all", client(hub)) == {}


CARDS = {
    "no state": "---\nlicense: mit\n---\n",
    "nothing": "---\nved:\n---\n",
    "a list": "---\nved: [fingerprint, words]\n---\n",
    "a text": "---\nved: fingerprint\n---\n",
    "a number": "---\nved: 1\n---\n",
    "no keys": "---\nved: {}\n---\n",
    "other keys": "---\nved: {words_: x, 1: 2}\n---\n",
}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_a_card_that_says_nothing_of_ved_leaves_it_unknown(
    card: str, hub: LocalHub, repo: str
) -> None:
    head = commit(hub, repo, {"README.md": card.encode(), "ved.json": b"{}"})
    told = listing_of(hub, repo)
    assert (told.head, told.fingerprint, told.card_digest) == (head, "", "")


@pytest.mark.parametrize(
    ("state", "fingerprint", "words"),
    [
        ("{fingerprint: [1], words: {a: b}}", "[1]", "{'a': 'b'}"),
        ("{fingerprint: 7}", "7", ""),
        ("{fingerprint: null, words: true}", "None", "True"),
        ("{fingerprint: '<script>', words: 'a | b'}", "<script>", "a | b"),
    ],
)
def test_whatever_a_card_says_is_text_that_no_digest_equals(
    state: str, fingerprint: str, words: str, hub: LocalHub, repo: str
) -> None:
    card = f"---\nved: {state}\n---\n".encode()
    commit(hub, repo, {"README.md": card, "ved.json": b"{}"})
    told = listing_of(hub, repo)
    assert (told.fingerprint, told.card_digest) == (fingerprint, words)


def test_a_card_that_was_copied_to_a_repo_without_a_record_counts_for_nothing(
    hub: LocalHub, built: str, repo: str
) -> None:
    card = Path(client(hub).hf_hub_download(built, "README.md")).read_bytes()
    commit(hub, repo, {"README.md": card})
    assert listing_of(hub, repo).fingerprint == ""
    commit(hub, repo, {"ved.json": b"{}"})
    assert listing_of(hub, repo).fingerprint == listing_of(hub, built).fingerprint


def test_a_listing_that_fails_is_explained(hub: LocalHub) -> None:
    hub.faults.add("GET", "^/api/models$", status=403)
    with pytest.raises(VedError) as caught:
        list_repos("owner", client(hub))
    assert caught.value.cause.startswith("Cannot list the models of owner: ")


# What a repo holds, and what VED published there


@pytest.fixture
def at(hub: LocalHub, built: str) -> TargetRepo:
    """Return the repo of the published pair, as it is."""
    return read_repo(built, client(hub))


@pytest.fixture
def its_record(hub: LocalHub, at: TargetRepo) -> BuildRecord:
    return read_published_record(at, client(hub))


LARGE, SMALL = "model.safetensors", "config.json"
"""A file that the Hub stores by its sha256, and one that is an object of git."""


def with_files(at: TargetRepo, **changes: RemoteFile | None) -> TargetRepo:
    """Return a repo with other files; None takes one away."""
    files = {**at.files, **changes}
    return replace(at, files={name: file for name, file in files.items() if file is not None})


def test_what_was_published_is_unchanged(at: TargetRepo, its_record: BuildRecord) -> None:
    assert at.changed(its_record) == []
    assert its_record.files.keys() | {"ved.json", ".gitattributes"} == at.files.keys()
    assert at.files[LARGE].sha256 is not None
    assert at.files[SMALL].sha256 is None


@pytest.mark.parametrize("name", [LARGE, SMALL])
def test_another_content_is_a_change_whichever_way_it_is_stored(
    name: str, at: TargetRepo, its_record: BuildRecord
) -> None:
    in_git = RemoteFile(size=at.files[name].size, git_oid="0" * 40, sha256=None)
    outside = RemoteFile(size=at.files[name].size, git_oid="0" * 40, sha256="0" * 64)
    for other in (in_git, outside, None):
        assert with_files(at, **{name: other}).changed(its_record) == [name]


@pytest.mark.parametrize("name", [LARGE, SMALL])
def test_the_same_content_is_none_whichever_way_it_is_stored(
    name: str, at: TargetRepo, its_record: BuildRecord
) -> None:
    known = its_record.files[name]
    assert known.git_oid is not None
    in_git = RemoteFile(known.size, known.git_oid, None)
    outside = RemoteFile(known.size, "0" * 40, known.sha256)
    for same in (in_git, outside):
        assert with_files(at, **{name: same}).changed(its_record) == []


def test_a_large_file_that_the_hub_tells_nothing_of_is_not_taken_for_the_same() -> None:
    recorded = RecordedFile(size=2**30, sha256="1" * 64, git_oid=None)
    assert not RemoteFile(size=2**30, git_oid="", sha256=None).holds(recorded)


ADDED = RemoteFile(size=1, git_oid="1" * 40, sha256=None)


@pytest.mark.parametrize(
    "name",
    [
        *("pytorch_model.bin", "tf_model.h5", "model-00001-of-00002.safetensors", "last.ckpt"),
        *("model.safetensors.index.json", "vocab.txt", "spiece.model", "checkpoint-9/model.pt"),
    ],
)
def test_a_file_that_would_be_loaded_is_a_change(
    name: str, at: TargetRepo, its_record: BuildRecord
) -> None:
    assert with_files(at, **{name: ADDED}).changed(its_record) == [name]


@pytest.mark.parametrize("name", ["notes.txt", "LICENSE", "images/cat.png", "runs/events.out"])
def test_a_file_that_would_not_is_none(name: str, at: TargetRepo, its_record: BuildRecord) -> None:
    assert with_files(at, **{name: ADDED}).changed(its_record) == []


def test_all_that_changed_is_named_in_order(at: TargetRepo, its_record: BuildRecord) -> None:
    changes = {SMALL: ADDED, "README.md": None, "pytorch_model.bin": ADDED}
    names = with_files(at, **changes).changed(its_record)
    assert names == ["README.md", SMALL, "pytorch_model.bin"]


# The record that is there


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"null", b"[]", b'"ved"', b"\xff\xfe", b"[" * 100_000),
        *(b'{"format": 2}', b'{"format": 1}', b'{"format": 1, "files": []}'),
    ],
    ids=lambda content: str(content[:20]),
)
def test_a_record_that_is_none_is_explained(content: bytes, hub: LocalHub, repo: str) -> None:
    commit(hub, repo, {"ved.json": content})
    found = read_repo(repo, client(hub))
    with pytest.raises(VedError) as caught:
        read_published_record(found, client(hub))
    assert caught.value.cause.startswith(
        f"ved.json of {found} is no build record that this VED reads: "
    )


def test_a_record_of_absurd_size_is_neither_read_to_its_end_nor_believed(
    hub: LocalHub, built: str, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_file_of_built = read_record_file(read_repo(built, client(hub)), client(hub))
    limit = len(record_file_of_built)
    monkeypatch.setattr(build_record, "MAX_BYTES", limit)
    commit(hub, repo, {"ved.json": record_file_of_built + b" " * 2**22})
    found = read_repo(repo, client(hub))

    assert len(read_record_file(found, client(hub))) <= 2 * (limit + 1)
    with pytest.raises(VedError) as caught:
        read_published_record(found, client(hub))

    assert caught.value.cause == f"ved.json of {found} is absurdly large."
    assert read_published_record(read_repo(built, client(hub)), client(hub)).files


def test_a_record_that_is_not_there_is_explained(hub: LocalHub, repo: str) -> None:
    found = read_repo(repo, client(hub))
    with pytest.raises(VedError) as caught:
        read_published_record(found, client(hub))
    assert caught.value.cause == f"Cannot read ved.json of {found}: a file is not there."


def test_the_record_is_that_of_the_commit_that_was_looked_at(
    hub: LocalHub, built: str, repo: str
) -> None:
    content = read_record_file(read_repo(built, client(hub)), client(hub))
    commit(hub, repo, {"ved.json": content})
    found = read_repo(repo, client(hub))
    commit(hub, repo, {"ved.json": b"{}"})
    assert read_record_file(found, client(hub)) == content
