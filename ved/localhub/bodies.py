"""The bodies of uploads, written to disk while they arrive."""

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request

from ved.localhub import errors

if TYPE_CHECKING:
    import hashlib


async def receive(
    request: Request, path: Path, start: int, length: int, digest: "hashlib._Hash"
) -> str:
    """Write the body into a file and return its digest in hexadecimal.

    Args:
        request: the request.
        path: an existing file.
        start: the offset in the file, in bytes.
        length: the required length of the body, in bytes.
        digest: the hash to update.

    Raises:
        HubError: 400, the body has another length.
    """
    received = 0
    with path.open("r+b") as file:
        file.seek(start)
        async for chunk in request.stream():
            received += len(chunk)
            if received > length:
                break
            digest.update(chunk)
            file.write(chunk)
    if received != length:
        raise errors.bad_request(f"The body does not have the announced {length} bytes")
    return digest.hexdigest()
