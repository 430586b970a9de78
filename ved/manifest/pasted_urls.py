"""Recognize the URL of a page of a Hub where an id is expected, and say which id to write.

People paste the address of a page or a file, or of `git clone`. Format of the addresses:
https://huggingface.co/docs/hub/repositories-getting-started
"""

import os
import re
from functools import cache
from typing import Literal
from urllib.parse import unquote, urlsplit

Subject = Literal["source", "repo", "owner", "collection"]
"""The meaning of an id: a model with its revision, a model, a user or organization, or a
collection."""

MAX_LENGTH = 2000
"""The most characters of a URL."""

_HOSTS = ("huggingface.co", "hf.co")
_PAGES_OF_REVISIONS = ("tree", "blob", "resolve", "raw", "commit", "commits", "blame")
_OTHERS = (["datasets"], ["spaces"], ["collections"])
_SCHEME = re.compile(r"(?:git\+)?(?:https?|ssh|git|hf)://", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")


def advice_for_url(text: str, subject: Subject) -> str | None:
    """Return the rest of a sentence that begins with a text, if the text is a URL.

    Args:
        text: the value of a key or of an argument.
        subject: what the text should name.

    Returns:
        What the text is, and what to write instead; None if it is not a URL.
    """
    path = _path_on_hub(text)
    if path is None and subject != "collection":
        path = _path_without_host(text)
    if path is None:
        is_url = len(text) <= MAX_LENGTH and _SCHEME.match(text)
        return "is not a URL of this Hub: write an id of the Hub" if is_url else None
    if path[:1] in (["organizations"], ["models"]) or (path[:1] in _OTHERS and subject == "owner"):
        path = path[1:]
    if path[:1] in _OTHERS:
        kind = path[0].removesuffix("s")
        if kind != "collection":
            return f"is the URL of a {kind}, not of a model"
        return f"is the URL of a collection: write {_collection(path[1] if path[1:] else 'owner')}"
    written = _id(path, subject)
    if subject == "source" and text.endswith("/") and not _has_host(text):
        return f"ends with a slash: write {written}, or ./{written} for a local directory"
    return f"is a URL: write {written}" if written else "is a URL: write an id, such as owner/name"


def without_credentials(text: str) -> str:
    """Return a URL without the name and password before its host."""
    return re.sub(r"//[^/@]*@", "//", text)


def _collection(owner: str) -> str:
    # The address has the title in lower case, without its punctuation.
    return f"{owner}/title, with the title that its page has"


def _id(path: list[str], subject: Subject) -> str:
    """Return the id of a page, in the form that a key takes; empty if the page has none."""
    revision = ""
    names = path[:2]
    for position, part in enumerate(path):
        if part in _PAGES_OF_REVISIONS and position in (1, 2):
            # The name of a branch may contain slashes, but a file's path looks the same.
            names, revision = path[:position], (path[position + 1 :] or [""])[0]
    if names:
        last, _, after = names[-1].partition("@")
        names[-1], revision = last.removesuffix(".git"), revision or after
    if not names or not all(map(_NAME.fullmatch, names)):
        return ""
    if subject == "owner":
        return names[0]
    if subject == "collection":
        return _collection(names[0])
    is_needed = subject == "source" and revision != "main" and _NAME.fullmatch(revision)
    return "/".join(names) + (f"@{revision}" if is_needed else "")


def _path_on_hub(text: str) -> list[str] | None:
    """Return the parts of the path of a URL of a Hub; None for every other text."""
    if len(text) > MAX_LENGTH:
        return None
    text = text.strip().strip("<>")
    if text.lower().startswith("hf://"):
        return _parts(text[len("hf://") :])
    if text.startswith("git@"):  # as for scp: git@host:path
        text = "ssh://" + text.replace(":", "/", 1)
    has_scheme = _SCHEME.match(text) is not None
    try:
        url = urlsplit(text if has_scheme else f"https://{text}")
        host, port = (url.hostname or "").removeprefix("www."), url.port
    except ValueError:  # such as a port of letters
        return None
    is_hub = host in _HOSTS or (host, port) == _host_of(os.environ.get("HF_ENDPOINT", ""))
    return _parts(url.path) if is_hub and (has_scheme or "/" in text) else None


@cache
def _host_of(endpoint: str) -> tuple[str, int | None] | None:
    """Return host and port of the address of a Hub; None if it has no host."""
    try:
        url = urlsplit(endpoint)
        return (url.hostname, url.port) if url.hostname else None
    except ValueError:
        return None


def _has_host(text: str) -> bool:
    return _path_on_hub(text) is not None


def _path_without_host(text: str) -> list[str] | None:
    """Return the parts of a URL's path that was pasted without the host: owner/name/tree/main."""
    if len(text) > MAX_LENGTH or _SCHEME.match(text) or text.startswith((".", "/")):
        return None
    parts = _parts(text.partition("?")[0])
    is_page = len(parts) > 2 and parts[2] in _PAGES_OF_REVISIONS
    has_end = len(parts) == 2 and (text.endswith(("/", ".git")) or "?" in text)
    return parts if is_page or has_end or parts[:1] in _OTHERS[:2] else None


def _parts(path: str) -> list[str]:
    return [unquote(part) for part in path.split("/") if part]
