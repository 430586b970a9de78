"""Secrets: which are known, and that no text that is written contains one."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ved.redaction import Secrets, environment_secrets


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
        **{"ACTIONS_EMPTY_TOKEN": "", "ACTIONS_OTHER_TOKEN": "input", "GITHUB_TOKEN": "github"},
    }
    expected = ["input", "new", "old", "request", "runtime", "actions", "github"]
    assert environment_secrets(environ) == expected


@pytest.mark.parametrize(
    ("name", "value", "secrets"),
    [
        ("DB_PASSWORD", "correct horse", ["correct horse"]),
        ("npm_config_secret", "s3cr3t-value", ["s3cr3t-value"]),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG", ["wJalrXUtnFEMI/K7MDENG"]),
        ("DEPLOY_KEY", "-----BEGIN KEY-----\nabcd\n", ["-----BEGIN KEY-----\nabcd"]),
        ("SETTINGS", "hf_short", ["hf_short"]),
        ("SETTINGS", '{"a": "hf_aBcDeFgHiJkLmNoPqR"}', ["hf_aBcDeFgHiJkLmNoPqR"]),
        ("SETTINGS", "x=ghs_aBcDeFgHiJkLmNoPqR", ["ghs_aBcDeFgHiJkLmNoPqR"]),
        ("SETTINGS", "github_pat_11AAAAAAA0bbbbbbbbbb", ["github_pat_11AAAAAAA0bbbbbbbbbb"]),
        ("HTTPS_PROXY", "http://me:pass@proxy:80", ["me:pass", "pass"]),
        ("MIRROR", "git+https://t0ken@host/x", ["t0ken"]),
        ("MIRROR", "https://u:a%2Fb%3Ac@host", ["u:a%2Fb%3Ac", "u:a/b:c", "a%2Fb%3Ac", "a/b:c"]),
    ],
)
def test_secrets_of_an_environment_have_a_name_or_a_form(
    name: str, value: str, secrets: list[str]
) -> None:
    assert environment_secrets({name: value}) == secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INPUT_TOKEN", " \n"),
        ("HF_TOKEN_PATH", "/github/home/token"),
        ("SSH_KEY_FILE", "deploy-key-of-the-server"),
        ("TOKENIZERS_PARALLELISM", "parallel-please"),
        ("PASSWORD_REQUIRED", "false"),
        ("GITHUB_REPOSITORY", "octo-org/octo-repo"),
        ("CACHE_KEY", "linux-3.11"),
        ("GPG_KEY", "A035C8C19219BA821ECEA86B64E628F8D684696D"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://host.example/path"),
        ("SERVER", "https://host.example/a@b"),
    ],
)
def test_secrets_of_an_environment_are_no_other_values(name: str, value: str) -> None:
    assert environment_secrets({name: value}) == []


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


SECRET = 'hf_a/b+c "d"&\u20ac%\\x'
FORMS: list[Callable[[str], str]] = [
    *(quote, quote_plus, lambda text: quote(text, safe=""), html.escape),
    *(json.dumps, lambda text: json.dumps(text, ensure_ascii=False)),
    *(lambda text: text.encode().hex(), lambda text: text.encode().hex().upper()),
    *(lambda text: base64.b64encode(text.encode()).decode(),),
    *(lambda text: base64.urlsafe_b64encode(f"user:{text}".encode()).decode(),),
    *(lambda text: base64.b64encode(f"a{text} and more".encode()).decode(),),
]


@pytest.mark.parametrize("form", FORMS)
def test_redact_replaces_a_changed_secret(form: Callable[[str], str]) -> None:
    secrets = known(SECRET)
    changed = form(SECRET)
    redacted = secrets.redact(f"before {changed} after")
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    assert "***" in redacted
    longest = max(map(len, redacted.removeprefix("before ").removesuffix(" after").split("***")))
    assert longest < 15  # what is around the secret in base64
    assert secrets.is_in(f"a file with {changed}".encode())
    assert not secrets.is_in(b"another file")
