"""Endpoints for the files of a repo: upload modes, commits, listings and downloads."""

import uuid
from typing import Any
from urllib.parse import parse_qs, quote

from pydantic import TypeAdapter, ValidationError
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from ved.localhub import cards, errors
from ved.localhub.call import Call
from ved.localhub.endpoints.lfs import object_url
from ved.localhub.git import GitRepository
from ved.localhub.git_objects import Entry
from ved.localhub.large_files import Pointer
from ved.localhub.patterns import ignore_matcher, lfs_matcher
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
from ved.localhub.stored_file import BYTES, StoredFile
from ved.localhub.xet.tokens import resolve_headers, xet_hash

REGULAR_FILE_LIMIT = 10 * 2**20  # bytes

_COMMIT_LINE: TypeAdapter[CommitLine] = TypeAdapter(CommitLine)


def auth_check(call: Call) -> Response:
    """GET /api/{kind}/{id}/auth-check: whether the caller may read the files."""
    call.require_read()
    return JSONResponse({})


def preupload(call: Call) -> Response:
    """POST /api/{kind}/{id}/preupload/{revision}: which files go to LFS, and which to skip."""
    _refuse_pull_request(call)
    call.require_write()
    wanted = call.payload(Preupload)
    git = call.repository.git
    commit = git.resolve(call.parameter("revision"))
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
    """POST /api/{kind}/{id}/commit/{revision}: apply all operations in one commit, or none."""
    _refuse_pull_request(call)
    call.require_write()
    repository, revision = call.repository, call.parameter("revision")
    header, operations = _parsed_commit(call)
    call.hub.counters.require(call.user.name, "commit", call.hub.behavior.commit_limit)
    oid = repository.git.commit(
        revision if revision.startswith("refs/") else f"refs/heads/{revision}",
        operations,
        message=f"{header.summary}\n\n{header.description}",
        author=call.user.name,
        parent=header.parent_commit or "",
    )
    # The URL is relative, because client 0.36.2 reads the repo id from an absolute URL only if the
    # URL begins with HF_ENDPOINT, whatever endpoint the client uses. Otherwise it raises an error
    # after the commit.
    url = f"{url_path(repository.kind, repository.id)}/commit/{oid}"
    return JSONResponse({"success": True, "commitUrl": url, "commitOid": oid})


def tree(call: Call) -> Response:
    """GET /api/{kind}/{id}/tree/{revision}[/{path}]?recursive&expand."""
    git = call.repository.git
    commit = git.resolve(call.parameter("revision"))
    entries = git.tree(commit)
    folder = call.parameter("path") if "path" in call.request.path_params else ""
    if folder and not (folder in entries and entries[folder].is_folder):
        raise errors.entry_not_found(f"{folder} is not a folder in {commit}", commit=commit)
    prefix = f"{folder}/" if folder else ""
    depth = prefix.count("/")
    below = [
        entry
        for entry in entries.values()
        if entry.path.startswith(prefix)
        and (call.flag("recursive") or entry.path.count("/") == depth)
    ]
    expand = call.flag("expand")
    return call.page(below, lambda entry: _listed(call, commit, entry, expand=expand))


def paths_info(call: Call) -> Response:
    """POST /api/{kind}/{id}/paths-info/{revision}, with a form. Missing paths are skipped."""
    git = call.repository.git
    commit = git.resolve(call.parameter("revision"))
    form = parse_qs(call.body.read().decode(errors="replace"))
    expand = form.get("expand", [""])[0].lower() == "true"
    entries = git.tree(commit)
    wanted = [entries[path] for path in form.get("paths", []) if path in entries]
    return JSONResponse([_listed(call, commit, entry, expand=expand) for entry in wanted])


