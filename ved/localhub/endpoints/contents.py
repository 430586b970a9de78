"""Endpoints about the files of a repo: what to upload, commits, listings, downloads."""

import uuid
from typing import Any
from urllib.parse import parse_qs

from pydantic import TypeAdapter, ValidationError
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, JSONResponse, Response

from ved.localhub import cards, errors
from ved.localhub.call import Call
from ved.localhub.endpoints.lfs import object_url
from ved.localhub.git import Entry, GitRepository, Pointer, ignore_matcher, lfs_matcher
from ved.localhub.payloads import (
    AddFile,
    CommitHeader,
    CommitLine,
    FileLine,
    HeaderLine,
    Operation,
    Preupload,
)
from ved.localhub.storage import timestamp, url_path

REGULAR_FILE_LIMIT = 10 * 2**20  # bytes

_COMMIT_LINE: TypeAdapter[CommitLine] = TypeAdapter(CommitLine)


def auth_check(call: Call) -> Response:
    """GET /api/{kind}/{id}/auth-check: whether the caller may read the files."""
    call.require_access()
    return JSONResponse({})


def preupload(call: Call) -> Response:
    """POST /api/{kind}/{id}/preupload/{revision}: which files are for LFS, or to be left out."""
    revision = call.parameter("revision")
    call.require_commit(revision, create_pr=call.flag("create_pr"))
    wanted = call.payload(Preupload)
    git = call.repository.git
    commit = git.resolve(revision)
    tree = git.tree(commit)
    is_lfs = lfs_matcher(git.text(commit, ".gitattributes").encode())
    ignored = git.text(commit, ".gitignore") if wanted.git_ignore is None else wanted.git_ignore
    is_ignored = ignore_matcher(ignored)
    answers = []
    for file in wanted.files:
        large = file.size > REGULAR_FILE_LIMIT or is_lfs(file.path)
        answer = {"path": file.path, "uploadMode": "lfs" if large else "regular"}
        entry = tree.get(file.path)
        if entry and not entry.is_folder:
            pointer = Pointer.parse(git.content(entry.oid))
            answer["oid"] = pointer.sha256 if pointer else entry.oid
        answers.append({**answer, "shouldIgnore": is_ignored(file.path)})
    return JSONResponse({"files": answers})


def commit(call: Call) -> Response:
    """POST /api/{kind}/{id}/commit/{revision}: all of it, or nothing."""
    revision, create_pr = call.parameter("revision"), call.flag("create_pr")
    call.require_commit(revision, create_pr=create_pr)
    repository, author = call.repository, call.user.name
    header, operations = _parsed_commit(call)
    message = f"{header.summary}\n\n{header.description}"
    path = url_path(repository.kind, repository.id)
    answer: dict[str, Any] = {"success": True}
    if create_pr:
        base = repository.git.resolve(header.parent_commit or revision)
        oid = repository.git.commit_onto(base, operations, message=message, author=author)
        number = repository.open_discussion(
            title=header.summary,
            description=header.description,
            author=author,
            status="open",
            commit=oid,
        )
        answer["pullRequestUrl"] = f"{call.hub.endpoint}/{path}/discussions/{number}"
    else:
        reference = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
        parent = header.parent_commit or ""
        oid = repository.git.commit(
            reference, operations, message=message, author=author, parent=parent
        )
    # Relative, because client 0.36.2 finds the repo's id in an absolute URL only when that begins
    # with HF_ENDPOINT, whatever endpoint it was given, and fails after the commit is made.
    return JSONResponse(answer | {"commitUrl": f"{path}/commit/{oid}", "commitOid": oid})


def tree(call: Call) -> Response:
    """GET /api/{kind}/{id}/tree/{revision}[/{path}]?recursive&expand."""
    git = call.repository.git
    commit = git.resolve(call.parameter("revision"))
    entries = git.tree(commit)
    folder = call.parameter("path") if "path" in call.request.path_params else ""
    if folder and not (folder in entries and entries[folder].is_folder):
        raise errors.entry_not_found(f"{folder} is no folder of {commit}", commit=commit)
    prefix = f"{folder}/" if folder else ""
    depth = prefix.count("/")
    below = [
        entry
        for entry in entries.values()
        if entry.path.startswith(prefix)
        and (call.flag("recursive") or entry.path.count("/") == depth)
    ]
    expand = call.flag("expand")
    return call.page(below, lambda entry: _with_last_commit(git, commit, entry, expand=expand))


