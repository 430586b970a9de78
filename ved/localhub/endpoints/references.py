"""Endpoints for branches, tags and history."""

from typing import Any

from dulwich.objects import Commit
from starlette.responses import JSONResponse, Response

from ved.localhub import payloads
from ved.localhub.call import Call
from ved.localhub.git import MAIN
from ved.localhub.storage import timestamp


def list_references(call: Call) -> Response:
    """GET /api/{kind}/{id}/refs."""

    def below(prefix: str) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"{prefix}/{name}", "targetCommit": commit}
            for name, commit in call.repository.git.references(prefix).items()
        ]

    return JSONResponse(
        {"branches": below("refs/heads"), "tags": below("refs/tags"), "converts": []}
    )


def create_branch(call: Call) -> Response:
    """POST /api/{kind}/{id}/branch/{name}: 409 if the branch exists."""
    call.require_write()
    git = call.repository.git
    start = git.resolve(call.payload(payloads.NewBranch).starting_point or MAIN)
    git.create_reference(f"refs/heads/{call.parameter('name')}", start)
    return JSONResponse({})


def delete_branch(call: Call) -> Response:
    """DELETE /api/{kind}/{id}/branch/{name}."""
    call.require_write()
    call.repository.git.delete_reference(f"refs/heads/{call.parameter('name')}")
    return JSONResponse({})


def create_tag(call: Call) -> Response:
    """POST /api/{kind}/{id}/tag/{revision}: 409 if the tag exists."""
    call.require_write()
    new = call.payload(payloads.NewTag)
    git = call.repository.git
    git.create_tag(new.tag, git.resolve(call.parameter("revision")), new.message, call.user.name)
    return JSONResponse({})


def delete_tag(call: Call) -> Response:
    """DELETE /api/{kind}/{id}/tag/{name}."""
    call.require_write()
    call.repository.git.delete_reference(f"refs/tags/{call.parameter('name')}")
    return JSONResponse({})


def list_commits(call: Call) -> Response:
    """GET /api/{kind}/{id}/commits/{revision}: newest first."""
    git = call.repository.git
    history = list(git.history(git.resolve(call.parameter("revision"))))
    return call.page(history, _rendered)


def _rendered(commit: Commit) -> dict[str, Any]:
    title, _, message = commit.message.decode().partition("\n")
    return {
        "id": commit.id.decode(),
        "title": title,
        "message": message.strip(),
        "authors": [{"user": commit.author.decode().split(" <")[0]}],
        "date": timestamp(commit.commit_time),
    }
