"""The rights of a token, as far as the Hub reports them: certain, doubtful, or certainly missing.

A right needs two things: the token has it, and the user's role in the namespace has it. The Hub
documents neither all roles nor all permissions, so an unknown one is a doubt, and never a refusal.

Source: https://huggingface.co/docs/hub/security-tokens, the roles of
https://huggingface.co/docs/hub/organizations-security, and the answers of GET /api/whoami-v2.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ved.hub.answers import MalformedAnswerError
from ved.text import quoted

WRITE, COLLECTION_WRITE = "repo.write", "collection.write"
"""The permissions of a fine-grained token that VED needs."""

_HARMLESS = frozenset(("repo.content.read", "repo.access.read", "collection.read"))
"""Documented permissions that begin like those that VED needs, and do not give the same right."""

_WRITING_ROLES = frozenset(("admin", "write"))
_READING_ROLES = frozenset(("read", "no_access"))


@dataclass(frozen=True)
class Organization:
    """An organization of the user.

    Attributes:
        role: the user's role; None if the Hub does not report it.
        has_groups: whether the user is in resource groups, which have roles of their own.
        restrictions: what the organization demands of the user, such as "sso".
    """

    role: str | None = None
    has_groups: bool = False
    restrictions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scope:
    """Permissions of a fine-grained token.

    Attributes:
        kind: the type of the entity, such as "user", "org" or "model".
        name: the name of the entity in lower case; "" if the Hub reports none.
        permissions: the names of the permissions.
    """

    kind: str
    name: str
    permissions: frozenset[str]


@dataclass(frozen=True)
class Rights:
    """The user of a token, and the rights of user and token.

    Attributes:
        user: the name of the user, in lower case.
        organizations: the organizations of the user, by name in lower case.
        role: the role of the token, such as "read", "write" or "fineGrained"; None for OAuth.
        scopes: the permissions of a fine-grained token; None if the Hub does not report them.
    """

    user: str
    organizations: Mapping[str, Organization] = field(default_factory=dict)
    role: str | None = None
    scopes: tuple[Scope, ...] | None = None

    @property
    def namespaces(self) -> frozenset[str]:
        """The namespaces that the token may be able to publish to, in lower case."""
        names = (self.user, *self.organizations)
        return frozenset(name for name in names if self.refusal(f"{name}/*", any_repo=True) is None)

    def refusal(self, repo: str, permission: str = WRITE, *, any_repo: bool = False) -> str | None:
        """Return why the token certainly may not write to a repo; None if it may, or perhaps.

        Args:
            repo: owner/name.
            permission: the permission that a fine-grained token needs.
            any_repo: whether one repo of the owner is enough.
        """
        namespace = repo.lower().partition("/")[0]
        if namespace != self.user:
            organization = self.organizations.get(namespace)
            if organization is None:
                return f"its user is not a member of {namespace}"
            if organization.role in _READING_ROLES and not organization.has_groups:
                return f"its user has the role {organization.role} in {namespace}"
        if self._grants(repo, permission, any_repo) is False:
            return f"the fine-grained token lacks the permission {permission} for {repo}"
        return None

    def doubt(self, repo: str, *, exists: bool) -> str | None:
        """Return why the token may lack the right to write to a repo; None without a doubt.

        Args:
            repo: owner/name.
            exists: whether the repo exists.
        """
        namespace = repo.lower().partition("/")[0]
        if self.role == "read":
            return "the token can only read"
        if self._grants(repo, WRITE) is None:
            return "the Hub reports permissions of the fine-grained token that VED does not know"
        found = self.organizations.get(namespace)
        if found is None or namespace == self.user:
            return None
        if found.restrictions:
            demanded = ", ".join(quoted(each) for each in found.restrictions)
            return f"{namespace} restricts the access of this token's user: {demanded}"
        if found.role == "contributor" and exists:
            return f"a contributor of {namespace} can write only to repos that they created"
        if found.role is not None and found.role not in (*_WRITING_ROLES, "contributor"):
            return f"its user has the role {quoted(found.role)} in {namespace}"
        return None

    def _grants(self, repo: str, permission: str, any_repo: bool = False) -> bool | None:
        """Return whether the token has a permission for a repo; None if that is unknown."""
        if self.role != "fineGrained":
            return True
        if self.scopes is None:
            return None
        namespace = repo.lower().partition("/")[0]
        answer: bool | None = False
        for scope in self.scopes:
            is_known = scope.name and scope.kind in ("user", "org", "model", "dataset", "space")
            is_part = any_repo and scope.name.startswith(f"{namespace}/")
            covers = scope.name == namespace or (
                scope.kind == "model" and (scope.name == repo.lower() or is_part)
            )
            if is_known and not covers:
                continue
            if permission in scope.permissions and is_known:
                return True
            if any(_may_include(each, permission) for each in scope.permissions):
                answer = None
        return answer


def parse_rights(answer: Any) -> Rights:
    """Return the rights in an answer of ``GET /api/whoami-v2``.

    The answer for an OAuth token has no access token. Details that are malformed are unknown.

    Raises:
        MalformedAnswerError: the answer does not describe an account.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("name"), str):
        raise MalformedAnswerError("the answer does not describe an account")
    organizations, auth = answer.get("orgs", []), answer.get("auth", {})
    token = auth.get("accessToken", {}) if isinstance(auth, dict) else None
    if not isinstance(organizations, list) or not isinstance(token, dict):
        raise MalformedAnswerError("the answer does not describe an account")
    role = token.get("role")
    return Rights(
        user=answer["name"].lower(),
        organizations=dict(_organization(each) for each in organizations),
        role=role if isinstance(role, str) else None,
        scopes=_scopes(token.get("fineGrained")),
    )


def _organization(entry: object) -> tuple[str, Organization]:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise MalformedAnswerError(f"{quoted(repr(entry))} is not an organization")
    role = entry.get("roleInOrg")
    restrictions = entry.get("securityRestrictions")
    found = Organization(
        role if isinstance(role, str) else None,
        bool(entry.get("resourceGroups")),
        tuple(_texts(restrictions if isinstance(restrictions, list) else [])),
    )
    return entry["name"].lower(), found


def _scopes(entry: object) -> tuple[Scope, ...] | None:
    """Return the permissions of a fine-grained token; None if they are missing or malformed."""
    if not isinstance(entry, dict) or not isinstance(entry.get("scoped"), list):
        return None
    found = []
    for each in entry["scoped"]:
        entity = each.get("entity") if isinstance(each, dict) else None
        permissions = each.get("permissions") if isinstance(each, dict) else None
        if not isinstance(entity, dict) or not isinstance(permissions, list):
            return None
        kind, name = (entity.get(key) for key in ("type", "name"))
        found.append(
            Scope(
                kind if isinstance(kind, str) else "",
                name.lower() if isinstance(name, str) else "",
                frozenset(_texts(permissions)),
            )
        )
    everywhere = entry.get("global")
    if isinstance(everywhere, list) and everywhere:
        found.append(Scope("", "", frozenset(_texts(everywhere))))
    return tuple(found)


def _texts(values: Iterable[object]) -> Iterable[str]:
    return (each for each in values if isinstance(each, str))


def _may_include(granted: str, wanted: str) -> bool:
    """Return whether a permission may give another one, as an unknown one of the same subject."""
    return granted not in _HARMLESS and granted.partition(".")[0] == wanted.partition(".")[0]
