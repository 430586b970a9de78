"""pytorch_model.bin files, read without PyTorch and without running what a pickle asks for.

`torch.save` writes a zip archive (PyTorch 1.6 and later): `<name>/data.pkl` rebuilds a mapping of
tensors from storages, which lie uncompressed as `<name>/data/<key>`. Source of the format:
https://pytorch.org/docs/stable/notes/serialization.html. The unpickler here knows the handful of
globals that such a mapping needs, and refuses every other one.
"""

import io
import os
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np

from ved.errors import ErrorCode, VedError
from ved.tensors.tensor import BFLOAT16, Array, StoredTensor

_STORAGES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": BFLOAT16,
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
_ENTRY_HEADER_BYTES = 30
_ENTRY_SIGNATURE = b"PK\x03\x04"
PROGRAM_BYTES = 64 * 2**20
"""The largest data.pkl that is read; that of a model of ten thousand tensors has two megabytes."""
_CONVERT = (
    "Convert the source to safetensors (https://huggingface.co/docs/safetensors/convert-weights)."
)


@dataclass(frozen=True)
class _Storage:
    """A run of elements, all of one entry of the archive, that tensors are views of."""

    entry_offset: int
    dtype: np.dtype[np.generic]
    size: int


@dataclass(frozen=True)
class ArchivedTensor:
    """A tensor whose elements lie in an entry of an archive.

    They begin after the entry's header, which is padded as its writer liked. It is read with them
    and not before: an archive has hundreds of entries, and none needs it to be known.

    Attributes:
        entry_offset: where in the archive the entry's header begins.
        start: where in the entry's content the elements begin, in bytes.
    """

    path: Path
    entry_offset: int
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def blocks(self) -> Iterator[Array]:
        """Yield its elements in row-major order; see `ved.tensors.tensor.Tensor.blocks`.

        Raises:
            OSError: the file cannot be read, or ends before the tensor does, or has no entry there.
        """
        with self.path.open("rb") as file:
            file.seek(self.entry_offset)
            header = file.read(_ENTRY_HEADER_BYTES)
        if len(header) != _ENTRY_HEADER_BYTES or not header.startswith(_ENTRY_SIGNATURE):
            raise OSError(f"{self.path.name} has no tensor where its directory says there is one")
        name_length = int.from_bytes(header[26:28], "little")
        extra_length = int.from_bytes(header[28:30], "little")
        content = self.entry_offset + _ENTRY_HEADER_BYTES + name_length + extra_length
        yield from StoredTensor(self.path, content + self.start, self.shape, self.dtype).blocks()


def read_index(path: Path) -> dict[str, ArchivedTensor]:
    """Return the file's tensors by name, without reading their elements.

    Raises:
        VedError: the file is not such an archive, asks for anything but tensors, or holds a tensor
            whose elements do not lie in row-major order.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return index_of(path, file)


def index_of(path: Path, file: BinaryIO) -> dict[str, ArchivedTensor]:
    """Return what `read_index` does, of a file that is open already; its position may be any.

    Of the file it reads the directory and data.pkl.
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
            if archive.getinfo(name).file_size > PROGRAM_BYTES:
                raise pickle.UnpicklingError("its data.pkl is absurdly large")
            program = archive.read(name)
        _check(program)
        state = _Unpickler(io.BytesIO(program), path, entries).load()
    except OSError:
        raise
    except Exception as error:  # whatever a damaged or hostile pickle makes the unpickler raise
        cause = f"{path.name} cannot be read: {error}."
        raise VedError(cause, _CONVERT, code=ErrorCode.NO_USABLE_WEIGHTS) from error
    if not isinstance(state, dict):
        cause = f"{path.name} does not hold a mapping of tensors."
        raise VedError(cause, _CONVERT, code=ErrorCode.NO_USABLE_WEIGHTS)
    return {str(key): value for key, value in state.items() if isinstance(value, ArchivedTensor)}


class _Bounded:
    """An open file that is never asked for more than it holds.

    zipfile asks for as much as an archive's directory claims to be, which may be gigabytes.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, count: int = -1) -> bytes:
        return self._file.read(min(count, self._size))


def _check(program: bytes) -> None:
    """Make sure that a pickle is whole, and does not ask for more memory than its own size."""
    for opcode, argument, _ in pickletools.genops(program):
        if isinstance(argument, int) and "PUT" in opcode.name and argument > len(program):
            raise pickle.UnpicklingError(f"it numbers a value {argument}")


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: Any, path: Path, entries: dict[str, zipfile.ZipInfo]) -> None:
        super().__init__(stream)
        self.path = path
        self.entries = entries

    def find_class(self, module: str, name: str) -> Callable[..., Any] | str:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _STORAGES:
            return name
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        raise pickle.UnpicklingError(f"it asks to run {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, _, size = pid
        entry, dtype = self.entries[key], _STORAGES[kind]
        if not 0 <= size * dtype.itemsize <= entry.file_size:
            raise pickle.UnpicklingError(f"storage {key!r} is said to be longer than it is")
        return _Storage(entry.header_offset, dtype, size)

    def _tensor(
        self,
        storage: _Storage,
        start: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        *_: Any,
    ) -> ArchivedTensor:
        row_major = tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
        lies_in_order = all(
            have == want or size == 1
            for have, want, size in zip(strides, row_major, shape, strict=True)
        )
        if not lies_in_order:
            raise pickle.UnpicklingError(f"a tensor of shape {shape} is not stored row by row")
        if start < 0 or min(shape, default=0) < 0 or start + prod(shape) > storage.size:
            raise pickle.UnpicklingError(f"a tensor of shape {shape} reaches past its storage")
        return ArchivedTensor(
            self.path,
            storage.entry_offset,
            start * storage.dtype.itemsize,
            tuple(shape),
            storage.dtype,
        )
