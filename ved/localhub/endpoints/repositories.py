"""Endpoints for the caller's account, and to create, change, describe, list and delete repos."""

from typing import Any

from starlette.responses import JSONResponse, Response

from ved.localhub import cards, errors, payloads
from ved.localhub.call import Call
from ved.localhub.endpoints.contents import described_entry
from ved.localhub.git import MAIN
from ved.localhub.storage import Repository, timestamp, url_path

_SUMMARY = {
    *("id", "modelId", "private", "downloads", "likes", "createdAt"),
    *("tags", "pipeline_tag", "library_name"),
}
_FULL = {"author", "sha", "lastModified", "gated", "disabled", "siblings"}


def whoami(call: Call) -> Response:
    """GET /api/whoami-v2: 403 for the token of a CI job, which belongs to no user."""
    # The real status is not documented.
    if call.user.repository:
        raise errors.forbidden("this token belongs to a repo, not to a user")
    return JSONResponse(call.user.whoami())


def validate_yaml(call: Call) -> Response:
    """POST /api/validate-yaml: 400 if the metadata is wrong."""
    card = call.payload(payloads.Card)
    found, warnings = cards.validate(
        card.content,
        f"{card.repo_type}s",
        known_metadata=call.hub.behavior.known_metadata,
    )
    body = {
        "errors": [{"message": message} for message in found],
        "warnings": [{"message": message} for message in warnings],
    }
    return JSONResponse(body, 400 if found else 200)


def create(call: Call) -> Response:
    """POST /api/repos/create: 409 if the repo exists, 403 in another's namespace."""
    new = call.payload(payloads.NewRepository)
    kind, repo_id = _kind_and_id(call, new)
    if call.hub.storage.path(kind, repo_id) is None:
        raise errors.bad_request(f"Invalid repo name: {repo_id}")
    namespace = repo_id.split("/")[0]
    if not call.user.may_create_in(namespace):
        raise errors.forbidden(f"no right to create a repo in the namespace {namespace}")
    if call.user.needs_resource_group(namespace) and new.resource_group_id is None:
        raise errors.forbidden(f"{namespace} requires a resource group for new repositories")
    url = f"{call.hub.endpoint}/{url_path(kind, repo_id)}"
    private = bool(new.wants_private) and call.hub.behavior.obeys_private
    card = f"---\nlicense: {new.license}\n---\n" if new.license else ""
    author = call.user.name
    limit = call.hub.behavior.creation_limit
    if call.hub.storage.find(kind, repo_id) is None:
        call.hub.counters.require(author, "repo-creation", limit)
    if not call.hub.storage.create(kind, repo_id, private=private, author=author, card=card):
        raise errors.conflict("You already created this repo", url=url)
    return JSONResponse({"url": url, "name": repo_id})


def move(call: Call) -> Response:
    """POST /api/repos/move: rename or transfer a repo. The old name redirects to the new one."""
    wanted = call.payload(payloads.RepositoryMove)
    kind = f"{wanted.type}s"
    repository = call.visible(call.hub.storage.find(kind, wanted.from_repo))
    call.require_ownership(repository)
    if call.hub.storage.path(kind, wanted.to_repo) is None:
        raise errors.bad_request(f"Invalid repo name: {wanted.to_repo}")
    if not call.user.may_create_in(wanted.to_repo.split("/")[0]):
        raise errors.forbidden(f"no right to move a repo to {wanted.to_repo}")
    if not call.hub.storage.move(repository, wanted.to_repo):
        raise errors.conflict(f"{wanted.to_repo} exists")
    return JSONResponse({})


def delete(call: Call) -> Response:
    """DELETE /api/repos/delete."""
    kind, repo_id = _kind_and_id(call, call.payload(payloads.NamedRepository))
    repository = call.visible(call.hub.storage.find(kind, repo_id))
    call.require_ownership(repository)
    call.hub.publishers.remove_all(url_path(kind, repo_id))
    call.hub.storage.delete(repository)
    return JSONResponse({})


