"""Read pytorch_model.bin files without PyTorch and without running code from the pickle.

`torch.save` (PyTorch 1.6 and later) writes a zip archive. `<name>/data.pkl` is a pickle that
rebuilds a dictionary of tensors from storages. A storage lies uncompressed in the archive as
`<name>/data/<key>`. The format is described at
https://pytorch.org/docs/stable/notes/serialization.html.

This module reads the directory of the archive. `ved.tensors.unpickler` rebuilds the tensors.
"""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from ved.errors import ErrorCode, VedError
from ved.limits import DIRECTORY_BYTES, SHARED_STORAGE
from ved.tensors.bounds import LimitError, check_count, check_name, refusal
from ved.tensors.pickle_programs import check_program
from ved.tensors.tensor import nbytes
from ved.tensors.unpickler import ArchivedTensor, TensorUnpickler

_MAX_CAUSE = 200
"""The most characters of a message that a pickle has a part in."""

_CONVERT = (
    "Convert the source to safetensors (https://huggingface.co/docs/safetensors/convert-weights)."
)


def read_index(path: Path) -> dict[str, ArchivedTensor]:
    """Return the tensors of a file by name, without reading their elements.

    Raises:
        VedError: the file is not such an archive, asks for anything but tensors, or has a tensor
            whose elements are not in row-major order.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return index_of(path, file)


def index_of(path: Path, file: BinaryIO) -> dict[str, ArchivedTensor]:
    """Return the tensors of an open file by name; see `read_index`.

    This reads only the directory of the archive and data.pkl.

    Args:
        path: the path of the file, for the tensors and for errors.
        file: the open file, at any position.
    """
    try:
        size = file.seek(0, os.SEEK_END)
        with zipfile.ZipFile(cast(IO[bytes], _Bounded(file, size))) as archive:
            name = next(entry for entry in archive.namelist() if entry.endswith("/data.pkl"))
            folder = name.removesuffix("data.pkl") + "data/"
            entries = {
                entry.filename.removeprefix(folder): entry
                for entry in archive.infolist()
                if entry.compress_type == zipfile.ZIP_STORED
                and 0 <= entry.header_offset <= size - entry.file_size
            }
            program = _read_program(archive, name)
        check_program(program)
        state = TensorUnpickler(io.BytesIO(program), path, entries).load()
        if isinstance(state, dict):
            state = {key: value for key, value in state.items() if isinstance(key, str)}
            check_count(len(state))
            _check_sharing(state, size)
            for key in state:
                check_name(key)
    except OSError:
        raise
    except LimitError as error:
        raise refusal(error, path.name) from error
    except Exception as error:  # a damaged or hostile pickle makes the unpickler raise anything
        cause = f"{path.name} cannot be read: {str(error)[:_MAX_CAUSE]}."
        raise VedError(cause, _CONVERT, code=ErrorCode.NO_USABLE_WEIGHTS) from error
    if not isinstance(state, dict):
        cause = f"{path.name} does not hold a dictionary of tensors."
        raise VedError(cause, _CONVERT, code=ErrorCode.NO_USABLE_WEIGHTS)
    return {key: value for key, value in state.items() if isinstance(value, ArchivedTensor)}


def _read_program(archive: zipfile.ZipFile, name: str) -> bytes:
    entry = archive.getinfo(name)
    # zipfile decompresses before it checks the size, and torch.save never compresses.
    if entry.compress_type != zipfile.ZIP_STORED:
        raise pickle.UnpicklingError("its data.pkl is compressed")
    if entry.file_size > DIRECTORY_BYTES:
        raise LimitError(f"The file data.pkl is larger than {DIRECTORY_BYTES} bytes")
    return archive.read(name)


def _check_sharing(state: dict[str, object], size: int) -> None:
    """Check that tensors do not share storages without end: each one becomes a copy."""
    tensors = [each for each in state.values() if isinstance(each, ArchivedTensor)]
    if sum(map(nbytes, tensors)) > SHARED_STORAGE * size:
        raise LimitError(f"The tensors have more than {SHARED_STORAGE} times the bytes of the file")


class _Bounded:
    """An open file that reads a limited number of bytes at once.

    zipfile reads as many bytes as the directory of an archive claims, which may be gigabytes.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        # The system's error for it would read as if the file could not be read.
        if whence == os.SEEK_SET and offset < 0:
            raise pickle.UnpicklingError("its directory names a place before its beginning")
        return self._file.seek(offset, whence)

    def read(self, count: int = -1) -> bytes:
        count = min(count, self._size)  # a negative count means to the end, which is near
        if count > DIRECTORY_BYTES:
            raise LimitError(f"The directory is larger than {DIRECTORY_BYTES} bytes")
        return self._file.read(count)
