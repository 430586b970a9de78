"""Read pytorch_model.bin files without PyTorch and without running code from the pickle.

`torch.save` (PyTorch 1.6 and later) writes a zip archive. `<name>/data.pkl` is a pickle that
rebuilds a dictionary of tensors from storages. A storage lies uncompressed in the archive as
`<name>/data/<key>`. The format is described at
https://pytorch.org/docs/stable/notes/serialization.html.

A pickle is a program that calls what it names. The unpickler here gives it three functions, which
only create tensors and dictionaries, and refuses every other name. No object that a program can
reach lets it change an attribute, so a tensor stays as it was checked.
"""

import io
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, BinaryIO, NoReturn, cast

import numpy as np

from ved.errors import ErrorCode, VedError
from ved.limits import DIRECTORY_BYTES, RANK, SHARED_STORAGE
from ved.tensors.bounds import LimitError, check_count, check_name, refusal
from ved.tensors.pickle_programs import check_program
from ved.tensors.tensor import BFLOAT16, Array, StoredTensor, nbytes

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
"""The dtypes of storages, by the name of their class in `torch`."""

# The header of an entry in a zip archive, before its name: APPNOTE.TXT, section 4.3.7.
_ENTRY_HEADER_BYTES = 30
_ENTRY_SIGNATURE = b"PK\x03\x04"

_MAX_CAUSE = 200
"""The most characters of a message that a pickle has a part in."""

_CONVERT = (
    "Convert the source to safetensors (https://huggingface.co/docs/safetensors/convert-weights)."
)


def _refuse_state(instance: object, state: object) -> NoReturn:
    """Refuse the opcode BUILD, which calls `__setstate__` to set attributes."""
    raise pickle.UnpicklingError(f"it sets attributes of a {type(instance).__name__.strip('_')}")


@dataclass(frozen=True, slots=True)
class _Storage:
    """The elements in one entry of the archive; tensors are views of it.

    Attributes:
        entry_offset: where the header of the entry begins, in bytes from the start of the archive.
        dtype: the dtype of the elements.
        size: how many elements.
    """

    entry_offset: int
    dtype: np.dtype[np.generic]
    size: int

    __setstate__ = _refuse_state


@dataclass(frozen=True, slots=True)
class _Function:
    """A function that a pickle may call."""

    call: Callable[..., Any]

    __setstate__ = _refuse_state

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)


class _Dictionary(dict[Any, Any]):
    """What `collections.OrderedDict` becomes: a dictionary that ignores the attributes it is given.

    A state dictionary of PyTorch has an attribute `_metadata`, with the versions of its modules.
    """

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


@dataclass(frozen=True, slots=True)
class ArchivedTensor:
    """A tensor whose elements lie in an entry of an archive.

    The elements begin after the entry's header, whose padding has any length. `blocks` reads the
    header, and `read_index` does not: an archive has hundreds of entries.

    Attributes:
        path: the archive.
        entry_offset: where the header of the entry begins, in bytes from the start of the archive.
        start: where the elements begin, in bytes from the start of the entry's content.
        shape: the dimensions, outermost first.
        dtype: the dtype of the elements.
    """

    path: Path
    entry_offset: int
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    __setstate__ = _refuse_state

    def blocks(self) -> Iterator[Array]:
        """Yield the elements in row-major order; see `ved.tensors.tensor.Tensor.blocks`.

        Raises:
            OSError: the file cannot be read, ends inside the tensor, or has no entry there.
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
        state = _Unpickler(io.BytesIO(program), path, entries).load()
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


class _Unpickler(pickle.Unpickler):
    """An unpickler that creates tensors and dictionaries, and refuses everything else.

    Args:
        stream: the pickle.
        path: the archive.
        entries: the uncompressed entries of the archive, by key of the storage.
    """

    def __init__(self, stream: Any, path: Path, entries: dict[str, zipfile.ZipInfo]) -> None:
        super().__init__(stream)
        self.path = path
        self.entries = entries

    def find_class(self, module: str, name: str) -> _Function | str:
        if (module, name) == ("collections", "OrderedDict"):
            return _Function(lambda: _Dictionary())
        if module == "torch" and name in _STORAGES:
            return name
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Function(self._tensor)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _Function(lambda tensor, *_: tensor)
        raise pickle.UnpicklingError(f"it asks to run {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage of a persistent id: ("storage", class, key, location, size)."""
        _, kind, key, _, size = pid
        entry, dtype = self.entries.get(key), _STORAGES.get(kind)
        if entry is None or dtype is None:
            raise pickle.UnpicklingError("it names a storage that is not in the archive")
        _check_numbers(size)
        if not 0 <= size * dtype.itemsize <= entry.file_size:
            raise pickle.UnpicklingError(f"storage {key!r} is shorter than its size")
        return _Storage(entry.header_offset, dtype, size)

    def _tensor(
        self,
        storage: _Storage,
        start: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        *_: Any,
    ) -> ArchivedTensor:
        """Return a view of a storage: the arguments of `torch._utils._rebuild_tensor_v2`.

        Args:
            storage: the storage.
            start: where the tensor begins, in elements.
            shape: the dimensions, outermost first.
            strides: elements from one index to the next, for each dimension.
            *_: requires_grad, backward hooks and metadata.
        """
        if not isinstance(storage, _Storage):
            raise pickle.UnpicklingError("a tensor has no storage")
        if type(shape) is not tuple or type(strides) is not tuple:
            raise pickle.UnpicklingError("a shape or strides are not a tuple")
        if max(len(shape), len(strides)) > RANK:
            raise LimitError(f"A tensor has more than {RANK} axes")
        _check_numbers(start, *shape, *strides)
        row_major = tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
        is_row_major = all(
            have == want or size == 1
            for have, want, size in zip(strides, row_major, shape, strict=True)
        )
        if not is_row_major:
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


def _check_numbers(*numbers: object) -> None:
    """Check that all are of type int: True and 1.0 are equal to 1, but not to its JSON."""
    for number in numbers:
        if type(number) is not int:
            raise pickle.UnpicklingError(f"a {type(number).__name__} is not a whole number")
