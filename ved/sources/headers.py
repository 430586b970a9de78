"""Read the headers of weight files on the Hub, without their weights.

Each file becomes a *header file*: a sparse local file of the same name and size, which has the
bytes of the header at their positions and takes no more disk than those. The readers of
`ved.tensors` read the file on the Hub once, and all bytes that they read are written. So those
readers find in a header file what they would find in the file itself, damage included, until they
read a weight.

Sources are read in ranges, of headers only. Published files are read to their ends, to hash them.
"""

import io
import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, TypeAlias, TypeVar

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.hub.errors import translated_errors
from ved.hub.remote_files import FileStream, LocatedFile, locate_file
from ved.interruption import thread_pool
from ved.limits import REMOTE_HEADER_BYTES, REMOTE_HEADER_REQUESTS
from ved.tensors import msgpack, pickled, safetensors
from ved.tensors.bounds import LimitError

FILES = 4
"""How many files are read at the same time."""

WINDOW_BYTES = 4096
"""Bytes to request at each header between the tensors of a msgpack. They usually contain a bias
and the header after it."""

_Result = TypeVar("_Result")


def fetch_headers(
    repo: str, commit: str, names: Sequence[str], directory: Path, api: HfApi
) -> None:
    """Write a header file for each weight file, for `ved.tensors.files.open_weights`.

    Each file costs one request to the Hub, and requests to the host that serves it:

    - safetensors: two, for exactly the header;
    - pickle: about eight, for exactly the directory and the data.pkl of the archive;
    - msgpack, which has a header before each tensor: at most one for each tensor, one after the
      other, of `WINDOW_BYTES` each. The rest of these windows is the only part of the weights that
      is transferred. A ViT of base size takes 113 requests, for 0.1 % of its bytes.

    Args:
        repo: the repo's id.
        commit: 40 hexadecimal digits.
        names: names of `*.safetensors`, `*.msgpack` or `*.bin` files, without folders.
        directory: an existing directory for the header files.
        api: the client.

    Raises:
        VedError: the Hub does not serve a header, a header has no end, or a name has folders. A
            damaged file is not an error here, but when its header file is opened.
        OSError: a header file cannot be written.
    """
    allowance = _Allowance(REMOTE_HEADER_REQUESTS)

    def fetch_one(name: str) -> None:
        action = f"read the header of {name} in {repo}@{commit[:12]}"
        with translated_errors(action, repo):
            located = locate_file(repo, commit, name, action, api)
            _write_header_file(directory / name, located, allowance)

    _map_files(fetch_one, names, repo)


def copy_headers(source: Path, names: Sequence[str], directory: Path) -> None:
    """Write a header file for each weight file of a local directory; see `fetch_headers`.

    Args:
        source: the directory with the weight files.
        names: names of `*.safetensors`, `*.msgpack` or `*.bin` files, without folders.
        directory: an existing directory for the header files.

    Raises:
        VedError: see `fetch_headers`.
        OSError: a file cannot be read, or a header file cannot be written.
    """
    allowance = _Allowance()

    def copy_one(name: str) -> None:
        with (source / name).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            action = f"read the header of {name}"
            _write_header_file(directory / name, _LocalFile(file, size, action), allowance)

    _map_files(copy_one, names, str(source))


def hash_files(
    repo: str, commit: str, names: Sequence[str], directory: Path, api: HfApi
) -> dict[str, str]:
    """Write header files as `fetch_headers` does, and read the files to their ends to hash them.

    Each file costs one request to the Hub and one to the host that serves it, and both again after
    a truncated answer. All files are located before the first is read.

    Args:
        repo: the repo's id.
        commit: 40 hexadecimal digits.
        names: names of `*.safetensors` or `*.msgpack` files, without folders.
        directory: an existing directory for the header files.
        api: the client.

    Returns:
        the sha256 of each file, in hexadecimal, by name.

    Raises:
        VedError: see `fetch_headers`.
        OSError: a header file cannot be written.
    """

    def action(name: str) -> str:
        return f"read {name} of {repo}@{commit[:12]}"

    def locate_one(name: str) -> LocatedFile:
        with translated_errors(action(name), repo):
            return locate_file(repo, commit, name, action(name), api)

    located = _map_files(locate_one, names, repo)

    def hash_one(name: str) -> str:
        with translated_errors(action(name), repo), located[name].open_stream() as stream:
            _write_header_file(directory / name, stream, _Allowance())
            return stream.sha256()

    return _map_files(hash_one, names, repo)