def resolve(call: Call) -> Response:
    """HEAD and GET /{id}/resolve/{revision}/{path}: a file, or a redirect to an LFS object."""
    call.require_read()
    git = call.repository.git
    commit = git.resolve(call.parameter("revision"))
    path = call.parameter("path")
    entry = git.tree(commit).get(path)
    if entry is None or entry.is_folder:
        raise errors.entry_not_found(f"{path} is not a file in {commit}", commit=commit)
    headers = {"X-Repo-Commit": commit}
    pointer = Pointer.parse(git.content(entry.oid))
    if pointer:
        headers["X-Linked-Size"] = str(pointer.size)
        headers["X-Linked-ETag"] = f'"{pointer.sha256}"'
        headers |= resolve_headers(call.hub, call.repository, commit, pointer.sha256)
        headers["Location"] = object_url(call.hub, call.repository, pointer.sha256, "GET")
        return Response(status_code=302, headers=headers)
    if call.hub.behavior.small_file_redirects:
        headers["X-Linked-Size"] = str(len(git.content(entry.oid)))
        headers["X-Linked-ETag"] = f'"{entry.oid}"'
        place = f"{call.kind}/{call.repository.id}/{commit}/{quote(path)}"
        headers["Location"] = f"/api/resolve-cache/{place}?etag=%22{entry.oid}%22"
        return Response(status_code=307, headers=headers)
    return _small_file(call, commit, entry)


def resolve_cache(call: Call) -> Response:
    """HEAD and GET /api/resolve-cache/{kind}/{id}/{commit}/{path}: a small file."""
    call.require_read()
    commit, path = call.parameter("revision"), call.parameter("path")
    entry = call.repository.git.tree(call.repository.git.resolve(commit)).get(path)
    if entry is None or entry.is_folder:
        raise errors.entry_not_found(f"{path} is not a file in {commit}", commit=commit)
    return _small_file(call, commit, entry)


def _small_file(call: Call, commit: str, entry: Entry) -> Response:
    content = call.repository.git.content(entry.oid)
    headers = {"X-Repo-Commit": commit, "ETag": f'"{entry.oid}"'}
    if "range" not in call.request.headers:
        headers["Accept-Ranges"] = "bytes"
        return Response(content, headers=headers, media_type=BYTES)
    # Starlette serves ranges of files, but not of bytes.
    file = call.hub.storage.incoming / uuid.uuid4().hex
    file.write_bytes(content)
    return StoredFile(file, headers, background=BackgroundTask(file.unlink))


def _refuse_pull_request(call: Call) -> None:
    if call.flag("create_pr"):
        raise errors.HubError(501, "The local Hub has no pull requests")


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
            _require_valid(line.value, call)
        operations.append(line)
    if header is None:
        raise errors.bad_request("A commit needs a header")
    return header, operations


def _require_valid(file: AddFile, call: Call) -> None:
    if len(file.content) > REGULAR_FILE_LIMIT:
        raise errors.bad_request(f"{file.path} is larger than 10 MiB. Please use git-lfs.")
    if file.path == "README.md":
        found, _ = cards.validate(
            file.content.decode(errors="replace"),
            call.kind,
            known_metadata=call.hub.behavior.known_metadata,
        )
        if found:
            raise errors.bad_request("Invalid metadata in README.md: " + "; ".join(found))


def described_entry(git: GitRepository, entry: Entry) -> dict[str, Any]:
    """Return a file or folder as in listings: `oid` is the git id, `lfs.oid` the SHA-256."""
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


def _listed(call: Call, commit: str, entry: Entry, *, expand: bool) -> dict[str, Any]:
    """Return a file or folder as in /tree: with its Xet hash and, if wanted, its last commit."""
    git = call.repository.git
    described = described_entry(git, entry)
    if "lfs" in described and (digest := xet_hash(call.hub, described["lfs"]["oid"])):
        described["xetHash"] = digest
    if expand:
        last = next(git.history(commit, path=entry.path))
        described["lastCommit"] = {
            "id": last.id.decode(),
            "title": last.message.decode().split("\n")[0],
            "date": timestamp(last.commit_time),
        }
    return described
