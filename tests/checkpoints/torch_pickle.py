"""pytorch_model.bin as torch.save writes it, without torch.

The file is a zip archive. data.pkl is a pickle of protocol 2 that describes the tensors and names
their storages. data/<key> holds the bytes of one storage, uncompressed and aligned. The pickle is
written opcode by opcode, because a pickler would have to import torch. The format is that of torch
2.13, without the data descriptors and the memo, which readers do not need; see
https://docs.pytorch.org/docs/stable/notes/serialization.html.
"""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_STORAGES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
}
_ALIGNMENT = 64
_LOCAL_HEADER_SIZE = 30


def write_torch_pickle(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write a state dict; names of one and the same array share a storage, as tied weights do."""
    storages = {id(tensor): tensor for tensor in tensors.values()}
    keys = {identity: str(key) for key, identity in enumerate(storages)}
    items = [_text(name) + _tensor(tensor, keys[id(tensor)]) for name, tensor in tensors.items()]
    entries: dict[str, bytes] = {
        "data.pkl": _state_dict(items),
        ".format_version": b"1",
        ".storage_alignment": str(_ALIGNMENT).encode(),
        "byteorder": b"little",
        **{f"data/{keys[identity]}": array.tobytes() for identity, array in storages.items()},
        "version": b"3\n",
        ".data/serialization_id": b"0" * 40,
    }
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(f"{path.stem}/{name}")
            entry.extra = _padding(file.tell() + _LOCAL_HEADER_SIZE + len(entry.filename))
            archive.writestr(entry, content)
            entry.extra = b""  # torch pads local headers only, not the central directory


def _padding(offset: int) -> bytes:
    """Return the zip extra field that moves data at `offset` onto the next aligned one."""
    length = -(offset + 4) % _ALIGNMENT
    return b"FB" + struct.pack("<H", length) + b"Z" * length


def _state_dict(items: list[bytes]) -> bytes:
    """Return an OrderedDict with the attribute that `Module.state_dict` leaves on it."""
    version = pickle.EMPTY_DICT + _text("version") + _integer(1) + pickle.SETITEM
    metadata = _ORDERED_DICT + _text("") + version + pickle.SETITEM
    return b"".join(
        [
            pickle.PROTO + b"\x02",
            _ORDERED_DICT + pickle.MARK + b"".join(items) + pickle.SETITEMS,
            pickle.EMPTY_DICT + _text("_metadata") + metadata + pickle.SETITEM + pickle.BUILD,
            pickle.STOP,
        ]
    )


def _tensor(tensor: np.ndarray[Any, Any], key: str) -> bytes:
    storage_type = _global("torch", _STORAGES[tensor.dtype.name])
    storage = _tuple(
        _text("storage"), storage_type, _text(key), _text("cpu"), _integer(tensor.size)
    )
    strides = [stride // tensor.itemsize for stride in tensor.strides]
    arguments = _tuple(
        storage + pickle.BINPERSID,
        _integer(0),
        _tuple(*map(_integer, tensor.shape)),
        _tuple(*map(_integer, strides)),
        pickle.NEWFALSE,  # requires no gradient
        _ORDERED_DICT,  # and has no backward hooks
    )
    return _global("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(text.encode())) + text.encode()


def _integer(number: int) -> bytes:
    return pickle.BININT + struct.pack("<i", number)


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


_ORDERED_DICT = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
