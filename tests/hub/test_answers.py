"""ved.hub.answers: values that huggingface_hub passes on unchecked."""

from typing import Any

import pytest

from ved.hub.answers import (
    MalformedAnswerError,
    collection_titles,
    commit_with,
    is_commit,
    parse_collection,
)
from ved.hub.repo_info import RepoFile, RepoInfo, parse_repo

COMMIT = "0123456789abcdef" * 2 + "01234567"


def collection(**content: Any) -> dict[str, Any]:
    defaults = {"slug": "s", "title": "t", "owner": "o", "items": [], "theme": "", "upvotes": 0}
    return {**defaults, "lastUpdated": "2026-01-01T00:00:00.000Z", "private": False, **content}


@pytest.mark.parametrize("value", ["", "main", COMMIT[:-1], COMMIT.upper(), COMMIT + "\n", 5, None])
def test_is_commit_refuses_other_values(value: object) -> None:
    assert is_commit(COMMIT)
    assert not is_commit(value)


def test_parse_repo_reads_what_is_well_formed() -> None:
    assert parse_repo({"id": "team/x"}) == RepoInfo("team/x")
    entry = {"rfilename": "a", "size": 5, "blobId": "b", "lfs": {"sha256": "c"}}
    found = parse_repo(
        {"id": "team/x", "sha": COMMIT, "siblings": [entry], "cardData": {"license": "mit"}}
    )
    assert (found.commit, found.card) == (COMMIT, {"license": "mit"})
    assert found.files == (RepoFile("a", 5, "b", "c"),)


@pytest.mark.parametrize(
    ("key", "value", "attribute"),
    [
        *(("cardData", [1], "card"), ("cardData", "text", "card"), ("cardData", 5, "card")),
        *(("lastModified", "yesterday", "modified"), ("lastModified", {}, "modified")),
        *(("lastModified", 5, "modified"), ("lastModified", "9" * 400, "modified")),
        *(("sha", "main", "commit"), ("sha", 5, "commit"), ("sha", [COMMIT], "commit")),
        *(("private", "yes", "private"), ("private", 1, "private")),
    ],
)
def test_parse_repo_ignores_malformed_values(key: str, value: object, attribute: str) -> None:
    plain = RepoInfo("team/x")
    assert getattr(parse_repo({"id": "team/x", key: value}), attribute) == getattr(plain, attribute)


MALFORMED: tuple[Any, ...] = ([], 5, None, {})
STRANGE_KEYS = ("ignore_metadata_errors", "self", "id", "kwargs", "model_name", "eval_results")


@pytest.mark.parametrize("key", STRANGE_KEYS)
@pytest.mark.parametrize("value", [True, 1, "text", [{}], {"a": [None]}])
def test_parse_repo_takes_cards_with_any_keys(key: str, value: object) -> None:
    assert parse_repo({"id": "team/x", "cardData": {key: value}}).card == {key: value}
    assert parse_repo({"id": "team/x", "self": 1, key + "_": value}).card == {}


@pytest.mark.parametrize(
    "entry",
    [
        *(*MALFORMED, "team/x", {"id": 5}, {"id": "team/x", "siblings": 5}),
        *(
            {"id": "team/x", "siblings": [entry]}
            for entry in (
                *(5, {}, {"rfilename": 5}, {"rfilename": "a", "size": "5"}),
                *({"rfilename": "a", "size": -1}, {"rfilename": "a", "size": True}),
                *({"rfilename": "a", "lfs": 5}, {"rfilename": "a", "lfs": {"sha256": 5}}),
                {"rfilename": "a", "blobId": 5},
            )
        ),
    ],
)
def test_parse_repo_refuses_malformed_entries(entry: object) -> None:
    with pytest.raises(MalformedAnswerError):
        parse_repo(entry)


def test_collection_titles_ignore_malformed_entries() -> None:
    strange = ({"title": 5, "slug": "x"}, {"title": "x"}, {"self": 1})
    assert collection_titles([*MALFORMED, *strange, collection()]) == [("t", "s")]


def test_parse_collection_keeps_positions_of_malformed_items() -> None:
    good = {"_id": "1", "id": "team/x", "type": "model", "position": 1}
    strange = [{"self": 1}, 5, {**good, "id": 5}, {**good, "note": 5}, {"id": "team/x"}]
    found = parse_collection(collection(items=[*strange, good]))
    assert [each.item_id for each in found.items] == ["", "", "", "", "", "team/x"]
    assert {each.item_type for each in found.items[:-1]} == {""}


def test_commit_with_ignores_malformed_entries() -> None:
    strange = [*MALFORMED, {"id": COMMIT, "message": None}, {"id": "main", "message": "ab"}]
    found = {"id": COMMIT, "message": "abc"}
    assert commit_with("b", [*strange, found]) == COMMIT
    assert commit_with("x", [*strange, found]) is None


@pytest.mark.parametrize(
    ("function", "value"),
    [
        *((parse_collection, value) for value in MALFORMED),
        *((parse_collection, collection(items=5)), (parse_collection, collection(lastUpdated=5))),
    ],
)
def test_answers_refuse_malformed_values(function: Any, value: object) -> None:
    with pytest.raises(MalformedAnswerError):
        function(value)
