"""ved.publishing.repos: listings, states and records of repos, by VED and by others."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd

from tests.support.publishing import build_pair, client, heads, pair
from ved.errors import ErrorCode, VedError
from ved.localhub import LocalHub
from ved.publishing.repos import (
    ListedRepo,
    RemoteFile,
    TargetRepo,
    commit_url,
    list_repos,
    read_published_record,
    read_record_file,
    read_repo,
)
from ved.record import BuildRecord, RecordedFile, build_record

NUMBERS = count(1)


@pytest.fixture(scope="module")
def built(module_hub: LocalHub, sources: dict[str, Path]) -> str:
    """Publish a pair, and return its repo."""
    assert build_pair(module_hub, pair("owner/target")).action == "built"
    return "owner/target"


@pytest.fixture
def repo(hub: LocalHub) -> Iterator[str]:
    """Create an empty repo, and delete it afterwards."""
    name = f"owner/target-{next(NUMBERS)}"
    client(hub).create_repo(name)
    yield name
    client(hub).delete_repo(name)


def commit(hub: LocalHub, repo: str, files: Mapping[str, bytes]) -> str:
    """Commit files, and return the commit."""
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    return client(hub).create_commit(repo, operations, commit_message="By hand").oid


# Listings


def listing_of(hub: LocalHub, repo: str) -> ListedRepo:
    return list_repos("owner", client(hub))[repo]


def test_list_repos_has_digests_of_published_record(hub: LocalHub, built: str) -> None:
    made = read_published_record(read_repo(built, client(hub)), client(hub))
    listed = listing_of(hub, built)
    assert (listed.fingerprint, listed.card_digest) == (made.fingerprint, made.card_digest)
    assert (listed.head, listed.private) == (heads(hub)[built], False)
    newest, *_ = client(hub).list_repo_commits(built)
    assert listed.modified == newest.created_at.timestamp()


def test_list_repos_has_private_repos_for_owner_only_in_lower_case(
    hub: LocalHub,
) -> None:
    client(hub).create_repo("owner/Target-Private", private=True)
    assert list_repos("owner", client(hub))["owner/target-private"].private
    assert "owner/target-private" not in list_repos("owner", client(hub, None))
    assert list_repos("nobody-at-all", client(hub)) == {}


CARDS = {
    "no state": "---\nlicense: mit\n---\n",
    "nothing": "---\nved:\n---\n",
    "a list": "---\nved: [fingerprint, card_digest]\n---\n",
    "a text": "---\nved: fingerprint\n---\n",
    "a number": "---\nved: 1\n---\n",
    "no keys": "---\nved: {}\n---\n",
    "other keys": "---\nved: {card_digest_: x, 1: 2}\n---\n",
}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_list_repos_ignores_card_without_state(card: str, hub: LocalHub, repo: str) -> None:
    head = commit(hub, repo, {"README.md": card.encode(), "ved.json": b"{}"})
    listed = listing_of(hub, repo)
    assert (listed.head, listed.fingerprint, listed.card_digest) == (head, "", "")


@pytest.mark.parametrize(
    ("state", "fingerprint", "card_digest"),
    [
        ("{fingerprint: [1], card_digest: {a: b}}", "[1]", "{'a': 'b'}"),
        ("{fingerprint: 7}", "7", ""),
        ("{fingerprint: null, card_digest: true}", "None", "True"),
        ("{fingerprint: '<script>', card_digest: 'a | b'}", "<script>", "a | b"),
    ],
)
def test_list_repos_reads_any_state_as_text(
    state: str, fingerprint: str, card_digest: str, hub: LocalHub, repo: str
) -> None:
    card = f"---\nved: {state}\n---\n".encode()
    commit(hub, repo, {"README.md": card, "ved.json": b"{}"})
    listed = listing_of(hub, repo)
    assert (listed.fingerprint, listed.card_digest) == (fingerprint, card_digest)


def test_list_repos_ignores_card_without_record(hub: LocalHub, built: str, repo: str) -> None:
    card = Path(client(hub).hf_hub_download(built, "README.md")).read_bytes()
    commit(hub, repo, {"README.md": card})
    assert listing_of(hub, repo).fingerprint == ""
    commit(hub, repo, {"ved.json": b"{}"})
    assert listing_of(hub, repo).fingerprint == listing_of(hub, built).fingerprint


def test_list_repos_has_code_if_refused(hub: LocalHub) -> None:
    hub.faults.add("GET", "^/api/models$", status=403)
    with pytest.raises(VedError) as caught:
        list_repos("owner", client(hub))
    assert caught.value.code == ErrorCode.GATED_SOURCE
    assert "owner" in caught.value.cause


@pytest.mark.parametrize("body", [b"{", b"5", b"{}", b"[" * 200_000, b"[1" + b"0" * 5000 + b"]"])
def test_list_repos_explains_malformed_answer(body: bytes, hub: LocalHub) -> None:
    hub.faults.add("GET", "^/api/models$", body=body)
    with pytest.raises(VedError) as caught:
        list_repos("owner", client(hub))
    assert caught.value.code == ErrorCode.HUB_DOES_NOT_ANSWER


@pytest.mark.parametrize(
    ("entry", "is_listed"),
    [
        (b"5", False),
        (b'{"id": 5}', False),
        (b'{"id": "owner/x", "siblings": [{"rfilename": 5}]}', False),
        (b'{"id": "owner/x", "siblings": 5}', False),
        (b'{"id": "owner/x", "cardData": 5}', True),
        (b'{"id": "owner/x", "lastModified": "yesterday"}', True),
        (b'{"id": "owner/x", "self": 1}', True),
        (b'{"id": "owner/x", "safetensors": 5, "inferenceProviderMapping": 5}', True),
    ],
)
def test_list_repos_has_the_repos_beside_a_malformed_entry(
    entry: bytes, is_listed: bool, hub: LocalHub
) -> None:
    hub.faults.add("GET", "^/api/models$", body=b'[%s, {"id": "owner/good"}]' % entry)
    expected = {"owner/x", "owner/good"} if is_listed else {"owner/good"}
    assert list_repos("owner", client(hub)).keys() == expected


@pytest.mark.parametrize(
    "card",
    [
        *("ignore_metadata_errors: true", "self: 1", "model_name: [1]", "kwargs: {}", "id: 5"),
        *("eval_results: text", "model-index: [{results: 5}]"),
    ],
)
def test_list_repos_has_the_repos_beside_a_strange_card(
    card: str, hub: LocalHub, repo: str, built: str
) -> None:
    before = listing_of(hub, built)
    commit(hub, repo, {"README.md": f"---\n{card}\n---\n".encode()})
    assert listing_of(hub, built) == before
    assert listing_of(hub, repo).fingerprint == ""
    assert read_repo(repo, client(hub)).files.keys() == {".gitattributes", "README.md"}


# States


def test_read_repo_of_missing_repo(hub: LocalHub) -> None:
    assert read_repo("owner/nothing", client(hub)) == TargetRepo("owner/nothing")
    assert not TargetRepo("owner/nothing").is_foreign


def test_read_repo_of_empty_repo(hub: LocalHub) -> None:
    client(hub).create_repo("owner/empty", private=True)
    target = read_repo("owner/empty", client(hub))
    assert target.files.keys() == {".gitattributes"}
    assert (target.private, target.is_empty, target.is_foreign) == (True, True, False)


def test_read_repo_tells_foreign_from_published(hub: LocalHub, built: str, repo: str) -> None:
    commit(hub, repo, {"notes.txt": b"mine"})
    assert read_repo(repo, client(hub)).is_foreign
    assert not read_repo(built, client(hub)).is_foreign


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "owner/x", "sha": "main"}',
        b'{"id": "owner/x", "siblings": [{"rfilename": "a", "size": "5"}]}',
        b"[]",
    ],
)
def test_read_repo_explains_malformed_answer(body: bytes, hub: LocalHub) -> None:
    hub.faults.add("GET", "^/api/models/owner/x$", body=body)
    with pytest.raises(VedError) as caught:
        read_repo("owner/x", client(hub))
    assert caught.value.code == ErrorCode.HUB_DOES_NOT_ANSWER


def test_commit_url_is_at_endpoint() -> None:
    assert commit_url("a/b", "0" * 40, "http://hub") == f"http://hub/a/b/commit/{'0' * 40}"


# Changes since VED published


@pytest.fixture
def at(hub: LocalHub, built: str) -> TargetRepo:
    """Return the state of the published repo."""
    return read_repo(built, client(hub))


@pytest.fixture
def its_record(hub: LocalHub, at: TargetRepo) -> BuildRecord:
    return read_published_record(at, client(hub))


LARGE, SMALL = "model.safetensors", "config.json"
"""A file that the Hub stores by its sha256, and one that is a git object."""


def with_files(at: TargetRepo, **changes: RemoteFile | None) -> TargetRepo:
    """Return a state with other files; None removes one."""
    files = {**at.files, **changes}
    return replace(at, files={name: file for name, file in files.items() if file is not None})


def test_changed_is_empty_after_publishing(at: TargetRepo, its_record: BuildRecord) -> None:
    assert at.changed(its_record) == []
    assert its_record.files.keys() | {"ved.json", ".gitattributes"} == at.files.keys()
    assert at.files[LARGE].sha256 is not None
    assert at.files[SMALL].sha256 is None


@pytest.mark.parametrize("name", [LARGE, SMALL])
def test_changed_names_file_with_other_content(
    name: str, at: TargetRepo, its_record: BuildRecord
) -> None:
    in_git = RemoteFile(size=at.files[name].size, git_oid="0" * 40, sha256=None)
    outside = RemoteFile(size=at.files[name].size, git_oid="0" * 40, sha256="0" * 64)
    for other in (in_git, outside, None):
        assert with_files(at, **{name: other}).changed(its_record) == [name]


@pytest.mark.parametrize("name", [LARGE, SMALL])
def test_changed_ignores_how_same_content_is_stored(
    name: str, at: TargetRepo, its_record: BuildRecord
) -> None:
    known = its_record.files[name]
    assert known.git_oid is not None
    in_git = RemoteFile(known.size, known.git_oid, None)
    outside = RemoteFile(known.size, "0" * 40, known.sha256)
    for same in (in_git, outside):
        assert with_files(at, **{name: same}).changed(its_record) == []


def test_holds_needs_a_digest() -> None:
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
def test_changed_names_added_file_of_checkpoint(
    name: str, at: TargetRepo, its_record: BuildRecord
) -> None:
    assert with_files(at, **{name: ADDED}).changed(its_record) == [name]


@pytest.mark.parametrize("name", ["notes.txt", "LICENSE", "images/cat.png", "runs/events.out"])
def test_changed_ignores_other_added_file(
    name: str, at: TargetRepo, its_record: BuildRecord
) -> None:
    assert with_files(at, **{name: ADDED}).changed(its_record) == []


def test_changed_is_sorted(at: TargetRepo, its_record: BuildRecord) -> None:
    changes = {SMALL: ADDED, "README.md": None, "pytorch_model.bin": ADDED}
    names = with_files(at, **changes).changed(its_record)
    assert names == ["README.md", SMALL, "pytorch_model.bin"]


# Records


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"{",
            b"null",
            b"[]",
            b'"ved"',
            b"\xff\xfe",
            b"[" * 200_000,
            b"[1" + b"0" * 5000 + b"]",
        ),
        *(b'{"format": 2}', b'{"format": 1}', b'{"format": 1, "files": []}'),
    ],
    ids=lambda content: str(content[:20]),
)
def test_read_published_record_refuses_other_content(
    content: bytes, hub: LocalHub, repo: str
) -> None:
    commit(hub, repo, {"ved.json": content})
    found = read_repo(repo, client(hub))
    with pytest.raises(VedError) as caught:
        read_published_record(found, client(hub))
    assert caught.value.code == ErrorCode.RECORD_NOT_READABLE
    assert str(found) in caught.value.cause


def test_read_record_file_stops_at_size_limit(
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

    assert caught.value.code == ErrorCode.RECORD_NOT_READABLE
    assert read_published_record(read_repo(built, client(hub)), client(hub)).files


def test_read_published_record_of_repo_without_record(hub: LocalHub, repo: str) -> None:
    found = read_repo(repo, client(hub))
    with pytest.raises(VedError) as caught:
        read_published_record(found, client(hub))
    assert caught.value.code == ErrorCode.DAMAGED_SOURCE
    assert str(found) in caught.value.cause


def test_read_record_file_reads_at_commit_of_state(hub: LocalHub, built: str, repo: str) -> None:
    content = read_record_file(read_repo(built, client(hub)), client(hub))
    commit(hub, repo, {"ved.json": content})
    found = read_repo(repo, client(hub))
    commit(hub, repo, {"ved.json": b"{}"})
    assert read_record_file(found, client(hub)) == content