def _map_files(
    function: Callable[[str], _Result], names: Sequence[str], repo: str
) -> dict[str, _Result]:
    """Return what a function returns for each name; several calls run at the same time.

    Raises:
        VedError: a name could lead out of a directory.
    """
    for name in names:
        if name in ("", "..") or name != Path(name).name:
            raise VedError(
                f"{repo} has weights in {name!r}, which is not a plain file name.",
                code=ErrorCode.DAMAGED_SOURCE,
            )
    with thread_pool(FILES) as pool:
        return dict(zip(names, pool.map(function, names), strict=True))


@dataclass(frozen=True)
class _LocalFile:
    """A file on this machine, which is read in ranges as one on the Hub."""

    file: BinaryIO
    size: int
    action: str

    def read_range(self, start: int, length: int) -> bytes:
        """Return a part of the file.

        Raises:
            OSError: the file cannot be read, or has become shorter.
        """
        self.file.seek(start)
        content = self.file.read(length)
        if len(content) < length:
            raise OSError(f"Cannot {self.action}: the file has become shorter")
        return content


_Source: TypeAlias = LocatedFile | FileStream | _LocalFile


class _Allowance:
    """The limit of transfers for the headers of one source; threads share it.

    Args:
        requests: how many requests are allowed.
    """

    def __init__(self, requests: float = math.inf) -> None:
        self._lock = Lock()
        self._max_requests = requests
        self._bytes = self._requests = 0

    def use(self, length: int, action: str) -> None:
        """Count one request.

        Args:
            length: bytes to transfer.
            action: what the caller does, for errors.

        Raises:
            VedError: the headers are larger than any model's.
        """
        with self._lock:
            self._bytes += length
            self._requests += 1
            is_over = self._bytes > REMOTE_HEADER_BYTES or self._requests > self._max_requests
        if is_over:
            limit = f"{REMOTE_HEADER_BYTES // 2**20} MiB or {REMOTE_HEADER_REQUESTS} tensors"
            raise VedError(
                f"Cannot {action}: the headers of this source have more than {limit}.",
                "Use another source.",
                code=ErrorCode.SOURCE_TOO_LARGE,
            )


def _write_header_file(path: Path, source: _Source, allowance: _Allowance) -> None:
    with path.open("wb") as file:
        file.truncate(source.size)
        recorder = _Recorder(source, file, allowance)
        # The caller meets the same error when it opens the header file.
        with suppress(VedError, LimitError, OSError):
            _read_header(path, recorder)
        if recorder.failure is not None:
            raise recorder.failure


def _read_header(path: Path, recorder: "_Recorder") -> None:
    if path.suffix == ".msgpack":
        msgpack.index_of(path, io.BufferedReader(recorder, WINDOW_BYTES))
        return
    exact = io.BufferedReader(recorder, 1)  # does not read ahead
    if path.suffix == ".safetensors":
        safetensors.encoded_header(exact)
    else:
        pickled.index_of(path, exact)


class _Recorder(io.RawIOBase):
    """A remote file as a local one. Writes everything that is read into a header file.

    Attributes:
        failure: the error of a transfer, even if the reader of this file hides it.
    """

    def __init__(self, source: _Source, header_file: BinaryIO, allowance: _Allowance) -> None:
        self.source = source
        self.header_file = header_file
        self.position = 0
        self.allowance = allowance
        self.failure: Exception | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move as in any file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.source.size}
        position = base[whence] + offset
        if position < 0:
            raise OSError("a position before the beginning of the file")
        self.position = position
        return position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer by one request, as far as the file has bytes; return how many."""
        length = max(0, min(len(buffer), self.source.size - self.position))
        if length == 0:
            return 0
        try:
            content = self._transfer(length)
            self.header_file.seek(self.position)
            self.header_file.write(content)
        except Exception as error:
            self.failure = error
            raise
        buffer[:length] = content
        self.position += length
        return length

    def _transfer(self, length: int) -> bytes:
        self.allowance.use(length, self.source.action)
        return self.source.read_range(self.position, length)
