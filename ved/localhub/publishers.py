"""Trusted publishers: the CI jobs that may have a token without a secret, and those tokens.

Protocol: https://huggingface.co/docs/hub/trusted-publishers
"""

import json
import re
import secrets
import threading
import time
from pathlib import Path, PurePosixPath
from typing import Any

from ved.localhub.accounts import Accounts, Identity
from ved.localhub.files import replace_text
from ved.localhub.storage import Storage

Claims = dict[str, str]

RESOURCE = re.compile(r"(?:(datasets|spaces)/)?([^/]+/[^/]+)|([^/]+)")
"""What a token can be for: a repo, with its kind in front unless it is a model, or a user."""


def publisher(resource: str, storage: Storage, accounts: Accounts) -> Identity | None:
    """Return what a token for a resource allows; None when there is no such repo or user."""
    match = RESOURCE.fullmatch(resource)
    if match is None:
        return None
    kind, repository, user = match.groups()
    if user is not None:
        return accounts.reader_of_gated(user)
    found = storage.find(kind or "models", repository)
    return Identity.of_publisher(found.kind, found.id) if found else None


class Publishers:
    """The publishers of each resource in one JSON file, which is rewritten at every change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._by_resource: dict[str, list[Claims]] = (
            json.loads(file.read_text()) if file.exists() else {}
        )

    def add(self, resource: str, wanted: Claims) -> None:
        """Trust the jobs that have all these claims: repository, workflow, environment, ref."""
        with self._lock:
            self._by_resource.setdefault(resource, []).append(wanted)
            self._save()

    def remove_all(self, resource: str) -> None:
        """Trust nobody any more; a repo that gets the name later is another one."""
        with self._lock:
            self._by_resource.pop(resource, None)
            self._save()

    def trust(self, resource: str, claims: dict[str, Any]) -> bool:
        """Tell whether one of the publishers is the job of an id token; each claim is exact."""
        path = claims["workflow_ref"].partition("@")[0]
        told = {**claims, "workflow": PurePosixPath(path).name}
        return any(
            all(told.get(name) == value for name, value in wanted.items())
            for wanted in self._by_resource.get(resource, [])
        )

    def _save(self) -> None:
        replace_text(self._file, json.dumps(self._by_resource, indent=1))


class AccessTokens:
    """The tokens given in exchange for id tokens; they end with the process at the latest.

    Attributes:
        lifetime: seconds for which each is good.
    """

    def __init__(self, lifetime: int) -> None:
        self.lifetime = lifetime
        self._identities: dict[str, tuple[Identity, float]] = {}

    def give(self, identity: Identity) -> str:
        """Return a new token."""
        token = ("hf_jwt_" if identity.repository else "hf_oauth_") + secrets.token_urlsafe(32)
        self._identities[token] = identity, time.monotonic() + self.lifetime
        return token

    def identify(self, token: str) -> Identity | None:
        """Return what a token allows, or None when it is unknown or has expired."""
        identity, end = self._identities.get(token, (None, 0.0))
        return identity if time.monotonic() < end else None
