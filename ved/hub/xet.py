"""Transfer large files by Xet: errors, progress, tokens and counts of what hf_xet transfers.

huggingface_hub imports the functions of hf_xet whenever it transfers a file, and calls them in the
thread that asked for it. Inside of `explained_transfers`, they are the functions of this module,
which call those of hf_xet. In other threads they are hf_xet's own. hf_xet calls these functions
deprecated, but its new ones renew tokens outside of VED's HTTP session.

A local cache of hf_xet describes what the storage has. It is temporary: see `temporary_cache`.
"""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hf_xet

from ved.hub import retries
from ved.hub.xet_errors import StorageError, Transfer, explain
from ved.interruption import raise_if_interrupted
from ved.text import join_limited

log = logging.getLogger("ved")

QUIET_SECONDS = 10.0
"""Seconds without progress after which a line of the log says so."""

Token = tuple[str, int]
"""A token of the storage, and when it expires, in seconds since the epoch."""

_upload_files, _download_files = hf_xet.upload_files, hf_xet.download_files


@dataclass
class _Transfers:
    """What `explained_transfers` knows about the transfers of its thread."""

    files: Sequence[str]
    renew: Callable[[], Token] | None


_here = threading.local()


@contextmanager
def explained_transfers(
    files: Sequence[str] = (), *, renew: Callable[[], Token] | None = None
) -> Iterator[None]:
    """Explain the errors of hf_xet's transfers that this thread makes inside the block.

    Args:
        files: the names of the files to download.
        renew: returns a new token for uploads; None to repeat the request for the first one.

    Raises:
        StorageError: a transfer failed.
        HfHubHTTPError: the Hub refused to renew a token of the storage.
        OSError: this machine failed, for example because its disk is full.
    """
    _install()
    before = getattr(_here, "transfers", None)
    _here.transfers = _Transfers(files, renew)
    try:
        yield
    finally:
        _here.transfers = before


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


def _install() -> None:
    """Put the functions of this module in place of hf_xet's."""
    hf_xet.upload_files, hf_xet.download_files = _upload, _download


def _upload(
    paths: list[str],
    storage: str,
    token: Token,
    renew: Callable[[], Token],
    progress: Any = None,
    *others: Any,
) -> Any:
    """Upload files as `hf_xet.upload_files` does."""
    transfers: _Transfers | None = getattr(_here, "transfers", None)
    if transfers is None:
        return _upload_files(paths, storage, token, renew, progress, *others)
    transfer = Transfer([Path(path).name for path in paths], storage, is_upload=True)
    with _Watch(transfer) as watch:

        def count(total_update: Any, item_updates: Any) -> None:
            watch.count(total_update.total_transfer_bytes_completed, total_update)
            if progress is not None:
                progress(total_update, item_updates)

        renewal = _Renewal(transfers.renew or renew)
        with _explained(transfer, renewal):
            result = _upload_files(paths, storage, token, renewal, count, *others)
    _add_sent(watch.transferred)
    return result


def _download(
    files: list[Any],
    endpoint: str,
    token_info: Token,
    token_refresher: Callable[[], Token],
    progress_updater: list[Callable[[int], None]] | None = None,
) -> Any:
    """Download files as `hf_xet.download_files` does; again if an answer was truncated."""
    transfers: _Transfers | None = getattr(_here, "transfers", None)
    if transfers is None:
        return _download_files(files, endpoint, token_info, token_refresher, progress_updater)
    names = transfers.files or [Path(each.destination_path).name for each in files]
    transfer = Transfer(names, endpoint, is_upload=False)
    with _Watch(transfer) as watch:

        def counting(update: Callable[[int], None]) -> Callable[[int], None]:
            def count(size: int) -> None:
                watch.count(watch.transferred + size)
                update(size)

            return count

        renewal = _Renewal(token_refresher)
        updaters = [counting(each) for each in progress_updater or [_ignore] * len(files)]

        def attempt() -> Any:
            with _explained(transfer, renewal):
                return _download_files(files, endpoint, token_info, renewal, updaters)

        problem = f"The storage {transfer.host} truncated an answer"
        return retries.retry(attempt, _is_truncated, problem)


def _ignore(_: int) -> None: ...


def _is_truncated(error: Exception) -> bool:
    return isinstance(error, StorageError) and error.is_truncated


def _add_sent(size: int) -> None:
    counter = getattr(_here, "counter", None)
    if counter is not None:
        counter(size)


@contextmanager
def counted_uploads(count: Callable[[int], None]) -> Iterator[None]:
    """Report to `count` how many bytes each upload of this thread inside the block has sent."""
    _here.counter = count
    try:
        yield
    finally:
        _here.counter = None


class _Renewal:
    """Renews the token of the storage, and keeps the error, which hf_xet only quotes.

    Args:
        renew: returns a new token.
    """

    def __init__(self, renew: Callable[[], Token]) -> None:
        self._renew = renew
        self.error: Exception | None = None

    def __call__(self) -> Token:
        """Return a new token."""
        try:
            token = self._renew()
        except Exception as error:
            self.error = error
            raise
        self.error = None
        return token


@contextmanager
def _explained(transfer: Transfer, renewal: _Renewal) -> Iterator[None]:
    raise_if_interrupted()
    try:
        yield
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise_if_interrupted()
        if renewal.error is not None:
            raise renewal.error from error
        raise explain(error, transfer) from error


class _Watch:
    """Logs that a transfer makes no progress: hf_xet retries without a word.

    Args:
        transfer: the transfer.

    Attributes:
        transferred: bytes so far.
    """

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._ended = threading.Event()
        self._changed = time.monotonic()
        self._state: tuple[int, int] = (0, 0)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.transferred = 0

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def count(self, transferred: int, total: Any = None) -> None:
        """Report the number of bytes so far."""
        state = (transferred, getattr(total, "total_bytes_completed", 0))
        if state != self._state:
            self._state, self._changed = state, time.monotonic()
        self.transferred = transferred

    def _watch(self) -> None:
        while not self._ended.wait(QUIET_SECONDS / 2):
            if time.monotonic() - self._changed >= QUIET_SECONDS:
                self._changed = time.monotonic()
                verb = "sent" if self._transfer.is_upload else "read"
                log.info(
                    "The storage %s does not answer: no byte of %s was %s for %g s. Trying again.",
                    self._transfer.host,
                    join_limited(self._transfer.files),
                    verb,
                    QUIET_SECONDS,
                )
