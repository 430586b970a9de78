"""Endpoints about branches, tags, history, discussions and pull requests."""

from typing import Any

from dulwich.objects import Commit
from starlette.responses import JSONResponse, Response

from ved.localhub import errors, payloads
from ved.localhub.call import Call
from ved.localhub.git import MAIN
from ved.localhub.storage import Repository, timestamp


def list_references(call: Call) -> Response:
    """GET /api/{kind}/{id}/refs."""

    def below(prefix: str) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"{prefix}/{name}", "targetCommit": commit}
            for name, commit in call.repository.git.references(prefix).items()
        ]

    found = {"branches": below("refs/heads"), "tags": below("refs/tags"), "converts": []}
    if call.flag("include_prs"):
        found["pullRequests"] = below("refs/pr")
    return JSONResponse(found)


def create_branch(call: Call) -> Response:
    """POST /api/{kind}/{id}/branch/{name}: 409 when there is one of that name."""
    call.require_write(call.repository)
    git = call.repository.git
    start = git.resolve(call.payload(payloads.NewBranch).starting_point or MAIN)
    git.create_reference(f"refs/heads/{call.parameter('name')}", start)
    return JSONResponse({})


def delete_branch(call: Call) -> Response:
    """DELETE /api/{kind}/{id}/branch/{name}."""
    call.require_write(call.repository)
    call.repository.git.delete_reference(f"refs/heads/{call.parameter('name')}")
    return JSONResponse({})


def create_tag(call: Call) -> Response:
    """POST /api/{kind}/{id}/tag/{revision}: 409 when there is one of that name."""
    call.require_write(call.repository)
    new = call.payload(payloads.NewTag)
    git = call.repository.git
    git.create_tag(new.tag, git.resolve(call.parameter("revision")), new.message, call.user.name)
    return JSONResponse({})


def delete_tag(call: Call) -> Response:
    """DELETE /api/{kind}/{id}/tag/{name}."""
    call.require_write(call.repository)
    call.repository.git.delete_reference(f"refs/tags/{call.parameter('name')}")
    return JSONResponse({})


def list_commits(call: Call) -> Response:
    """GET /api/{kind}/{id}/commits/{revision}, the newest first."""
    git = call.repository.git
    history = list(git.history(git.resolve(call.parameter("revision"))))
    return call.page(history, _rendered_commit)


def list_discussions(call: Call) -> Response:
    """GET /api/{kind}/{id}/discussions, all on one page."""
    found = [_rendered(call.repository, known) for known in call.repository.discussions()]
    return JSONResponse({"discussions": found, "count": len(found), "start": 0})


def create_discussion(call: Call) -> Response:
    """POST /api/{kind}/{id}/discussions: a pull request is a draft at main, without a change."""
    call.require_proposal()
    new = call.payload(payloads.NewDiscussion)
    number = call.repository.open_discussion(
        title=new.title,
        description=new.description,
        author=call.user.name,
        status="draft" if new.pull_request else "open",
        commit=call.repository.git.resolve(MAIN) if new.pull_request else None,
    )
    return JSONResponse({"num": number})


def discussion(call: Call) -> Response:
    """GET /api/{kind}/{id}/discussions/{number}."""
    repository = call.repository
    for known in repository.discussions():
        if str(known["num"]) == call.parameter("number"):
            details = _rendered(repository, known) | {"events": [_first_comment(known)]}
            if known["isPullRequest"]:
                details |= {"changes": {"base": MAIN}, "filesWithConflicts": []}
                details["events"] += _pull_request_commits(repository, known)
            return JSONResponse(details)
    raise errors.HubError(404, "Discussion not found")


def _rendered(repository: Repository, discussion: dict[str, Any]) -> dict[str, Any]:
    return {
        **discussion,
        "author": {"name": discussion["author"]},
        "repo": {"name": repository.id, "type": repository.kind.removesuffix("s")},
    }


def _first_comment(discussion: dict[str, Any]) -> dict[str, Any]:
    author, created = {"name": discussion["author"]}, discussion["createdAt"]
    latest = {"raw": discussion["description"], "author": author, "updatedAt": created}
    return {
        "id": f"{discussion['num']}-0",
        "type": "comment",
        "author": author,
        "createdAt": created,
        "data": {"edited": False, "hidden": False, "latest": latest, "history": [latest]},
    }


def _pull_request_commits(
    repository: Repository, discussion: dict[str, Any]
) -> list[dict[str, Any]]:
    git = repository.git
    head = git.resolve(f"refs/pr/{discussion['num']}")
    rendered = [_rendered_commit(c) for c in git.history(head, without=git.resolve(MAIN))]
    return [
        {
            "id": commit["id"],
            "type": "commit",
            "author": {"name": commit["authors"][0]["user"]},
            "createdAt": commit["date"],
            "data": {"oid": commit["id"], "subject": commit["title"]},
        }
        for commit in reversed(rendered)
    ]


def _rendered_commit(commit: Commit) -> dict[str, Any]:
    title, _, message = commit.message.decode().partition("\n")
    return {
        "id": commit.id.decode(),
        "title": title,
        "message": message.strip(),
        "authors": [{"user": commit.author.decode().split(" <")[0]}],
        "date": timestamp(commit.commit_time),
    }