def change_settings(call: Call) -> Response:
    """PUT /api/{kind}/{id}/settings."""
    call.require_ownership(call.repository)
    wanted = call.payload(payloads.Settings)
    private = wanted.wants_private if call.hub.behavior.obeys_private else None
    changes = {"private": private, "gated": wanted.gated}
    call.repository.write_settings({k: v for k, v in changes.items() if v is not None})
    return JSONResponse(_public(call.repository.settings))


def info(call: Call) -> Response:
    """GET /api/{kind}/{id}[/revision/{revision}]."""
    repository = call.repository
    revision = call.parameter("revision") if "revision" in call.request.path_params else MAIN
    described = _described(repository, repository.git.resolve(revision))
    if call.flag("blobs"):
        with_digests = call.hub.behavior.lists_digests
        described["siblings"] = _measured_siblings(repository, described["sha"], with_digests)
    if call.flag("securityStatus"):
        described["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
    return JSONResponse(_expanded(call, described) or described)


def list_all(call: Call) -> Response:
    """GET /api/{kind}: the repos that the caller may see, filtered by author, search and tags."""
    query = call.request.query_params
    tags = {*query.getlist("filter"), *query.getlist("pipeline_tag")}
    searched = [text.lower() for text in query.getlist("search")]
    found = [
        repository
        for repository in call.hub.storage.all(call.kind)
        if query.get("author") in (None, repository.namespace)
        and all(text in repository.id.lower() for text in searched)
        and call.may_see(repository)
        and (not tags or tags <= set(_described_head(repository)["tags"]))
    ]
    keys = _SUMMARY | (_FULL if call.flag("full") else set())
    keys |= {"cardData"} if call.flag("cardData") else set()

    def rendered(repository: Repository) -> dict[str, Any]:
        described = _described_head(repository)
        return _expanded(call, described) or _only(described, keys)

    return call.page(found, rendered)


def _kind_and_id(call: Call, payload: payloads.NamedRepository) -> tuple[str, str]:
    namespace = payload.organization or call.user.name
    return f"{payload.type or 'model'}s", f"{namespace}/{payload.name}"


def _described(repository: Repository, commit: str) -> dict[str, Any]:
    git, settings = repository.git, repository.settings
    card = cards.card_data(git.text(commit, "README.md"))
    described = {
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.namespace,
        "sha": commit,
        "lastModified": timestamp(git.commit_object(commit).commit_time),
        **_public(settings),
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": cards.derived_tags(card),
        "siblings": [
            {"rfilename": entry.path} for entry in git.tree(commit).values() if not entry.is_folder
        ],
    }
    if card:
        described["cardData"] = card
    return described | _only(card, {"pipeline_tag", "library_name"})


def _described_head(repository: Repository) -> dict[str, Any]:
    with repository:
        return _described(repository, repository.git.resolve(MAIN))


def _public(settings: dict[str, Any]) -> dict[str, Any]:
    return _only(settings, {"private", "gated", "createdAt"})


def _measured_siblings(
    repository: Repository, commit: str, with_digests: bool
) -> list[dict[str, Any]]:
    siblings = []
    for entry in repository.git.tree(commit).values():
        if not entry.is_folder:
            file = described_entry(repository.git, entry)
            sibling = {"rfilename": entry.path, "size": file["size"]}
            if with_digests:
                sibling["blobId"] = entry.oid
            if with_digests and "lfs" in file:
                sibling["lfs"] = {"sha256": file["lfs"].pop("oid"), **file["lfs"]}
            siblings.append(sibling)
    return siblings


def _expanded(call: Call, described: dict[str, Any]) -> dict[str, Any] | None:
    """Return the properties that the query names in `expand`, or None if it names none."""
    keys = call.request.query_params.getlist("expand")
    return _only(described, {"id", *keys}) if keys else None


def _only(item: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key in keys}
