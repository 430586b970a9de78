"""ved.hub.answers: values that huggingface_hub passes on unchecked."""

from typing import Any

import pytest
from huggingface_hub import Collection, GitCommitInfo, ModelInfo

from ved.hub.answers import (
    Account,
    MalformedAnswerError,
    card_data,
    check_collection_items,
    collection_titles,
    commit_with,
    is_commit,
    parse_account,
    repo_files,
    repo_id,
)

COMMIT = "0123456789abcdef" * 2 + "01234567"


def model_info(**content: Any) -> ModelInfo:
    return ModelInfo(**{"id": "team/x"} | content)  # type: ignore[no-untyped-call]


def collection(**content: Any) -> Collection:
    defaults = {"slug": "s", "title": "t", "owner": "o", "items": [], "position": 0, "theme": ""}
    updated = {"lastUpdated": "2026-01-01T00:00:00.000Z", "private": False, "upvotes": 0}
    return Collection(**defaults | updated | content)


def commit_info(message: Any) -> GitCommitInfo:
    return GitCommitInfo(
        commit_id=COMMIT,
        authors=[],
        created_at=None,  # type: ignore[arg-type]
        title="",
        message=message,
        formatted_title=None,
        formatted_message=None,
    )


@pytest.mark.parametrize("value", ["", "main", COMMIT[:-1], COMMIT.upper(), COMMIT + "\n", 5, None])
def test_is_commit_refuses_other_values(value: object) -> None:
    assert is_commit(COMMIT)
    assert not is_commit(value)


def test_answers_return_well_formed_values() -> None:
    files = repo_files(model_info(siblings=[{"rfilename": "a", "size": 5}]))
    assert [(each.rfilename, each.size) for each in files] == [("a", 5)]
    assert repo_files(model_info()) == []
    assert repo_id(model_info()) == "team/x"
    assert card_data(model_info()) is None
    found = card_data(model_info(cardData={"license": "mit"}))
    assert found is not None
    assert found.get("license") == "mit"
    one = collection()
    assert collection_titles([one]) == [("t", one)]
    assert check_collection_items(one) is one
    assert commit_with("b", [commit_info("a"), commit_info("abc")]) == COMMIT
    assert commit_with("x", [commit_info("a")]) is None


def test_parse_account_has_writable_organizations() -> None:
    organizations = [{"name": "A", "roleInOrg": "write"}, {"name": "B", "roleInOrg": "read"}]
    auth = {"accessToken": {"role": "fineGrained"}}
    answer = {"name": "me", "auth": auth, "orgs": [*organizations, {"name": "C"}]}
    assert parse_account(answer) == Account("me", ("A", "C"), "fineGrained")


ITEM = {"_id": "1", "id": 5, "type": "model", "position": 0}


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (repo_id, model_info(id=5)),
        (repo_files, model_info(siblings=[{"rfilename": 5}])),
        (repo_files, model_info(siblings=[{"rfilename": "a", "size": "5"}])),
        (card_data, model_info(cardData=[1])),
        (collection_titles, [collection(title=5)]),
        (check_collection_items, collection(items=[ITEM])),
        (parse_account, {"name": 5, "auth": {"accessToken": {}}, "orgs": []}),
        (parse_account, {"name": "me", "auth": {"accessToken": {}}, "orgs": [{"name": None}]}),
        (parse_account, []),
    ],
)
def test_answers_refuse_malformed_values(function: Any, value: object) -> None:
    with pytest.raises(MalformedAnswerError):
        function(value)


def test_commit_with_refuses_malformed_description() -> None:
    with pytest.raises(MalformedAnswerError):
        commit_with("a", [commit_info(None)])
