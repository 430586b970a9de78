"""Transfer large files by Xet: errors, progress and counts of what hf_xet transfers.

huggingface_hub asks for its session of hf_xet whenever it transfers a file, in the thread that
asked for it. Inside of `explained_transfers`, it gets a session of this module, which calls that of
hf_xet. hf_xet renews the tokens of the storage by itself, at the Hub. The first one is requested in
VED's HTTP session, which checks the address of the storage.

A local cache of hf_xet describes what the storage has. It is temporary: see `temporary_cache`.
"""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import hf_xet
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import _xet

from ved.hub.upload_counter import current_counter
from ved.hub.xet_errors import StorageError, Transfer, explain
from ved.interruption import raise_if_interrupted
from ved.text import join_limited

log = logging.getLogger("ved")

QUIET_SECONDS = 10.0
"""Seconds without progress after which a line of the log says so."""

_POLL_SECONDS = 0.5

_NO_SUCH_ROUTE = (404, 405, 501)

_files: ContextVar[Sequence[str] | None] = ContextVar("files", default=None)


@contextmanager
def explained_transfers(files: Sequence[str] = ()) -> Iterator[None]:
    """Explain the errors of hf_xet's transfers that this thread makes inside the block.

    Args:
        files: the names of the files to download.

    Raises:
        StorageError: a transfer failed.
        NoXetError: an upload cannot begin.
        HfHubHTTPError: the Hub refused a token of the storage.
        OSError: this machine failed, for example because its disk is full.
    """
    if _xet.get_xet_session is not _session:
        _xet.get_xet_session = _session
    token = _files.set(files)
    try:
        yield
    finally:
        _files.reset(token)


@contextmanager
def temporary_cache() -> Iterator[None]:
    """Keep what hf_xet stores out of HF_HOME: in a directory that is removed after the block.

    Does nothing if HF_XET_CACHE is set already.
    """
    if "HF_XET_CACHE" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="ved-xet-", ignore_cleanup_errors=True) as name:
        os.environ["HF_XET_CACHE"] = name
        try:
            yield
        finally:
            os.environ.pop("HF_XET_CACHE", None)


class NoXetError(Exception):
    """The Hub has no Xet. huggingface_hub expects it of every Hub."""


def is_truncated(error: Exception) -> bool:
    """Return whether a storage truncated an answer, so that another attempt may succeed."""
    return isinstance(error, StorageError) and error.is_truncated


def upload_options(url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """Request a token to upload by Xet, and return hf_xet's options for the upload.

    Args:
        url: the address of the Hub's API that gives tokens.
        headers: the headers of the request.

    Raises:
        HfHubHTTPError: the Hub refuses, or has no Xet.
        ValueError: the answer is malformed.
        RefusedAnswerError: VED does not send anything to the storage that the Hub names.
    """
    found = _xet.refresh_xet_connection_info(
        file_data=_xet.XetFileData("", url), headers=dict(headers)
    )
    return {
        "endpoint": found.endpoint,
        "token": found.access_token,
        "token_expiry_unix_secs": found.expiration_unix_epoch,
        "token_refresh_url": url,
        "token_refresh_headers": headers,
    }


_original_session: Callable[[], Any] = _xet.get_xet_session


def _session() -> Any:
    files = _files.get()
    return _original_session() if files is None else _Session(files)


class _Session:
    """A session of hf_xet, in place of huggingface_hub's, for one transfer.

    Its settings are those of the environment at that time.

    Args:
        files: the names of the files to download.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._session = hf_xet.XetSession()
        self._files = files

    def new_upload_commit(self, **options: Any) -> "_Group":
        """Begin an upload."""
        url, headers = options["token_refresh_url"], options["token_refresh_headers"]
        try:
            options |= upload_options(url, headers)
        except HfHubHTTPError as error:
            # Without a code, such a repo exists.
            if type(error) is HfHubHTTPError and error.response.status_code in _NO_SUCH_ROUTE:
                raise NoXetError from error
            raise
        transfer = Transfer([], options["endpoint"], is_upload=True)
        return _Group(self._session.new_upload_commit, options, transfer)

    def new_file_download_group(self, **options: Any) -> "_Group":
        """Begin a download."""
        transfer = Transfer(self._files, options["endpoint"], is_upload=False)
        return _Group(self._session.new_file_download_group, options, transfer)


class _Group:
    """Files that hf_xet transfers together.

    Args:
        begin: begins the transfer.
        options: the options of `begin`.
        transfer: the transfer, for errors.
    """

    def __init__(
        self, begin: Callable[..., Any], options: Mapping[str, Any], transfer: Transfer
    ) -> None:
        self._transfer = transfer
        with self._explained():
            self._group = begin(**options)

    def __enter__(self) -> "_Group":
        self._group.__enter__()
        counter = current_counter()
        if self._transfer.is_upload and counter is not None:
            counter.begin_transfer(lambda: self._group.progress().total_bytes_completed)
        return self

    def start_upload_file(self, path: str, **options: Any) -> Any:
        """Begin to upload a file."""
        self._transfer = self._transfer._replace(files=[*self._transfer.files, Path(path).name])
        return self._group.start_upload_file(path, **options)

    def start_download_file(self, info: Any, path: str) -> Any:
        """Begin to download a file."""
        return self._group.start_download_file(info, path)

    def __exit__(self, *error: Any) -> None:
        """Wait for the transfer; after an error, end it."""
        with _Watch(self._group, self._transfer), self._explained():
            self._group.__exit__(*error)
        counter = current_counter()
        if self._transfer.is_upload and counter is not None:
            counter.count_bytes(self._group.progress().total_transfer_bytes_completed)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        raise_if_interrupted()
        try:
            yield
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise_if_interrupted()
            raise explain(error, self._transfer) from error


class _Watch:
    """Watches a transfer: logs that it makes no progress, and ends it on an interrupt.

    hf_xet retries without a word.

    Args:
        group: the transfer of hf_xet.
        transfer: what it transfers.
    """

    def __init__(self, group: Any, transfer: Transfer) -> None:
        self._group = group
        self._transfer = transfer
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _watch(self) -> None:
        state, changed = self._state(), time.monotonic()
        while not self._ended.wait(min(_POLL_SECONDS, QUIET_SECONDS / 2)):
            try:
                raise_if_interrupted()
            except KeyboardInterrupt:
                self._group.abort()
                return
            if (new := self._state()) != state:
                state, changed = new, time.monotonic()
            elif time.monotonic() - changed >= QUIET_SECONDS:
                changed = time.monotonic()
                verb = "sent" if self._transfer.is_upload else "read"
                log.info(
                    "The storage %s does not answer: no byte of %s was %s for %g s. Trying again.",
                    self._transfer.host,
                    join_limited(self._transfer.files),
                    verb,
                    QUIET_SECONDS,
                )

    def _state(self) -> tuple[int, int]:
        progress = self._group.progress()
        return progress.total_transfer_bytes_completed, progress.total_bytes_completed
