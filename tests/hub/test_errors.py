"""ved.hub.errors: errors of the client and the network become VedErrors; VED's own do not."""

from collections.abc import Callable

import httpx2
import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import FileMetadataError, LocalEntryNotFoundError
from huggingface_hub.utils import parse_datetime, validate_repo_id

from tests.support.publishing import TOKEN, client
from ved.errors import ErrorCode, VedError
from ved.hub import http
from ved.hub.answers import MalformedAnswerError
from ved.hub.connections import NoAnswerError
from ved.hub.errors import UploadError, is_not_found, translated_errors
from ved.hub.repo_info import fetch_repo
from ved.localhub import LocalHub


def translated(action: Callable[[], object], *, writing: bool = False) -> VedError:
    with pytest.raises(VedError) as caught, translated_errors("try it", "a/b", writing=writing):
        action()
    assert caught.value.cause.startswith("Cannot try it: ")
    assert caught.value.__cause__ is not None
    return caught.value


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


# Programming errors


def missing_attribute() -> None:
    None.foo  # type: ignore[attr-defined] # noqa: B018


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (missing_attribute, AttributeError),
        (lambda: dict[str, str]()["typo"], KeyError),
        (lambda: [][1], IndexError),
        (lambda: len(5), TypeError),  # type: ignore[arg-type]
        (lambda: int("x"), ValueError),
    ],
)
def test_translated_errors_pass_programming_errors(
    action: Callable[[], object], kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught, translated_errors("try it"):
        action()
    assert type(caught.value) is kind


def test_translated_errors_pass_errors_of_a_callback_of_ved(
    monkeypatch: pytest.MonkeyPatch, hub: LocalHub
) -> None:
    """The client calls VED's transport; a bug in it is not a malformed answer."""
    monkeypatch.setattr(http, "is_unreachable", None)
    hub.faults.add("GET", "/api/whoami-v2$", cut_response=0)
    api = http.connect(TOKEN)
    with pytest.raises(TypeError), translated_errors("try it"):
        api.whoami()


# Answers that are not a Hub's


@pytest.mark.parametrize(
    "answer", [b"[]", b"{}", b"5", b'{"id": 5, "lastModified": 5}', b'{"id": "a/b", "tags": 5}']
)
def test_translated_errors_explain_answers_that_the_client_cannot_parse(
    answer: bytes, hub: LocalHub
) -> None:
    hub.faults.add("GET", "/api/models/owner/x$", body=answer)
    error = translated(lambda: parsed(client(hub)))
    assert error.code == ErrorCode.HUB_DOES_NOT_ANSWER
    assert "Hub's answers" in error.cause


def parsed(api: HfApi) -> None:
    """Read a repo as VED does."""
    from ved.publishing.repos import repo_from_info

    repo_from_info("owner/x", fetch_repo("owner/x", api))


@pytest.mark.parametrize(
    "action",
    [
        lambda: parse_datetime("yesterday"),
        raising(MalformedAnswerError("x")),
        raising(FileMetadataError("x")),
    ],
)
def test_translated_errors_explain_malformed_answers(action: Callable[[], object]) -> None:
    error = translated(action)
    assert error.code == ErrorCode.HUB_DOES_NOT_ANSWER
    assert "Hub's answers" in error.cause
    assert "endpoint" in error.remedy


# Statuses and connections


@pytest.mark.parametrize(
    ("status", "writing", "code"),
    [
        (400, False, ErrorCode.MODEL_CARD_REFUSED),
        (401, False, ErrorCode.TOKEN_NOT_VALID),
        (403, False, ErrorCode.GATED_SOURCE),
        (403, True, ErrorCode.TOKEN_MAY_NOT_WRITE),
        (404, False, ErrorCode.HUB_DOES_NOT_ANSWER),
        (409, True, ErrorCode.CHANGED_MEANWHILE),
        (412, True, ErrorCode.CHANGED_MEANWHILE),
        (429, False, ErrorCode.RATE_LIMIT),
        (500, False, ErrorCode.HUB_DOES_NOT_ANSWER),
        (503, False, ErrorCode.HUB_DOES_NOT_ANSWER),
    ],
)
def test_translated_errors_have_the_code_of_the_status(
    status: int, writing: bool, code: ErrorCode, hub: LocalHub
) -> None:
    hub.faults.add("GET", "/api/models/owner/x", status=status)
    error = translated(lambda: client(hub).model_info("owner/x"), writing=writing)
    assert error.code == code
    assert error.remedy


def test_translated_errors_explain_missing_repo_and_revision(hub: LocalHub) -> None:
    assert translated(lambda: client(hub).model_info("owner/no")).code == ErrorCode.NO_SUCH_REPO
    missing = translated(lambda: client(hub).model_info("team/vit", revision="no"))
    assert missing.code == ErrorCode.NO_SUCH_REVISION


def test_translated_errors_explain_missing_file(hub: LocalHub) -> None:
    error = translated(lambda: client(hub).hf_hub_download("team/vit", "no.txt"))
    assert error.code == ErrorCode.DAMAGED_SOURCE
    assert is_not_found(error.__cause__)


def test_translated_errors_explain_cause_of_failed_download() -> None:
    wrapped = LocalEntryNotFoundError("not in the cache")
    wrapped.__cause__ = httpx2.RemoteProtocolError("cut")
    assert "connection was cut" in translated(raising(wrapped)).cause
    assert not is_not_found(wrapped)
    assert translated(raising(LocalEntryNotFoundError("x"))).code == ErrorCode.DAMAGED_SOURCE


def test_translated_errors_explain_offline_mode(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    http.connect()
    error = translated(client(hub).whoami)
    assert "HF_HUB_OFFLINE" in error.cause


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("No connection"),
        httpx2.ConnectError("No route"),
        httpx2.ReadTimeout("x"),
        NoAnswerError(httpx2.ConnectError("x")),
    ],
)
def test_translated_errors_explain_failed_connections(error: Exception) -> None:
    translated_error = translated(raising(error))
    assert translated_error.code == ErrorCode.HUB_DOES_NOT_ANSWER
    assert translated_error.remedy


def test_translated_errors_explain_cause_of_failed_upload() -> None:
    upload = UploadError()
    upload.__cause__ = httpx2.ReadTimeout("x")
    assert "does not answer" in translated(raising(upload)).cause


def test_translated_errors_explain_invalid_repo_id() -> None:
    error = translated(lambda: validate_repo_id("no id"))
    assert error.code == ErrorCode.NO_SUCH_REPO
