"""Tell hf_xet which content the storage has already, before a checkpoint is uploaded.

An upload by Xet sends only content that the storage lacks. hf_xet asks for the first piece of a
file and for about one piece in a thousand, and the storage answers with the pieces around it. A
checkpoint begins with a header that the storage lacks, so hf_xet would send the content up to the
next piece that it asks for. The sources begin with a piece that the storage has. So hf_xet reads
them first, and keeps the answers in its cache.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import wait
from pathlib import Path

import hf_xet
from huggingface_hub import HfApi
from huggingface_hub.utils._runtime import is_xet_available
from huggingface_hub.utils._xet import XetTokenType, xet_connection_info_refresh_url

from ved.hub.xet import upload_options
from ved.interruption import raise_if_interrupted, thread_pool

log = logging.getLogger("ved")

MIN_BYTES = 16 * 2**20
"""Bytes of the smallest source that is read: of a smaller one, hf_xet hardly sends anything."""

MAX_NEW_BYTES = 8 * 2**20
"""Bytes of a source that the storage may lack. If it lacks more, the source is not from there."""

_POLL_SECONDS = 0.05


def learn_sources(repo: str, sources: Sequence[Path], api: HfApi) -> None:
    """Let hf_xet ask the storage about the sources of a checkpoint. Nothing is published.

    Does nothing if the Hub has no Xet. After a failure, the upload only sends more.

    Args:
        repo: the repo that the checkpoint is published to.
        sources: the weight files, of at least `MIN_BYTES` each.
        api: the client that commits to the repo.

    Raises:
        KeyboardInterrupt: the process was interrupted.
    """
    if not sources or not is_xet_available():
        return
    try:
        url = xet_connection_info_refresh_url(
            token_type=XetTokenType.WRITE,
            repo_id=repo,
            repo_type="model",
            revision="main",
            endpoint=api.endpoint,
        )
        options = upload_options(url, api._build_hf_headers())
        upload = hf_xet.XetSession().new_upload_commit(**options)
        try:
            for path in sources:
                if not _read(upload, path):
                    log.debug("%s: the storage does not have %s.", repo, path.name)
                    break
        finally:
            upload.abort()  # the description of a file would be sent at its end
    except Exception as error:
        raise_if_interrupted()
        log.debug("%s: the sources are not compared with the storage: %s", repo, error)


def _read(upload: "hf_xet.XetUploadCommit", path: Path) -> bool:
    """Read a file with hf_xet; stop and return False if the storage does not have it."""
    reading = upload.start_upload_file(str(path.absolute()), sha256=hf_xet.SKIP_SHA256)
    with thread_pool(1) as pool:
        result = pool.submit(reading.result)
        while not wait([result], _POLL_SECONDS).done:
            raise_if_interrupted()
            if upload.progress().total_transfer_bytes > MAX_NEW_BYTES:
                upload.abort()  # ends the thread
                return False
    result.result()
    return True
