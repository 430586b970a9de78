"""ved.hub.rights: what whoami says that a token may do."""

from typing import Any

import pytest

from ved.hub.answers import MalformedAnswerError
from ved.hub.rights import COLLECTION_WRITE, parse_rights

REPO = "team/x"


def answer(role: str | None = "write", *organizations: dict[str, Any], **details: Any) -> Any:
    """Return an answer of whoami; without a role, for an OAuth token."""
    token = {"accessToken": {"role": role, **details}} if role else {}
    return {"name": "Owner", "auth": {"type": "x", **token}, "orgs": [*organizations]}


def team(role: str | None = "write", **details: Any) -> dict[str, Any]:
    return {"name": "Team", **({"roleInOrg": role} if role else {}), **details}


def fine(*scoped: Any, everywhere: Any = ()) -> Any:
    """Return an answer for a fine-grained token of a writer of team."""
    details = {"scoped": [*scoped], "global": [*everywhere]}
    return answer("fineGrained", team(), fineGrained=details)


def scope(kind: str, name: str | None, *permissions: str) -> dict[str, Any]:
    entity = {"type": kind, **({"name": name} if name else {})}
    return {"entity": entity, "permissions": [*permissions]}


def verdict(found: Any, repo: str = REPO, *, exists: bool = False) -> str:
    rights = parse_rights(found)
    if rights.refusal(repo) is not None:
        return "no"
    return "yes" if rights.doubt(repo, exists=exists) is None else "perhaps"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (answer("write", team()), "yes"),
        (answer("write", team("admin")), "yes"),
        (answer("write", team(None)), "yes"),
        (answer("write", team("contributor")), "yes"),
        (answer("write", team("read")), "no"),
        (answer("write", team("no_access")), "no"),
        (answer("write", team("Annotators")), "perhaps"),
        (answer("write", team("read", resourceGroups=[{"role": "write"}])), "perhaps"),
        (answer("write", team(securityRestrictions=["sso"])), "perhaps"),
        (answer("write"), "no"),
        (answer("read", team()), "perhaps"),
        (answer(None, team()), "yes"),
        (answer(None), "no"),
    ],
)
def test_rights_follow_role_in_organization(found: Any, expected: str) -> None:
    assert verdict(found) == expected


def test_rights_of_contributor_are_doubtful_for_existing_repo() -> None:
    found = answer("write", team("contributor"))
    assert verdict(found, exists=True) == "perhaps"
    assert verdict(found, "owner/x", exists=True) == "yes"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (fine(), "no"),
        (fine(scope("org", "Team", "repo.content.read", "repo.access.read")), "no"),
        (fine(scope("org", "Team", "repo.write")), "yes"),
        (fine(scope("model", "team/X", "repo.write")), "yes"),
        (fine(scope("dataset", "team/x", "repo.write")), "no"),
        (fine(scope("model", "team/other", "repo.write")), "no"),
        (fine(scope("user", "owner", "repo.write")), "no"),
        (fine(scope("org", "team", "discussion.write", "job.write")), "no"),
        (fine(scope("org", "team", "repo.content.write")), "perhaps"),
        (fine(scope("resource-group", "g", "repo.write")), "perhaps"),
        (fine(scope("org", None, "repo.write")), "perhaps"),
        (fine(everywhere=["discussion.write", "post.write"]), "no"),
        (fine(everywhere=["repo.everything"]), "perhaps"),
        (fine(5), "perhaps"),
        (fine({"entity": {}}), "perhaps"),
        (answer("fineGrained", team()), "perhaps"),
        (answer("fineGrained", team(), fineGrained={"scoped": 5}), "perhaps"),
    ],
)
def test_rights_follow_scopes_of_fine_grained_token(found: Any, expected: str) -> None:
    assert verdict(found) == expected


def test_rights_for_collections_need_their_own_permission() -> None:
    rights = parse_rights(fine(scope("org", "team", "repo.write")))
    assert rights.refusal("team/A title", COLLECTION_WRITE) is not None
    rights = parse_rights(fine(scope("org", "team", "collection.write")))
    assert rights.refusal("team/A title", COLLECTION_WRITE) is None


def test_namespaces_are_those_without_refusal() -> None:
    assert parse_rights(answer("write", team("read"))).namespaces == {"owner"}
    assert parse_rights(fine(scope("model", "team/other", "repo.write"))).namespaces == {"team"}


@pytest.mark.parametrize(
    "found", [[], 5, {}, {"name": 5}, {"name": "a", "orgs": [5]}, {"name": "a", "auth": 5}]
)
def test_parse_rights_refuses_malformed_answer(found: Any) -> None:
    with pytest.raises(MalformedAnswerError):
        parse_rights(found)
