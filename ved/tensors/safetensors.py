"""safetensors files: where each tensor lies, and writing them as a stream.

The format (https://huggingface.co/docs/safetensors) is a little-endian u64, a JSON header of that
length, and one block of bytes that the header's offsets count into.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open

from ved.errors import ErrorCode, VedError
from ved.tensors.output import HashedFile, hashed_file
from ved.tensors.tensor import BFLOAT16, StoredTensor, Tensor, nbytes

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
"""The header's names of dtypes."""

ALIGNMENT = 8
"""The block of bytes begins at a multiple of this, as the library has it; spaces lead up to it."""

_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000  # the library refuses a longer one without looking at it

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def read_header(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the file's tensors by name, in the order of their bytes, and its metadata.

    Raises:
        VedError: the header lies about the file: offsets that overlap, leave holes or point past
            the end, lengths that do not fit the shapes, or no valid header at all.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            # The library's own validation; nothing is kept mapped.
            with safe_open(path, framework="np"):
                pass
        except SafetensorError as error:
            raise VedError(
                f"{path.name} is not a valid safetensors file: {error}.",
                "Download it again; if that does not help, the source itself is damaged.",
                code=ErrorCode.DAMAGED_SOURCE,
            ) from error
        encoded = encoded_header(file)
    header = json.loads(encoded)
    metadata = header.pop("__metadata__", None) or {}
    start = _LENGTH_BYTES + len(encoded)
    entries = sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"]))
    return {name: _stored(path, start, name, entry) for name, entry in entries}, metadata


def encoded_header(file: BinaryIO) -> bytes:
    """Return an open file's header as it lies there; b"" where its length cannot be.

    It reads the length and the header, each at once, and no other byte.
    """
    longest = min(_LONGEST_HEADER, file.seek(0, os.SEEK_END) - _LENGTH_BYTES)
    file.seek(0)
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    return file.read(length) if length <= longest else b""


def _stored(path: Path, start: int, name: str, entry: dict[str, Any]) -> StoredTensor:
    dtype, (offset, _) = entry["dtype"], entry["data_offsets"]
    if dtype not in DTYPES:
        raise VedError(
            f"Tensor {name!r} in {path.name} has dtype {dtype}, which VED does not read.",
            f"Convert it to one of {', '.join(DTYPES)}.",
            code=ErrorCode.UNSUPPORTED_WEIGHTS,
        )
    return StoredTensor(path, start + offset, tuple(entry["shape"]), DTYPES[dtype])


def write(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, HashedFile]:
    """Write tensors in PyTorch's layout, in the order given.

    Storage that de-duplicates by content then finds a source's bytes again, in their own order.

    Args:
        path: the file; it appears under this name once it is whole.
        tensors: each under its name, shaped as PyTorch has it.

    Returns:
        size and sha256 of the file, by its name.

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
        file.write(len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded)
        file.write_all(block for tensor in tensors.values() for block in tensor.blocks())
    return {path.name: file}
