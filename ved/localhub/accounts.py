"""Users, organizations and tokens. `ved.localhub.identities` has the rights that they give."""

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ved.errors import ErrorCode, VedError
from ved.localhub.files import replace_text
from ved.localhub.identities import Identity, Membership, Organization, Role

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")


@dataclass
class _Token:
    user: str
    role: Role
    scopes: dict[str, Sequence[str]] = field(default_factory=dict)


@dataclass
class _State:
    organizations: dict[str, Organization] = field(default_factory=dict)
    memberships: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[str, _Token] = field(default_factory=dict)

    @classmethod
    def load(cls, text: str) -> "_State":
        content: dict[str, Any] = json.loads(text)
        return cls(
            {name: Organization(**each) for name, each in content["organizations"].items()},
            content["memberships"],
            {token: _Token(**each) for token, each in content["tokens"].items()},
        )


class Accounts:
    """All accounts of a hub. A JSON file keeps them and is rewritten at every change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._state = _State.load(file.read_text()) if file.exists() else _State()

    def add_organization(self, name: str, organization: Organization | None = None) -> None:
        """Add an organization, or change its settings.

        Args:
            name: the name.
            organization: the settings; None for the defaults, or those that it has.

        Raises:
            VedError: the name is malformed or belongs to a user.
        """
        with self._lock:
            self._add_organization(name, organization)
            self._save()

    def add_user(
        self,
        name: str,
        token: str,
        role: Role,
        organizations: Mapping[str, str],
        scopes: Mapping[str, Sequence[str]],
    ) -> None:
        """Add a user with a token, or add the token and the memberships to an existing user.

        Args:
            name: the user.
            token: the token.
            role: the role of the token.
            organizations: the roles in organizations. Missing organizations are created.
            scopes: the permissions of a fine-grained token, by user, organization or repo id.

        Raises:
            VedError: a name is malformed, or belongs to a user and to an organization.
        """
        with self._lock:
            if _valid_name(name) in self._state.organizations:
                raise VedError(
                    f"{name!r} is an organization.",
                    "Give the user another name.",
                    code=ErrorCode.LOCAL_HUB,
                )
            for organization in organizations:
                self._add_organization(organization)
            self._state.memberships.setdefault(name, {}).update(organizations)
            self._state.tokens[token] = _Token(name, role, {**scopes})
            self._save()

    def identify(self, token: str) -> Identity | None:
        """Return the identity of a token, or None if the token is unknown."""
        with self._lock:
            found = self._state.tokens.get(token)
            if found is None:
                return None
            return Identity(found.user, found.role, self._memberships(found.user), found.scopes)

    def reader_of_gated(self, name: str) -> Identity | None:
        """Return an identity that reads the gated repos of a user, or None without such a user."""
        with self._lock:
            if name not in self._state.memberships:
                return None
            return Identity(name, "read", self._memberships(name), sees_private=False)

    def _memberships(self, name: str) -> dict[str, Membership]:
        return {
            organization: Membership(self._state.organizations[organization], role)
            for organization, role in self._state.memberships[name].items()
        }

    def _add_organization(self, name: str, organization: Organization | None = None) -> None:
        if _valid_name(name) in self._state.memberships:
            raise VedError(
                f"{name!r} is a user.",
                "Give the organization another name.",
                code=ErrorCode.LOCAL_HUB,
            )
        if organization is not None or name not in self._state.organizations:
            self._state.organizations[name] = organization or Organization()

    def _save(self) -> None:
        replace_text(self._file, json.dumps(asdict(self._state), indent=1))


def _valid_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise VedError(
            f"{name!r} is not an account name.",
            "Use letters, digits, and dashes between them.",
            code=ErrorCode.LOCAL_HUB,
        )
    return name
