"""safetensors files: reading where each tensor lies.

The format (https://huggingface.co/docs/safetensors) is a little-endian u64, a JSON header of that
length, and one block of bytes that the header's offsets count into.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ved.errors import VedError
from ved.tensors.tensor import BFLOAT16, StoredTensor

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


def read_header(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the file's tensors by name, in the order of their bytes, and its metadata.

    Raises:
        VedError: the header lies about the file: offsets that overlap, leave holes or point past
            the end, lengths that do not fit the shapes, or no valid header at all.
        OSError: the file cannot be read.
    """
    try:
        # The library's own validation; nothing is kept mapped.
        with safe_open(path, framework="np"):
            pass
    except SafetensorError as error:
        raise VedError(
            f"{path.name} is not a valid safetensors file: {error}.",
            "Download it again; if that does not help, the source itself is damaged.",
        ) from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", {})
    start = 8 + length
    entries = sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"]))
    return {name: _stored(path, start, name, entry) for name, entry in entries}, metadata


def _stored(path: Path, start: int, name: str, entry: dict[str, Any]) -> StoredTensor:
    dtype, (offset, _) = entry["dtype"], entry["data_offsets"]
    if dtype not in DTYPES:
        raise VedError(
            f"Tensor {name!r} in {path.name} has dtype {dtype}, which VED does not read.",
            f"Convert it to one of {', '.join(DTYPES)}.",
        )
    return StoredTensor(path, start + offset, tuple(entry["shape"]), DTYPES[dtype])
