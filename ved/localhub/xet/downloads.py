"""Endpoints for downloads: reconstructions from the CAS, and ranges of xorbs.

Source: https://huggingface.co/docs/xet/api
"""

import re

from starlette.responses import JSONResponse, Response

from ved.localhub import errors
from ved.localhub.addresses import check_signature, signed_url
from ved.localhub.call import Call
from ved.localhub.large_files import object_path
from ved.localhub.stored_file import StoredFile
from ved.localhub.xet import hashes
from ved.localhub.xet.endpoint import CasCall
from ved.localhub.xet.reconstruction import Reconstruction

_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")


def reconstruction_1(call: CasCall) -> Response:
    """GET /v1/reconstructions/{hash}: the terms of a file, or of a range of it."""
    return JSONResponse(_reconstruction(call).version_1(lambda xorb: _xorb_url(call, xorb)))


def reconstruction_2(call: CasCall) -> Response:
    """GET /v2/reconstructions/{hash}: the same, with several ranges for each address."""
    return JSONResponse(_reconstruction(call).version_2(lambda xorb: _xorb_url(call, xorb)))


def download_xorb(call: Call) -> Response:
    """GET /xet/xorbs/{hash}: the stored bytes of a xorb, or a range of them."""
    check_signature(call.hub, call.request, "GET")
    assert call.hub.xet is not None
    path = call.hub.xet.cas.xorb_path(hashes.from_text(call.parameter("hash")))
    return StoredFile(path)


def _reconstruction(call: CasCall) -> Reconstruction:
    file = call.xet.cas.find_file(digest=call.digest)
    # The storage belongs to all repos, but a token reads only the files of its own.
    if file is None or not object_path(call.repository.path, file.sha256).exists():
        raise errors.HubError(404, "No such file")
    header = call.call.request.headers.get("range", "bytes=0-")
    wanted = _RANGE.fullmatch(header)
    if wanted is None:
        raise errors.bad_request(f"Not a range of bytes: {header}")
    return call.xet.cas.reconstruct(file, int(wanted[1]), int(wanted[2]) if wanted[2] else None)


def _xorb_url(call: CasCall, xorb: str) -> str:
    return signed_url(call.call.hub, "GET", f"/xet/xorbs/{xorb}")
