"""Secrets: which are known, and that no text that is written contains one."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ved.action.masking import RedactedLog, Secrets, secrets_of


def known(*values: str) -> Secrets:
    secrets = Secrets()
    for value in values:
        secrets.add(value)
    return secrets


def test_secrets_of_an_environment_are_its_tokens() -> None:
    environ = {
        **{"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request", "ACTIONS_RUNTIME_TOKEN": "runtime"},
        **{"ACTIONS_TOKEN": "actions", "HUGGING_FACE_HUB_TOKEN": "old", "HF_TOKEN": " new\n"},
        **{"INPUT_TOKEN": "input", "ACTIONS_CACHE_URL": "address", "HOME": "home"},
        **{"ACTIONS_EMPTY_TOKEN": "", "ACTIONS_OTHER_TOKEN": "input"},
    }
    assert secrets_of(environ) == ["input", "new", "old", "request", "runtime", "actions"]


def test_secrets_of_an_empty_environment_are_none() -> None:
    assert secrets_of({"INPUT_TOKEN": " \n"}) == []


@pytest.mark.parametrize(
    ("secrets", "text", "expected"),
    [
        ([], "a text", "a text"),
        (["hf_x"], "hf_x and hf_x", "*** and ***"),
        (["hf_x", "hf_xyz"], "hf_xyz and hf_x", "*** and ***"),
        (["hf_xyz", "hf_x"], "hf_xyz", "***"),
        (["hf_first\r\nhf_second\n"], "hf_second", "***"),
        (["hf_first\nab"], "a label", "a label"),  # too short a line to be a secret
        ([""], "a text", "a text"),
    ],
)
def test_redact_replaces_every_secret(secrets: list[str], text: str, expected: str) -> None:
    assert known(*secrets).redact(text) == expected


@given(st.lists(st.text(min_size=1), max_size=4), st.text())
def test_redact_leaves_no_secret(secrets: list[str], text: str) -> None:
    redacted = known(*secrets).redact(text.join(secrets))
    for secret in secrets:
        # "***" and what is beside it can be a secret again.
        assert secret not in redacted or "*" in secret


@pytest.mark.parametrize("text", ["it is hf_x\n", "\ud800 hf_x", "é hf_x"])
def test_redacted_log_writes_at_once_and_without_secrets(text: str) -> None:
    buffer = io.BytesIO()
    log = RedactedLog(buffer, known("hf_x"))
    print(text, end="", file=log)
    expected = text.replace("hf_x", "***").encode(errors="backslashreplace")
    assert buffer.getvalue() == expected
    log.writelines(["hf_x", "hf_x"])
    assert buffer.getvalue() == expected + b"******"
