"""Access to the storage: tokens of the CAS, and grants to upload xorbs to the bucket."""

import secrets
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Literal

Scope = Literal["read", "write"]


@dataclass(frozen=True)
class XetToken:
    """The rights of a token of the CAS.

    Attributes:
        scope: read, or write, which includes reading.
        kind: the kind of the repo: models, datasets or spaces.
        repo_id: the only repo whose files the token reads and writes.
        expiry: in seconds since the epoch.
    """

    scope: Scope
    kind: str
    repo_id: str
    expiry: int


class XetTokens:
    """All tokens of the CAS. They are lost when the hub stops.

    Args:
        lifetime: of new tokens, in seconds.
    """

    def __init__(self, lifetime: int) -> None:
        self._lifetime = lifetime
        self._tokens: dict[str, XetToken] = {}
        self._lock = threading.Lock()

    def create(self, scope: Scope, kind: str, repo_id: str) -> tuple[str, XetToken]:
        """Return a new token and its rights."""
        token = f"xet_{secrets.token_urlsafe(32)}"
        rights = XetToken(scope, kind, repo_id, int(time.time()) + self._lifetime)
        with self._lock:
            self._tokens[token] = rights
        return token, rights

    def identify(self, token: str | None) -> XetToken | None:
        """Return the rights of a token, or None if it is unknown or has expired."""
        with self._lock:
            rights = self._tokens.get(token or "")
        return rights if rights and rights.expiry > time.time() else None


@dataclass(frozen=True)
class Grant:
    """A permission to upload one xorb to the bucket.

    Attributes:
        xorb: the hash of the xorb.
        size: the size of the upload in bytes.
        checksum: its CRC-64/NVME.
    """

    xorb: bytes
    size: int
    checksum: int


class Grants:
    """All grants that are not committed yet. They are lost when the hub stops."""

    def __init__(self) -> None:
        self._grants: dict[str, Grant] = {}
        self._lock = threading.Lock()

    def create(self, grant: Grant) -> str:
        """Keep a grant and return its new id."""
        identifier = uuid.uuid4().hex
        with self._lock:
            self._grants[identifier] = grant
        return identifier

    def find(self, identifier: str) -> Grant | None:
        """Return a grant, or None if the id is unknown."""
        with self._lock:
            return self._grants.get(identifier)

    def remove(self, identifier: str) -> None:
        """Forget a grant."""
        with self._lock:
            self._grants.pop(identifier, None)
