"""Trusted publishers: CI jobs that get a token without a stored secret, and these tokens.

Protocol: https://huggingface.co/docs/hub/trusted-publishers
"""

import json
import re
import secrets
import threading
import time
from pathlib import Path, PurePosixPath
from typing import Any

from ved.localhub.accounts import Accounts
from ved.localhub.files import replace_text
from ved.localhub.identities import Identity
from ved.localhub.storage import Storage

Claims = dict[str, str]

RESOURCE = re.compile(r"(?:(datasets|spaces)/)?([^/]+/[^/]+)|([^/]+)")
"""The resource of a token: a user, or a repo, which begins with its kind unless it is a model."""


def find_publisher(resource: str, storage: Storage, accounts: Accounts) -> Identity | None:
    """Return the identity of a token for a resource, or None if there is no such repo or user."""
    match = RESOURCE.fullmatch(resource)
    if match is None:
        return None
    kind, repository, user = match.groups()
    if user is not None:
        return accounts.reader_of_gated(user)
    found = storage.find(kind or "models", repository)
    return Identity.of_publisher(found.kind, found.id) if found else None


class Publishers:
    """All trusted publishers of a hub. A JSON file keeps them and is rewritten at every change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._by_resource: dict[str, list[tuple[Claims, bool]]] = (
            json.loads(file.read_text()) if file.exists() else {}
        )

    def add(self, resource: str, required: Claims, read_only: bool) -> None:
        """Trust the jobs that have all required claims.

        Args:
            resource: the repo or user.
            required: some of repository, workflow, environment and ref.
            read_only: whether the jobs may only read the repo.
        """
        with self._lock:
            self._by_resource.setdefault(resource, []).append((required, read_only))
            self._save()

    def remove_all(self, resource: str) -> None:
        """Remove the publishers of a resource, so that a later repo with its name has none."""
        with self._lock:
            self._by_resource.pop(resource, None)
            self._save()

    def find(self, resource: str, claims: dict[str, Any]) -> str | None:
        """Return the rights of the publisher that has exactly the claims of an id token.

        Returns:
            "read" or "write"; None if there is no such publisher.
        """
        path = claims["workflow_ref"].partition("@")[0]
        actual = {**claims, "workflow": PurePosixPath(path).name}
        found = {
            "read" if read_only else "write"
            for required, read_only in self._by_resource.get(resource, [])
            if all(actual.get(name) == value for name, value in required.items())
        }
        return max(found, default=None)

    def _save(self) -> None:
        replace_text(self._file, json.dumps(self._by_resource, indent=1))


class AccessTokens:
    """The access tokens of CI jobs, in memory only.

    Attributes:
        lifetime: of a token, in seconds.
    """

    def __init__(self, lifetime: int) -> None:
        self.lifetime = lifetime
        self._identities: dict[str, tuple[Identity, float]] = {}

    def create(self, identity: Identity) -> str:
        """Return a new token."""
        token = ("hf_jwt_" if identity.repository else "hf_oauth_") + secrets.token_urlsafe(32)
        self._identities[token] = identity, time.monotonic() + self.lifetime
        return token

    def identify(self, token: str) -> Identity | None:
        """Return the identity of a token, or None if it is unknown or expired."""
        identity, end = self._identities.get(token, (None, 0.0))
        return identity if time.monotonic() < end else None
