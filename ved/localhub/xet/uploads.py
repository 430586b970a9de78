"""Endpoints of the CAS for uploads, and the bucket that xorbs are sent to.

An upload asks which chunks exist already, sends each new xorb, and describes the files in a shard.
A xorb is sent to the bucket by a grant, or straight to the CAS.

Source: https://huggingface.co/docs/xet/api and xet_client/src/cas_client in xet-core.
"""

import base64
import hashlib
import json
import uuid
from pathlib import Path

import anycrc
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ved.localhub import errors
from ved.localhub.addresses import check_signature, signed_url
from ved.localhub.bodies import receive
from ved.localhub.call import Hub
from ved.localhub.payloads import GrantRequest
from ved.localhub.xet import xorbs
from ved.localhub.xet.access import Grant
from ved.localhub.xet.endpoint import CasCall

_MAX_UPLOAD = xorbs.MAX_SIZE + 2**20  # of a xorb or shard, in bytes, with the headers of chunks


def query_chunk(call: CasCall) -> Response:
    """GET /v1/chunks/{prefix}/{hash}: the shard with the xorbs near a chunk."""
    answer = call.xet.cas.dedup_answer(call.digest)
    if answer is None:
        raise errors.HubError(404, "No such chunk")
    return Response(answer, media_type="application/octet-stream")


def create_grant(call: CasCall) -> Response:
    """POST /v1/xorb-grants/{prefix}/{hash}: where to send a xorb, unless it is stored."""
    wanted = call.call.payload(GrantRequest)
    if call.xet.cas.xorb_path(call.digest).exists():
        return JSONResponse({})
    if wanted.length > _MAX_UPLOAD:
        raise errors.bad_request("The xorb is too large")
    grant = Grant(call.digest, wanted.length, int(wanted.checksum.value))
    identifier = call.xet.grants.create(grant)
    url = signed_url(call.call.hub, "PUT", f"/xet/bucket/{identifier}")
    body = {"id": identifier, "method": "PUT", "url": url, "headers": _granted_headers(grant)}
    return JSONResponse(body, 201)


async def send_to_bucket(request: Request) -> Response:
    """PUT /xet/bucket/{grant}: send a xorb. The answers are those of Amazon S3."""
    hub: Hub = request.app.state.hub
    assert hub.xet is not None
    check_signature(hub, request, "PUT")
    grant = hub.xet.grants.find(request.path_params["grant"])
    if grant is None or "authorization" in request.headers:
        raise errors.bad_request("This is not the request that was granted")
    for name, value in _granted_headers(grant).items():
        if request.headers.get(name) != value:
            raise errors.HubError(403, f"The header {name} was granted with another value")
    target = _uploaded(hub, request.path_params["grant"])
    if target.exists():
        raise errors.HubError(412, "The object exists")
    temporary = hub.storage.incoming / uuid.uuid4().hex
    try:
        temporary.touch()
        digest = hashlib.md5(usedforsecurity=False)
        tag = await receive(request, temporary, 0, grant.size, digest)
        if await run_in_threadpool(_checksum, temporary) != grant.checksum:
            raise errors.bad_request("The content has another checksum")
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
    return Response(headers={"ETag": f'"{tag}"'})


def commit_grant(call: CasCall) -> Response:
    """POST /v1/xorb-commits/{prefix}/{hash}/grant/{grant}: check a sent xorb and store it."""
    identifier = call.call.parameter("grant")
    grant = call.xet.grants.find(identifier)
    upload = _uploaded(call.call.hub, identifier)
    if grant is None or grant.xorb != call.digest or not upload.exists():
        raise errors.HubError(404, "Nothing was sent for this grant")
    try:
        is_new = call.xet.cas.add_xorb(grant.xorb, upload)
    finally:
        call.xet.grants.remove(identifier)
        upload.unlink(missing_ok=True)
    return JSONResponse({"was_inserted": is_new})


def upload_xorb(call: CasCall) -> Response:
    """POST /v1/xorbs/{prefix}/{hash}: send a xorb to the CAS. Clients before 1.8 do this."""
    upload = call.call.hub.storage.incoming / uuid.uuid4().hex
    try:
        upload.write_bytes(_body(call))
        is_new = call.xet.cas.add_xorb(call.digest, upload)
    finally:
        upload.unlink(missing_ok=True)
    return JSONResponse({"was_inserted": is_new})


def register_shard(call: CasCall) -> Response:
    """POST /v1/shards: check a shard and store its files."""
    return JSONResponse({"result": int(_register(call))})


def register_shard_with_progress(call: CasCall) -> Response:
    """POST /v2/shards: the same, but the response is a stream of events.

    A wrong shard is an event too. The status is 200 then, as it is sent before the checks.
    """
    events: list[dict[str, object]] = [{"type": "validating", "verified": 0, "total": 0}]
    try:
        _register(call)
        events += [{"type": "committing", "stage": stage} for stage in ("uploading", "syncing")]
        events += [{"type": "result"}]
    except errors.HubError as error:
        events += [{"type": "error", "message": error.message, "retryable": False}]
    lines = "".join(f"{json.dumps(event)}\n" for event in events)
    return Response(lines, media_type="application/x-ndjson")


def telemetry(_call: CasCall) -> Response:
    """POST /v1/telemetry: statistics of a transfer, which the local Hub ignores."""
    return JSONResponse({})


def _register(call: CasCall) -> bool:
    return call.xet.cas.add_shard(_body(call), call.repository.path)


def _body(call: CasCall) -> bytes:
    content = call.call.body.read(_MAX_UPLOAD + 1)
    if len(content) > _MAX_UPLOAD:
        raise errors.bad_request("The body is too large")
    return content


def _granted_headers(grant: Grant) -> dict[str, str]:
    """Return the headers that the upload must have: create only, and the checksum."""
    checksum = base64.b64encode(grant.checksum.to_bytes(8)).decode()
    return {"If-None-Match": "*", "x-amz-checksum-crc64nvme": checksum}


def _uploaded(hub: Hub, grant: str) -> Path:
    """Return the path of a xorb between its upload to the bucket and its commit."""
    return hub.storage.incoming / f"granted-{grant}"


def _checksum(path: Path) -> int:
    checksum: int = anycrc.Model("CRC64-NVME").calc(path.read_bytes())
    return checksum