def paths_info(call: Call) -> Response:
    """POST /api/{kind}/{id}/paths-info/{revision}, form-encoded; missing paths are left out."""
    git = call.repository.git
    commit = git.resolve(call.parameter("revision"))
    form = parse_qs(call.body.read().decode(errors="replace"))
    expand = form.get("expand", [""])[0].lower() == "true"
    entries = git.tree(commit)
    wanted = [entries[path] for path in form.get("paths", []) if path in entries]
    return JSONResponse([_with_last_commit(git, commit, entry, expand=expand) for entry in wanted])


def resolve(call: Call) -> Response:
    """HEAD and GET /{id}/resolve/{revision}/{path}: a file, or where to find an LFS file."""
    call.require_access()
    git = call.repository.git
    commit = git.resolve(call.parameter("revision"))
    path = call.parameter("path")
    entry = git.tree(commit).get(path)
    if entry is None or entry.is_folder:
        raise errors.entry_not_found(f"{path} is no file of {commit}", commit=commit)
    headers = {"X-Repo-Commit": commit}
    content = git.content(entry.oid)
    pointer = Pointer.parse(content)
    if pointer:
        headers["X-Linked-Size"] = str(pointer.size)
        headers["X-Linked-ETag"] = f'"{pointer.sha256}"'
        headers["Location"] = object_url(call.hub, call.repository, pointer.sha256, "GET")
        return Response(status_code=302, headers=headers)
    # Through a file, because that is what Starlette serves by ranges.
    file = call.hub.storage.incoming / uuid.uuid4().hex
    file.write_bytes(content)
    headers["ETag"] = f'"{entry.oid}"'
    return FileResponse(
        file,
        headers=headers,
        media_type="application/octet-stream",
        background=BackgroundTask(file.unlink),
    )


def _parsed_commit(call: Call) -> tuple[CommitHeader, list[Operation]]:
    header = None
    operations: list[Operation] = []
    for text in call.body:
        try:
            line = _COMMIT_LINE.validate_json(text)
        except ValidationError as error:
            raise errors.bad_request(f"Malformed line in commit: {error}") from error
        if isinstance(line, HeaderLine):
            header = line.value
            continue
        if isinstance(line, FileLine):
            _check(line.value, call.kind)
        operations.append(line)
    if header is None:
        raise errors.bad_request("A commit needs a header")
    return header, operations


def _check(file: AddFile, kind: str) -> None:
    if len(file.content) > REGULAR_FILE_LIMIT:
        raise errors.bad_request(f"{file.path} is larger than 10 MiB. Please use git-lfs.")
    if file.path == "README.md":
        found, _ = cards.validate(file.content.decode(errors="replace"), kind)
        if found:
            raise errors.bad_request("Invalid metadata in README.md: " + "; ".join(found))


def described_entry(git: GitRepository, entry: Entry) -> dict[str, Any]:
    """Return a file or folder as listings show it: oid is git's, that in lfs the sha256."""
    if entry.is_folder:
        return {"type": "directory", "path": entry.path, "oid": entry.oid, "size": 0}
    content = git.content(entry.oid)
    described: dict[str, Any] = {
        "type": "file",
        "path": entry.path,
        "oid": entry.oid,
        "size": len(content),
    }
    pointer = Pointer.parse(content)
    if pointer:
        lfs = {"oid": pointer.sha256, "size": pointer.size, "pointerSize": len(content)}
        described |= {"size": pointer.size, "lfs": lfs}
    return described


def _with_last_commit(
    git: GitRepository, commit: str, entry: Entry, *, expand: bool
) -> dict[str, Any]:
    described = described_entry(git, entry)
    if expand:
        last = next(git.history(commit, path=entry.path))
        described["lastCommit"] = {
            "id": last.id.decode(),
            "title": last.message.decode().split("\n")[0],
            "date": timestamp(last.commit_time),
        }
    return described
