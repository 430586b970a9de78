"""Who may do what: users, organizations and tokens, kept in one JSON file."""

import json
import re
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ved.errors import ErrorCode, VedError
from ved.localhub.files import replace_text

Role = Literal["read", "write"]
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")


@dataclass(frozen=True)
class Identity:
    """The bearer of a token: a user or a CI job, with what this token lets them do.

    Attributes:
        repository: the one repo, as kind and id, that a CI job's token writes to; empty for users.
        sees_private: whether a user's token opens what is private, and not only what is gated.
    """

    name: str
    role: Role
    organizations: tuple[str, ...]
    repository: str = ""
    sees_private: bool = True

    @classmethod
    def of_publisher(cls, kind: str, identifier: str) -> "Identity":
        """Return what a CI job is that publishes to a repo; no account can have its name."""
        return cls("[OIDC]", "write", (), repository=f"{kind}/{identifier}")

    def publishes_to(self, kind: str, identifier: str) -> bool:
        """Tell whether this is a CI job's token for the repo."""
        return self.repository == f"{kind}/{identifier}"

    def belongs_to(self, namespace: str) -> bool:
        """Tell whether the namespace is the user's own or one of their organizations."""
        return namespace == self.name or namespace in self.organizations

    def sees_private_of(self, namespace: str) -> bool:
        """Tell whether this token shows what the namespace keeps to its members."""
        return self.sees_private and self.belongs_to(namespace)

    def may_write_to(self, namespace: str) -> bool:
        """Tell whether this token may change what the namespace owns."""
        return self.role == "write" and self.belongs_to(namespace)

    def whoami(self) -> dict[str, Any]:
        """Return what GET /api/whoami-v2 answers."""
        return {
            "type": "user",
            "name": self.name,
            "fullname": self.name,
            "isPro": False,
            "avatarUrl": "",
            "orgs": [
                {"type": "org", "name": name, "fullname": name, "roleInOrg": "write"}
                for name in self.organizations
            ],
            "auth": {
                "type": "access_token",
                "accessToken": {"displayName": self.role, "role": self.role},
            },
        }


@dataclass
class _State:
    organizations: list[str] = field(default_factory=list)
    memberships: dict[str, list[str]] = field(default_factory=dict)
    tokens: dict[str, tuple[str, Role]] = field(default_factory=dict)


class Accounts:
    """The accounts in one JSON file, which is rewritten at every change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._state = _State(**json.loads(file.read_text())) if file.exists() else _State()

    def add_organization(self, name: str) -> None:
        """Add an organization, if it is not there yet."""
        with self._lock:
            self._add_organization(name)
            self._save()

    def add_user(self, name: str, token: str, role: Role, organizations: tuple[str, ...]) -> None:
        """Add a user, or to a user who is there already a token or memberships."""
        with self._lock:
            if _checked(name) in self._state.organizations:
                raise VedError(
                    f"{name!r} is an organization.",
                    "Give the user another name.",
                    code=ErrorCode.LOCAL_HUB,
                )
            memberships = self._state.memberships.setdefault(name, [])
            for organization in organizations:
                self._add_organization(organization)
                if organization not in memberships:
                    memberships.append(organization)
            self._state.tokens[token] = (name, role)
            self._save()

    def identify(self, token: str) -> Identity | None:
        """Return whose token it is, or None."""
        with self._lock:
            if token not in self._state.tokens:
                return None
            name, role = self._state.tokens[token]
            return Identity(name, role, tuple(self._state.memberships[name]))

    def reader_of_gated(self, name: str) -> Identity | None:
        """Return what reads a user's gated repos and no private ones; None without such a user."""
        with self._lock:
            memberships = self._state.memberships.get(name)
            if memberships is None:
                return None
            return Identity(name, "read", tuple(memberships), sees_private=False)

    def _add_organization(self, name: str) -> None:
        if _checked(name) in self._state.memberships:
            raise VedError(
                f"{name!r} is a user.",
                "Give the organization another name.",
                code=ErrorCode.LOCAL_HUB,
            )
        if name not in self._state.organizations:
            self._state.organizations.append(name)

    def _save(self) -> None:
        replace_text(self._file, json.dumps(asdict(self._state), indent=1))


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise VedError(
            f"{name!r} is no account name.",
            "Use letters, digits and inner dashes.",
            code=ErrorCode.LOCAL_HUB,
        )
    return name
