"""Endpoints for LFS objects: upload, download and verification.

The URLs of objects are signed, as on the real Hub, because clients send no token to them. An upload
is written to a temporary file, which becomes the object when it is complete. As on the real Hub,
only its size is compared: the signed URLs have `X-Amz-Content-Sha256=UNSIGNED-PAYLOAD`.
"""

import hashlib
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ved.localhub import errors
from ved.localhub.addresses import check_signature, signed_url
from ved.localhub.bodies import receive
from ved.localhub.call import Call, Hub
from ved.localhub.large_files import object_path, store_object
from ved.localhub.payloads import LfsBatch, LfsObject, MultipartCompletion
from ved.localhub.storage import Repository, url_path
from ved.localhub.stored_file import StoredFile


def object_url(hub: Hub, repository: Repository, tail: str, method: str) -> str:
    """Return the signed URL of an object.

    Args:
        hub: the hub.
        repository: the repo of the object.
        tail: the part of the path after the repo.
        method: the only HTTP method that the signature allows.
    """
    return signed_url(hub, method, f"/lfs/{repository.kind}/{repository.id}/{tail}")


def batch(call: Call) -> Response:
    """POST /{id}.git/info/lfs/objects/batch: Xet, or the upload URLs of missing objects."""
    wanted = call.payload(LfsBatch)
    call.require_write()
    if call.hub.xet and "xet" in wanted.transfers:
        objects = [{"oid": item.oid, "size": item.size} for item in wanted.objects]
        return JSONResponse({"transfer": "xet", "objects": objects})
    is_multipart = "multipart" in wanted.transfers and any(
        item.size > call.hub.multipart_threshold for item in wanted.objects
    )
    return JSONResponse(
        {
            "transfer": "multipart" if is_multipart else "basic",
            "objects": [_upload_actions(call, item, wanted.transfers) for item in wanted.objects],
        }
    )


def verify(call: Call) -> Response:
    """POST /{id}.git/info/lfs/objects/verify: check the size of an uploaded object."""
    call.require_write()
    wanted = call.payload(LfsObject)
    path = object_path(call.repository.path, wanted.oid)
    if not path.exists():
        raise errors.HubError(404, f"LFS object {wanted.oid} is missing")
    if path.stat().st_size != wanted.size:
        raise errors.bad_request(f"LFS object {wanted.oid} has {path.stat().st_size} bytes")
    return JSONResponse({})


def download(call: Call) -> Response:
    """GET /lfs/{kind}/{id}/{oid}: the bytes of an object, or a range of them."""
    check_signature(call.hub, call.request, "GET")
    path = object_path(_repository(call.hub, call.request).path, call.parameter("oid"))
    if not path.exists():
        raise errors.HubError(404, "No such object")
    return StoredFile(path, {"ETag": f'"{path.name}"'})


async def upload(request: Request) -> Response:
    """PUT /lfs/{kind}/{id}/{oid}/{size}: upload an object."""
    hub, oid, size = _signed_upload(request)
    temporary = hub.storage.incoming / uuid.uuid4().hex
    try:
        temporary.touch()
        digest = await receive(request, temporary, 0, size, hashlib.md5(usedforsecurity=False))
        store_object(_repository(hub, request).path, temporary, oid)
    finally:
        temporary.unlink(missing_ok=True)
    return Response(headers={"ETag": f'"{digest}"'})


async def upload_part(request: Request) -> Response:
    """PUT /lfs/{kind}/{id}/{oid}/{size}/{upload}/{part}: upload a part. Parts start at 1."""
    hub, _, size = _signed_upload(request)
    start = (request.path_params["part"] - 1) * hub.multipart_threshold
    temporary = hub.storage.incoming / request.path_params["upload"]
    if not temporary.exists():
        raise errors.HubError(404, "No such upload")
    length = min(hub.multipart_threshold, size - start)
    digest = await receive(request, temporary, start, length, hashlib.md5(usedforsecurity=False))
    return Response(headers={"ETag": f'"{digest}"'})


def complete(call: Call) -> Response:
    """POST /lfs/{kind}/{id}/{oid}/{size}/{upload}: complete an upload in parts."""
    hub, oid, size = _signed_upload(call.request)
    temporary = hub.storage.incoming / call.parameter("upload")
    repository = _repository(hub, call.request)
    if not temporary.exists():
        if object_path(repository.path, oid).exists():
            return JSONResponse({})  # the client repeats a request whose response was lost
        raise errors.HubError(404, "No such upload")
    try:
        parts = call.payload(MultipartCompletion).parts
        if len(parts) != len(_part_numbers(size, hub.multipart_threshold)):
            raise errors.bad_request("Some parts are missing")
        if temporary.stat().st_size != size:
            raise errors.bad_request("Some parts are missing")
        store_object(repository.path, temporary, oid)
    finally:
        temporary.unlink(missing_ok=True)
    return JSONResponse({})


def _upload_actions(call: Call, item: LfsObject, transfers: list[str]) -> dict[str, Any]:
    answer: dict[str, Any] = {"oid": item.oid, "size": item.size}
    hub, repository = call.hub, call.repository
    if object_path(repository.path, item.oid).exists():
        return answer
    tail = f"{item.oid}/{item.size}"
    if item.size > hub.multipart_threshold and "multipart" in transfers:
        identifier = uuid.uuid4().hex
        (hub.storage.incoming / identifier).touch()
        tail += f"/{identifier}"
        header = {"chunk_size": str(hub.multipart_threshold)}
        for part in _part_numbers(item.size, hub.multipart_threshold):
            header[str(part)] = object_url(hub, repository, f"{tail}/{part}", "PUT")
        action = {"href": object_url(hub, repository, tail, "POST"), "header": header}
    else:
        action = {"href": object_url(hub, repository, tail, "PUT")}
    path = url_path(repository.kind, repository.id)
    check = f"{hub.endpoint}/{path}.git/info/lfs/objects/verify"
    return answer | {"actions": {"upload": action, "verify": {"href": check}}}


def _part_numbers(size: int, part_size: int) -> range:
    return range(1, -(-size // part_size) + 1)


def _signed_upload(request: Request) -> tuple[Hub, str, int]:
    hub: Hub = request.app.state.hub
    check_signature(hub, request, request.method)
    return hub, request.path_params["oid"], request.path_params["size"]


def _repository(hub: Hub, request: Request) -> Repository:
    found = hub.storage.find(request.path_params["kind"], request.path_params["repository"])
    if found is None:
        raise errors.repository_not_found(anonymous=False)
    return found
