"""Read the headers of safetensors files, and write such files as a stream.

The format (https://huggingface.co/docs/safetensors):

    8 bytes            n, the length of the header: unsigned, little-endian
    n bytes            the header: JSON, padded with spaces
    the rest           the elements of all tensors

The header has an entry for each tensor, with dtype, shape and two offsets, which count from the
end of the header, and `__metadata__`, a mapping of strings.
"""

import json
import os
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ved import strict_json
from ved.errors import ErrorCode, VedError
from ved.limits import HEADER_BYTES
from ved.tensors.bounds import LimitError, check_count, check_name, check_shape, refusal
from ved.tensors.output import HashedFile, hashed_file
from ved.tensors.tensor import BFLOAT16, StoredTensor, Tensor, nbytes
from ved.text import quoted

DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": BFLOAT16,
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
"""The dtypes that VED reads, by their names in headers."""

_NOT_READ = (
    *("C64", "F4", "F6_E2M3", "F6_E3M2", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ"),
    *("F8_E8M0", "U16", "U32", "U64"),
)
"""The other dtypes of the format."""

ALIGNMENT = 8
"""The elements begin at a multiple of this many bytes, as in files of the library."""

_LENGTH_BYTES = 8

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def read_header(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the tensors and the metadata of a file.

    Returns:
        The tensors by name, in the order of their bytes, and the strings of `__metadata__`.

    Raises:
        VedError: the header is not valid, or does not agree with the file: offsets overlap, leave
            holes or end outside of the file, or do not fit the shapes.
        OSError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            encoded = encoded_header(file)
        start = _LENGTH_BYTES + len(encoded)
        entries, metadata = _parse(encoded)
        tensors = {name: _stored(path, start, name, entry) for name, entry in entries}
        _check_offsets(entries, tensors, path.stat().st_size - start)
    except LimitError as error:
        raise refusal(error, path.name) from error
    except ValueError as error:
        raise _damaged(path, error) from error
    return tensors, metadata


def _parse(encoded: bytes) -> tuple[list[tuple[str, Any]], dict[str, str]]:
    """Return the entries of a header in the order of their bytes, and its metadata.

    Raises:
        LimitError: the header exceeds a limit.
        ValueError: the header is not that of a safetensors file.
    """
    header = strict_json.loads(encoded)
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    metadata = header.pop("__metadata__", None)
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata is not an object of texts")
    check_count(len(header))
    for name, entry in header.items():
        check_name(name)
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(shape, list):
            raise ValueError(f"the tensor {quoted(name)} has no shape")
        check_shape(shape)
        if entry.get("dtype") not in (*DTYPES, *_NOT_READ):
            raise ValueError(f"the tensor {quoted(name)} has no known dtype")
        offsets = entry.get("data_offsets")
        if not (isinstance(offsets, list) and [*map(type, offsets)] == [int, int]):
            raise ValueError(f"the tensor {quoted(name)} has no offsets")
    return sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"])), metadata


def _check_offsets(
    entries: Iterable[tuple[str, Any]], tensors: Mapping[str, StoredTensor], size: int
) -> None:
    """Check that tensors fill the data of a file without a gap or an overlap.

    The library does the same, but it maps the whole file. The examination of a source has too
    little address space for that.

    Args:
        entries: name and entry of each tensor, in the order of their bytes.
        tensors: the tensors, by name.
        size: the length of the data, in bytes.

    Raises:
        ValueError: they do not.
    """
    end = 0
    for name, entry in entries:
        wanted = [end, end + nbytes(tensors[name])]
        if entry["data_offsets"] != wanted:
            raise ValueError(
                f"the tensor {quoted(name)} has the offsets {entry['data_offsets']} instead of "
                f"{wanted}"
            )
        _, end = wanted
    if end != size:
        raise ValueError(f"its tensors have {end} bytes, and its data {size}")


def _damaged(path: Path, error: Exception) -> VedError:
    return VedError(
        f"{path.name} is not a valid safetensors file: {error}.",
        "Download it again; if that does not help, the source itself is damaged.",
        code=ErrorCode.DAMAGED_SOURCE,
    )


def encoded_header(file: BinaryIO) -> bytes:
    """Return the raw header of an open file; b"" if its length is impossible.

    This reads the length and the header with one call each, and no other byte.

    Raises:
        LimitError: the header is too long.
    """
    longest = file.seek(0, os.SEEK_END) - _LENGTH_BYTES
    file.seek(0)
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if length > longest:
        return b""
    if length > HEADER_BYTES:
        raise LimitError(f"The header has {length} bytes, and VED reads at most {HEADER_BYTES}")
    return file.read(length)


def _stored(path: Path, start: int, name: str, entry: dict[str, Any]) -> StoredTensor:
    dtype, (offset, _) = entry["dtype"], entry["data_offsets"]
    if dtype not in DTYPES:
        raise VedError(
            f"Tensor {quoted(name)} in {path.name} has dtype {dtype}, which VED does not read.",
            f"Convert it to one of {', '.join(DTYPES)}.",
            code=ErrorCode.UNSUPPORTED_WEIGHTS,
        )
    return StoredTensor(path, start + offset, tuple(entry["shape"]), DTYPES[dtype])


def write(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, HashedFile]:
    """Write tensors of PyTorch's layout, in the given order.

    In the order of the source, storage that finds equal blocks can reuse those of the source.

    Args:
        path: the file. It gets this name when it is complete.
        tensors: the tensors by name, with the axes of PyTorch's layout.

    Returns:
        The written file, by its name.

    Raises:
        OSError: the file cannot be written, or a tensor cannot be read.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + nbytes(tensor)
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % ALIGNMENT)
    with hashed_file(path) as file:
        blocks = (block for tensor in tensors.values() for block in tensor.blocks())
        file.write_all(chain([len(encoded).to_bytes(_LENGTH_BYTES, "little"), encoded], blocks))
    return {path.name: file}
