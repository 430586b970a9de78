"""The sender of a request, and the rights of their token.

A right needs two things: the token grants the permission, and the user's role in the namespace
does. Names of permissions and roles: https://huggingface.co/docs/hub/security-tokens and
https://huggingface.co/docs/hub/organizations-security. The real Hub documents no list of all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["read", "write", "fineGrained", "oauth"]
"""The role of a token. OAuth tokens have none, and may do here what their user may do."""

READ, WRITE, COLLECTION_WRITE = "repo.content.read", "repo.write", "collection.write"
"""The permissions of fine-grained tokens that this hub knows."""


@dataclass(frozen=True)
class Organization:
    """An organization.

    Attributes:
        resource_groups: the names of its resource groups.
        demands_resource_group: whether a new repo has to name a resource group.
        security_restrictions: what it demands of its members and this user lacks, such as sso.
    """

    resource_groups: Sequence[str] = ()
    demands_resource_group: bool = False
    security_restrictions: Sequence[str] = ()


@dataclass(frozen=True)
class Membership:
    """The role of a user in an organization.

    Attributes:
        organization: the organization.
        role: admin, write, contributor, read, no_access, or the name of a custom role, which here
            allows what `write` does.
    """

    organization: Organization
    role: str

    @property
    def may_create(self) -> bool:
        """Whether the role may create repos."""
        return self.may_write or (self.role == "contributor" and self._is_unrestricted)

    @property
    def may_write(self) -> bool:
        """Whether the role may write to all repos."""
        return self.role not in ("contributor", "read", "no_access") and self._is_unrestricted

    @property
    def may_read(self) -> bool:
        """Whether the role may read private repos."""
        return self.role != "no_access" and self._is_unrestricted

    @property
    def _is_unrestricted(self) -> bool:
        return not self.organization.security_restrictions


_OWN = Membership(Organization(), "admin")
"""The membership of users in their own namespace."""

_NONE = Membership(Organization(), "no_access")


@dataclass(frozen=True)
class Identity:
    """The owner of a token, a user or a CI job, with the rights of this token.

    Attributes:
        name: the user name; [OIDC] for CI jobs.
        role: the role of the token.
        memberships: by the names of the organizations of the user.
        scopes: the permissions of a fine-grained token, by user, organization or id of a model.
        repository: the only repo that a CI job writes to, as kind/id. Empty for users.
        sees_private: whether a user's token opens private repos, and not only gated ones.
    """

    name: str
    role: Role
    memberships: Mapping[str, Membership] = field(default_factory=dict)
    scopes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    repository: str = ""
    sees_private: bool = True

    @classmethod
    def of_publisher(cls, kind: str, repo_id: str, *, read_only: bool = False) -> "Identity":
        """Return the identity of a CI job that publishes to a repo, or only reads it."""
        # No account can have this name, because of the brackets.
        role: Role = "read" if read_only else "write"
        return cls("[OIDC]", role, repository=f"{kind}/{repo_id}")

    def publishes_to(self, kind: str, repo_id: str) -> bool:
        """Tell whether this is a CI job with a token for the repo."""
        return self.repository == f"{kind}/{repo_id}"

    def belongs_to(self, namespace: str) -> bool:
        """Tell whether the namespace is the user's own or that of one of their organizations."""
        return self._membership(namespace).may_read

    def sees_private_of(self, namespace: str, repo_id: str = "") -> bool:
        """Tell whether this token opens a private repo, or the private collections of a namespace.

        Args:
            namespace: the owner.
            repo_id: the repo; empty for collections and listings.
        """
        granted = any(self._grants(each, namespace, repo_id) for each in (READ, WRITE))
        return self.sees_private and self.belongs_to(namespace) and granted

    def may_create_in(self, namespace: str) -> bool:
        """Tell whether this token may create repos in a namespace."""
        return self._grants(WRITE, namespace) and self._membership(namespace).may_create

    def may_write(self, repo_id: str, author: str) -> bool:
        """Tell whether this token may change a repo.

        Args:
            repo_id: owner/name.
            author: the user who created the repo.
        """
        namespace = repo_id.partition("/")[0]
        membership = self._membership(namespace)
        is_own = membership.may_create and author == self.name
        return self._grants(WRITE, namespace, repo_id) and (membership.may_write or is_own)

    def may_change_collections(self, namespace: str) -> bool:
        """Tell whether this token may create and change the collections of a namespace."""
        return self._grants(COLLECTION_WRITE, namespace) and self._membership(namespace).may_write

    def needs_resource_group(self, namespace: str) -> bool:
        """Tell whether a new repo of a namespace has to name a resource group."""
        return self._membership(namespace).organization.demands_resource_group

    def _membership(self, namespace: str) -> Membership:
        return _OWN if namespace == self.name else self.memberships.get(namespace, _NONE)

    def _grants(self, permission: str, namespace: str, repo_id: str = "") -> bool:
        """Tell whether the token grants a permission, whatever the role of its user allows."""
        if self.role == "read":
            return permission == READ
        entities = (namespace, repo_id)
        granted = [each for entity in entities for each in self.scopes.get(entity, ())]
        return self.role != "fineGrained" or permission in granted

    def whoami(self) -> dict[str, Any]:
        """Return the body of the response to GET /api/whoami-v2."""
        return {
            "type": "user",
            "id": self.name,
            "name": self.name,
            "fullname": self.name,
            "isPro": False,
            "avatarUrl": "",
            "orgs": [_organization(name, each) for name, each in self.memberships.items()],
            "auth": self._auth(),
        }

    def _auth(self) -> dict[str, Any]:
        if self.role == "oauth":
            return {"type": "oauth"}
        token: dict[str, Any] = {"displayName": self.role, "role": self.role}
        if self.role == "fineGrained":
            scoped = [
                {
                    "entity": {"_id": entity, "type": self._entity_type(entity), "name": entity},
                    "permissions": list(permissions),
                }
                for entity, permissions in self.scopes.items()
            ]
            token["fineGrained"] = {"canReadGatedRepos": False, "global": [], "scoped": scoped}
        return {"type": "access_token", "accessToken": token}

    def _entity_type(self, entity: str) -> str:
        if "/" in entity:
            return "model"
        return "user" if entity == self.name else "org"


def _organization(name: str, membership: Membership) -> dict[str, Any]:
    """Return an organization as whoami lists it."""
    found = membership.organization
    groups = [{"id": each, "name": each, "role": membership.role} for each in found.resource_groups]
    return {
        "type": "org",
        "id": name,
        "name": name,
        "fullname": name,
        "roleInOrg": membership.role,
        **({"resourceGroups": groups} if groups else {}),
        **(
            {"securityRestrictions": [*found.security_restrictions]}
            if found.security_restrictions
            else {}
        ),
    }
