"""The state of Xet that all endpoints share."""

import secrets
from dataclasses import dataclass, field
from typing import Self

from ved.localhub.storage import Storage
from ved.localhub.xet.access import Grants, XetTokens
from ved.localhub.xet.cas import Cas


@dataclass(frozen=True)
class Xet:
    """The storage of a hub with Xet.

    Attributes:
        cas: xorbs and files.
        tokens: the tokens of the CAS.
        grants: the grants to upload xorbs.
        path: the path of the CAS on its origin. Clients remember by the URL of the CAS what is
            stored, so no two hubs have the same URL.
    """

    cas: Cas
    tokens: XetTokens
    grants: Grants = field(default_factory=Grants)
    path: str = field(default_factory=lambda: f"/cas/{secrets.token_hex(8)}")

    @classmethod
    def open(cls, storage: Storage, token_lifetime: int) -> Self:
        """Return the storage beside the repos of a hub; the lifetime of tokens is in seconds."""
        return cls(Cas(storage.root, storage.incoming), XetTokens(token_lifetime))
