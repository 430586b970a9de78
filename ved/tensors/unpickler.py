"""Rebuild tensors from the pickle in a pytorch_model.bin, without running code from it.

A pickle is a program that calls what it names. The unpickler here gives it three functions, which
only create tensors and dictionaries, and refuses every other name. No object that a program can
reach lets it change an attribute, so a tensor stays as it was checked.
"""

import pickle
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ved.limits import RANK
from ved.tensors.bounds import LimitError
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
"""The dtypes of storages, by the name of their class in `torch`."""

# The header of an entry in a zip archive, before its name: APPNOTE.TXT, section 4.3.7.
_ENTRY_HEADER_BYTES = 30
_ENTRY_SIGNATURE = b"PK\x03\x04"


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


class TensorUnpickler(pickle.Unpickler):
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
        """Return a function that a pickle may call, or the name of a storage's class.

        Raises:
            UnpicklingError: the pickle names something else.
        """
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
