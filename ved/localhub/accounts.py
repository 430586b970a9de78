"""Users, organizations, tokens, and the rights that they give."""

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
    """The owner of a token, a user or a CI job, with the rights of this token.

    Attributes:
        name: the user name; [OIDC] for CI jobs.
        role: read or write.
        organizations: the organizations of the user.
        repository: the only repo that a CI job writes to, as kind/id. Empty for users.
        sees_private: whether a user's token opens private repos, and not only gated ones.
    """

    name: str
    role: Role
    organizations: tuple[str, ...]
    repository: str = ""
    sees_private: bool = True

    @classmethod
    def of_publisher(cls, kind: str, repo_id: str) -> "Identity":
        """Return the identity of a CI job that publishes to a repo."""
        # No account can have this name, because of the brackets.
        return cls("[OIDC]", "write", (), repository=f"{kind}/{repo_id}")

    def publishes_to(self, kind: str, repo_id: str) -> bool:
        """Tell whether this is a CI job with a token for the repo."""
        return self.repository == f"{kind}/{repo_id}"

    def belongs_to(self, namespace: str) -> bool:
        """Tell whether the namespace is the user's own or that of one of their organizations."""
        return namespace == self.name or namespace in self.organizations

    def sees_private_of(self, namespace: str) -> bool:
        """Tell whether this token opens the private repos of a namespace."""
        return self.sees_private and self.belongs_to(namespace)

    def may_write_to(self, namespace: str) -> bool:
        """Tell whether this token may change the repos and collections of a namespace."""
        return self.role == "write" and self.belongs_to(namespace)

    def whoami(self) -> dict[str, Any]:
        """Return the body of the response to GET /api/whoami-v2."""
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
    """All accounts of a hub. A JSON file keeps them and is rewritten at every change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._state = _State(**json.loads(file.read_text())) if file.exists() else _State()

    def add_organization(self, name: str) -> None:
        """Add an organization, unless it exists.

        Raises:
            VedError: the name is malformed or belongs to a user.
        """
        with self._lock:
            self._add_organization(name)
            self._save()

    def add_user(self, name: str, token: str, role: Role, organizations: tuple[str, ...]) -> None:
        """Add a user with a token, or add the token and the memberships to an existing user.

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
            memberships = self._state.memberships.setdefault(name, [])
            for organization in organizations:
                self._add_organization(organization)
                if organization not in memberships:
                    memberships.append(organization)
            self._state.tokens[token] = (name, role)
            self._save()

    def identify(self, token: str) -> Identity | None:
        """Return the identity of a token, or None if the token is unknown."""
        with self._lock:
            if token not in self._state.tokens:
                return None
            name, role = self._state.tokens[token]
            return Identity(name, role, tuple(self._state.memberships[name]))

    def reader_of_gated(self, name: str) -> Identity | None:
        """Return an identity that reads the gated repos of a user, or None without such a user."""
        with self._lock:
            memberships = self._state.memberships.get(name)
            if memberships is None:
                return None
            return Identity(name, "read", tuple(memberships), sees_private=False)

    def _add_organization(self, name: str) -> None:
        if _valid_name(name) in self._state.memberships:
            raise VedError(
                f"{name!r} is a user.",
                "Give the organization another name.",
                code=ErrorCode.LOCAL_HUB,
            )
        if name not in self._state.organizations:
            self._state.organizations.append(name)

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
