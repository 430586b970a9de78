"""The secrets of this process, and texts without them.

The secrets are module state because the environment is, which most of them come from. A secret is
also found in the forms that a server or a library could give it, such as base64.
"""

import base64
import html
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from urllib.parse import quote, quote_plus, unquote

REDACTED = "***"

_VARIABLES = ("INPUT_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_RUNNER_VARIABLES = re.compile("ACTIONS_.*TOKEN|GITHUB_TOKEN|GH_TOKEN")

_SECRET_NAME = re.compile(
    "TOKEN(?!IZ)|SECRET|PASSW|PASSPHRASE|PWD|CREDENTIAL|COOKIE"
    "|(?:^|_)(?:PASS|PAT|AUTH|AUTHORIZATION|BEARER)(?:_|$)",
    re.IGNORECASE,
)
_KEY_NAME = re.compile("KEY", re.IGNORECASE)
_NO_SECRET_NAME = re.compile(".*_(?:PATH|FILE|DIR|URL|URI|SOCK|ID|NAME)|GPG_KEY", re.IGNORECASE)
"""GPG_KEY names the key that the image's Python is signed with."""
_SECRET_URL_NAME = re.compile(".*(?:WEBHOOK|SIGNED).*", re.IGNORECASE)
"""An address of a webhook is a secret: everybody who knows it may send to it."""

_SHORTEST_VALUE, _SHORTEST_KEY = 8, 16
"""Characters of the shortest value that is a secret because of its variable's name: a shorter one,
such as `1` or `main`, is part of too many other texts. Not every key is a secret."""
_PLAIN_VALUE = re.compile(r"[./~].*|[0-9.]*|true|false|disabled|enabled", re.IGNORECASE | re.DOTALL)
"""Values that are not secrets, whatever the name of their variable: paths, numbers and switches."""

_HUB_AND_GIT = (
    r"hf_(?:oauth_|jwt_)?[A-Za-z0-9]{16,}|gh[opsur]_[A-Za-z0-9_]{16,}"
    r"|github_pat_\w{16,}|glpat-[\w-]{16,}"
)
_TOKEN_VALUE = re.compile(
    rf"(?<![A-Za-z0-9])(?:{_HUB_AND_GIT}|eyJ[\w-]{{8,}}\.[\w-]{{8,}}\.[\w-]{{8,}}"
    r"|sk-[\w-]{16,}|npm_[A-Za-z0-9]{16,}|pypi-[\w-]{16,}|dckr_pat_[\w-]{16,}|xox[a-z]-[\w-]{10,}|AIza[\w-]{30,})"
)
"""Tokens by their beginnings: of the Hub, GitHub, GitLab, OpenAI, npm, PyPI, Docker Hub, Slack and
Google, and JSON Web Tokens."""
_WRITTEN_TOKEN = re.compile(rf"(?<![A-Za-z0-9])(?:{_HUB_AND_GIT})")
"""Tokens that no model is named like: sk-bert-base-slovak may be one. It takes linear time."""
_LIKELY_TOKEN = re.compile(
    r"(?<![A-Za-z0-9/])(?:hf_|gh[opsur]_|github_pat_|glpat-)[^\s/]{4,}", re.IGNORECASE
)
"""Tokens, whole or in part. A name with an owner is none, such as me/hf_captioner."""
_WHOLE_TOKEN = re.compile(
    r"(?:hf_|hf_jwt_|gh[opsur]_|github_pat_|glpat-)\S{4,}"
    r"|\s*-----BEGIN [A-Z ]*PRIVATE KEY-----.*",
    re.DOTALL,
)
_NAMED_VALUE = re.compile(
    r"(?:[?&;](?:access_token|api_?key|token|secret|password|sig|signature|x-amz-signature)="
    r"|\b(?:bearer|basic)\s+)([^\s&;#\"']{8,})",
    re.IGNORECASE,
)
"""Tokens in the query of a URL, or in the text of an HTTP header."""

_SHORTEST_LINE = 4
"""Characters of the shortest line of a secret that is redacted without the rest of the secret."""

_ENCODED = re.compile(
    r"%(?:25)*([0-9a-f]{2})|\\\\*(?:u00|x)([0-9a-f]{2})|&#x0*([0-9a-f]{2});|&#0*([0-9]{2,3});",
    re.IGNORECASE,
)
"""An ASCII character in a URL, in JSON, in Python or in HTML. Each form begins with one character,
which the module `re` finds three times as fast as `\\+`."""

_CUT = re.compile(r"…|\.\.\.")
"""How the end of a shortened text is marked."""

_SHORTEST_CUT = 6
"""Characters of the shortest beginning of a secret that is redacted where a text was shortened."""

_SHORTEST_ENCODED = 6
"""Characters of the shortest secret whose encoded forms are redacted, too."""


def environment_secrets(environ: Mapping[str, str]) -> list[str]:
    """Return the secrets in an environment, each once, without surrounding white space.

    They are: the input `token`, the variables that huggingface_hub reads, and the runner's own
    tokens; values of variables that are named like a secret; tokens by their beginnings; users and
    passwords in URLs.
    """
    names = [*_VARIABLES, *sorted(filter(_RUNNER_VARIABLES.fullmatch, environ))]
    values = [environ.get(name, "").strip() for name in names]
    for name, value in sorted(environ.items()):
        value = value.strip()
        if len(value) >= _shortest_value(name) and not _PLAIN_VALUE.fullmatch(value):
            values.append(value)
        values += [value] if _WHOLE_TOKEN.fullmatch(value) else _TOKEN_VALUE.findall(value)
        values += _NAMED_VALUE.findall(value)
        values += _user_information(value)
    return [value for value in dict.fromkeys(values) if value]


def find_tokens(text: str) -> Iterator[re.Match[str]]:
    """Yield the tokens in a text that somebody wrote, such as a manifest, by their beginnings."""
    return _WRITTEN_TOKEN.finditer(text)


def command_secrets(environ: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """Return the secrets of a command: those in its environment, and tokens in its arguments."""
    written = (found[0] for each in arguments for found in find_tokens(each))
    return [*environment_secrets(environ), *written]


def may_have_token(text: str) -> bool:
    """Return whether a text that should be a name has a secret, or a token by its beginning."""
    patterns = (_LIKELY_TOKEN, _WRITTEN_TOKEN)
    return KNOWN.redact(text) != text or any(each.search(text) for each in patterns)


def _shortest_value(name: str) -> float:
    """Return from how many characters on the value of a variable is a secret."""
    if _SECRET_URL_NAME.fullmatch(name):
        return _SHORTEST_KEY
    if _NO_SECRET_NAME.fullmatch(name):
        return math.inf
    if _SECRET_NAME.search(name):
        return _SHORTEST_VALUE
    return _SHORTEST_KEY if _KEY_NAME.search(name) else math.inf


def _user_information(value: str) -> Iterator[str]:
    """Yield the user and password of every URL in a value, together and the password alone."""
    for url in re.findall(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/@\"']*@", value):
        information = url.partition("://")[2].rpartition("@")[0]
        password = information.partition(":")[2] or information
        for secret in (information, password):
            yield from (each for each in (secret, unquote(secret)) if len(each) >= _SHORTEST_LINE)


class Secrets:
    """The secrets that a process knows; threads may share it."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()
        self._forms: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None
        self._lock = Lock()

    def __contains__(self, secret: object) -> bool:
        return secret in self._known

    def add(self, secret: str) -> None:
        """Redact a secret from now on, and each of its lines, as the runner does."""
        lines = [line for line in re.split(r"[\r\n]+", secret) if len(line) >= _SHORTEST_LINE]
        with self._lock:
            if secret in self._known:
                return
            self._known |= {*filter(None, (secret, *lines))}
            forms = {form for known in self._known for form in _forms(known)}
            # The longest first: a shorter one may be a part of it.
            self._forms = tuple(sorted(forms, key=len, reverse=True))
            if self._forms:
                self._pattern = re.compile("|".join(map(re.escape, self._forms)))

    def redact(self, text: str) -> str:
        """Return a text with `***` in place of every secret, and of beginnings of secrets."""
        if self._pattern is None:
            return text
        if any(form in text for form in self._forms):
            text = self._pattern.sub(REDACTED, text)
        if self._has_encoded(text):
            text = self._encoded_pattern().sub(REDACTED, text)
        if any(known[:_SHORTEST_CUT] in text for known in self._known):
            for cut in reversed([*_CUT.finditer(text)]):
                length = self._cut_length(text, cut.start())
                if length:
                    text = text[: cut.start() - length] + REDACTED + text[cut.start() :]
        return text

    def is_in(self, content: bytes) -> bool:
        """Return whether the content of a file has a secret."""
        forms = (form.encode(errors="surrogatepass") for form in self._forms)
        return any(form in content for form in forms) or self._has_encoded(
            content.decode(errors="replace")
        )

    def _has_encoded(self, text: str) -> bool:
        """Return whether a text has a secret of which any characters are encoded."""
        if not _ENCODED.search(text):
            return False
        decoded = _ENCODED.sub(_decoded, text)
        return any(known in decoded for known in self._known if len(known) >= _SHORTEST_ENCODED)

    def _encoded_pattern(self) -> re.Pattern[str]:
        # It is slow, and hardly ever needed.
        known = sorted(self._known, key=len, reverse=True)
        return re.compile(
            "|".join(
                "".join(map(_encodings, each)) for each in known if len(each) >= _SHORTEST_ENCODED
            ),
            re.IGNORECASE,
        )

    def _cut_length(self, text: str, end: int) -> int:
        """Return how many characters before a position are the beginning of a secret."""
        return max(
            (
                length
                for known in self._known
                for length in range(_SHORTEST_CUT, len(known))
                if text.endswith(known[:length], 0, end)
            ),
            default=0,
        )


def _decoded(found: re.Match[str]) -> str:
    *digits, decimal = found.groups()
    number = int(decimal) if decimal else int("".join(filter(None, digits)), 16)
    return chr(number)


def _encodings(char: str) -> str:
    """Return a pattern for a character and everything that `_ENCODED` reads as it."""
    if not char.isascii():
        return re.escape(char)
    code = f"{ord(char):02x}"
    return rf"(?:{re.escape(char)}|%(?:25)*{code}|\\+(?:u00|x){code}|&#x0*{code};|&#0*{ord(char)};)"


KNOWN = Secrets()
"""The secrets of this process."""


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret, and what it becomes in URLs, JSON, HTML, base64 and hexadecimal numbers."""
    yield secret
    if len(secret) < _SHORTEST_ENCODED:
        return
    raw = secret.encode(errors="backslashreplace")
    quoted = (quote(raw, safe=""), quote(raw), quote_plus(raw))
    yield from quoted
    yield from (re.sub("%..", lambda found: found[0].lower(), each) for each in quoted)
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (html.escape(secret), html.escape(secret, quote=False))
    yield from (raw.hex(), raw.hex().upper())
    for offset in range(3):
        # Three bytes become four characters. So a secret within a longer text has three forms,
        # of which those characters count that depend on nothing but the secret.
        encoded = base64.b64encode(bytes(offset) + raw).decode()
        certain = encoded[(offset * 8 + 5) // 6 : (offset + len(raw)) * 8 // 6]
        yield from (certain, certain.replace("+", "-").replace("/", "_"))
