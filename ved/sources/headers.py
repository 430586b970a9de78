"""What weight files on the Hub hold, found out without keeping their weights.

Each file gets a *stand-in*: a local file of the same name and size that has the bytes of the header
in their places and, being sparse, takes no more room than those. The readers of `ved.tensors` go
over the file on the Hub once, and the bytes that they ask for are kept. So a stand-in is to them
what the file is, damage and all, until a weight is read.

Of what is going to be used, no more is requested than the headers; of what was published, every
byte, to be hashed.
"""

import io
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.hub.errors import translated_errors
from ved.hub.remote_files import FileStream, LocatedFile, locate_file
from ved.interruption import thread_pool
from ved.tensors import msgpack, pickled, safetensors

FILES = 4
"""How many files are read at the same time."""

WINDOW_BYTES = 4096
"""How much is asked for at each header between the tensors of a msgpack: enough to have a bias of
usual size and the header after it in one request."""

LARGEST_HEADER = 128 * 2**20
"""The most bytes that are kept of one file. A safetensors header may have 100 MB."""

_Result = TypeVar("_Result")


def fetch_headers(
    repo: str, commit: str, names: Sequence[str], directory: Path, api: HfApi
) -> None:
    """Write a stand-in for each weight file, for `ved.tensors.files.open_weights`.

    A file costs one request to the Hub, and then of the place that the Hub names:

    - safetensors: two requests, of exactly the header;
    - pickled: about eight, of exactly the archive's directory and data.pkl;
    - msgpack, where a header is before every tensor: at most one a tensor, one after the other,
      each of `WINDOW_BYTES`. What else is in these windows is all that is transferred of weights.
      A ViT of base size takes 113, which are 0.1 % of its file.

    Args:
        repo: the repo's id.
        commit: 40 hexadecimal digits.
        names: of `*.safetensors`, `*.msgpack` or `*.bin`, in no folder.
        directory: where the stand-ins go; it exists.
        api: the Hub, and the token for it.

    Raises:
        VedError: the Hub does not give a header, or the header has no end, or a name is no plain
            one. That a file is damaged is said where its stand-in is opened, and not here.
        OSError: a stand-in cannot be written.
    """

    def fetch_one(name: str) -> None:
        action = f"read the header of {name} in {repo}@{commit[:12]}"
        with translated_errors(action, repo):
            _write_placeholder(directory / name, locate_file(repo, commit, name, action, api))

    _each(fetch_one, names, repo)


def read_to_end(
    repo: str, commit: str, names: Sequence[str], directory: Path, api: HfApi
) -> dict[str, str]:
    """Write stand-ins as `fetch` does, of files that are read to their ends meanwhile.

    A file costs one request to the Hub and one of the place that the Hub names, and these again
    where an answer breaks off. All files are located before any is read.

    Args:
        names: of `*.safetensors` or `*.msgpack`, in no folder.

    Returns:
        the sha256 of each file, in hexadecimal, by name.

    Raises:
        VedError: as `fetch`.
        OSError: a stand-in cannot be written.
    """

    def action(name: str) -> str:
        return f"read {name} of {repo}@{commit[:12]}"

    def locate_one(name: str) -> LocatedFile:
        with translated_errors(action(name), repo):
            return locate_file(repo, commit, name, action(name), api)

    located = _each(locate_one, names, repo)

    def read_one(name: str) -> str:
        with translated_errors(action(name), repo), located[name].open_stream() as stream:
            _write_placeholder(directory / name, stream)
            return stream.sha256()

    return _each(read_one, names, repo)


def _each(act: Callable[[str], _Result], names: Sequence[str], repo: str) -> dict[str, _Result]:
    for name in names:
        if name in ("", "..") or name != Path(name).name:
            raise VedError(
                f"{repo} has weights in {name!r}, which is not a plain file name.",
                code=ErrorCode.DAMAGED_SOURCE,
            )
    with thread_pool(FILES) as pool:
        return dict(zip(names, pool.map(act, names), strict=True))


def _write_placeholder(path: Path, source: LocatedFile | FileStream) -> None:
    with path.open("wb") as file:
        file.truncate(source.size)
        recording = _Recording(source, file)
        # What a reader finds wrong, it will find wrong in the stand-in again.
        with suppress(VedError, OSError):
            _read_header(path, recording)
        if recording.failure is not None:
            raise recording.failure


def _read_header(path: Path, recording: "_Recording") -> None:
    if path.suffix == ".msgpack":
        msgpack.index_of(path, io.BufferedReader(recording, WINDOW_BYTES))
        return
    exact = io.BufferedReader(recording, 1)  # reads no byte ahead
    if path.suffix == ".safetensors":
        safetensors.encoded_header(exact)
    else:
        pickled.index_of(path, exact)


class _Recording(io.RawIOBase):
    """A file elsewhere, as if it were here; all that is read of it goes into its stand-in, too.

    Attributes:
        failure: why bytes could not be had or kept, whatever a reader made of that.
    """

    def __init__(self, source: LocatedFile | FileStream, stand_in: BinaryIO) -> None:
        self.source = source
        self.stand_in = stand_in
        self.position = 0
        self.transferred = 0
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
        """Fill the buffer with one request, as far as the file has bytes."""
        length = max(0, min(len(buffer), self.source.size - self.position))
        if length == 0:
            return 0
        try:
            content = self._transfer(length)
            self.stand_in.seek(self.position)
            self.stand_in.write(content)
        except Exception as error:
            self.failure = error
            raise
        buffer[:length] = content
        self.position += length
        return length

    def _transfer(self, length: int) -> bytes:
        self.transferred += length
        if self.transferred > LARGEST_HEADER:
            limit = f"{LARGEST_HEADER // 2**20} MiB"
            raise VedError(
                f"Cannot {self.source.action}: {limit} of it do not tell which tensors there are.",
                "The source is damaged.",
                code=ErrorCode.DAMAGED_SOURCE,
            )
        return self.source.read_range(self.position, length)
