"""ved.hub.account: which namespaces a token can publish to."""

import logging

import pytest
from huggingface_hub import HfApi

from tests.support.publishing import TOKEN, client
from tests.support.raising import raises
from ved.errors import ErrorCode, RequestError, VedError
from ved.hub import account
from ved.hub.rights import COLLECTION_WRITE, WRITE, Organization, Rights, Scope
from ved.localhub import LocalHub


def test_writing_rights_are_user_and_organizations(hub: LocalHub) -> None:
    rights = account.writing_rights(client(hub))
    assert rights is not None
    assert rights.namespaces == {"owner", "team"}


def test_writing_rights_are_in_lower_case(hub: LocalHub) -> None:
    hub.add_user("Camel", token="hf_camel", organizations=("Hump",))
    rights = account.writing_rights(client(hub, "hf_camel"))
    assert rights is not None
    assert rights.namespaces == {"camel", "hump"}
    account.check_rights("HUMP/x", rights)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("hf_wrong", ErrorCode.TOKEN_NOT_VALID),
        (None, ErrorCode.NO_TOKEN),
        ("hf_read", ErrorCode.TOKEN_MAY_NOT_WRITE),
    ],
)
def test_writing_rights_refuse_token_that_cannot_publish(
    token: str | None, code: ErrorCode, hub: LocalHub
) -> None:
    hub.add_user("owner", token="hf_read", role="read")
    with pytest.raises(RequestError) as caught:
        account.writing_rights(client(hub, token))
    assert caught.value.code == code
    assert caught.value.remedy


def test_writing_rights_use_token_of_environment(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    rights = account.writing_rights(client(hub, None))
    assert rights is not None
    assert "owner" in rights.namespaces


def test_writing_rights_of_unreachable_hub(unused_port: int) -> None:
    with pytest.raises(RequestError) as caught:
        account.writing_rights(HfApi(f"http://127.0.0.1:{unused_port}", token=TOKEN))
    assert caught.value.code == ErrorCode.HUB_DOES_NOT_ANSWER


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b"[]",
        b"5",
        b'"alice"',
        b"<html>",
        b'{"name": "owner", "auth": {"accessToken": {}}, "orgs": [5]}',
        b'{"name": 5, "auth": {"accessToken": {}}, "orgs": []}',
        b'{"name": "owner", "auth": {"accessToken": 5}, "orgs": []}',
        b'{"name": "owner", "auth": {"accessToken": {}}, "orgs": [{"name": null}]}',
        b'{"name": "owner", "auth": {"accessToken": {}}, "orgs": null}',
        b'{"name": "ow',
    ],
)
def test_rights_are_unknown_if_the_answer_is_malformed(
    answer: bytes, hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.faults.add("GET", "/api/whoami-v2$", times=2, body=answer)
    assert account.writing_rights(client(hub)) is None
    assert account.known_rights(client(hub)) is None
    assert [each.levelno for each in caplog.records] == [logging.WARNING] * 2


def test_known_rights_without_token_makes_no_request(hub: LocalHub) -> None:
    assert account.known_rights(client(hub, None)) is None
    assert hub.requests == []


def test_known_rights_of_token_that_can_only_read(hub: LocalHub) -> None:
    hub.add_user("owner", token="hf_reader", role="read")
    known = account.known_rights(client(hub, "hf_reader"))
    assert known is not None
    assert (known.role, known.user, {*known.organizations}) == ("read", "owner", {"team"})


@pytest.mark.parametrize("token", ["hf_wrong", "hf_a token", "hf_token\n"])
def test_known_rights_refuse_invalid_token(token: str, hub: LocalHub) -> None:
    with pytest.raises(RequestError) as caught:
        account.known_rights(client(hub, token))
    assert caught.value.code == ErrorCode.TOKEN_NOT_VALID


def test_check_rights_refuses_other_namespace() -> None:
    with pytest.raises(VedError) as caught:
        account.check_rights(
            "stranger/x", Rights("owner", {"team": Organization("write")}, "write")
        )
    assert caught.value.code == ErrorCode.TOKEN_MAY_NOT_WRITE
    assert "stranger" in caught.value.cause
    assert "owner, team" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "permission"), [("owner/other", WRITE), ("owner/one", COLLECTION_WRITE)]
)
def test_check_rights_names_what_a_token_of_one_repo_lacks(name: str, permission: str) -> None:
    rights = Rights("owner", {}, "fineGrained", (Scope("model", "owner/one", frozenset({WRITE})),))
    account.check_rights("owner/one", rights)
    with raises(ErrorCode.TOKEN_MAY_NOT_WRITE) as caught:
        account.check_rights(name, rights, permission)
    assert name in caught.value.cause
    assert permission in caught.value.remedy


def test_check_allowed_refuses_other_namespace() -> None:
    account.check_allowed("Owner/x", frozenset({"owner"}))
    with pytest.raises(VedError) as caught:
        account.check_allowed("team/x", frozenset({"owner"}))
    assert caught.value.code == ErrorCode.NAMESPACE_NOT_ALLOWED
