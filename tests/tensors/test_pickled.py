"""pytorch_model.bin is read as data: it gives tensors, and no code of it runs."""

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.checkpoints.torch_pickle import write_torch_pickle
from tests.tensors.damage import damaged, read_or_refuse
from ved.errors import ErrorCode, VedError
from ved.tensors.files import open_weights
from ved.tensors.pickled import read_index
from ved.tensors.safetensors import write
from ved.tensors.tensor import read
from ved.tensors.unpickler import ArchivedTensor

RANDOM = np.random.default_rng(0)
ARRAYS: dict[str, NDArray[Any]] = {
    "z.weight": RANDOM.normal(size=(4, 3)).astype(np.float32),
    "half": RANDOM.normal(size=(2, 3, 1, 2)).astype(np.float16),
    "brain": RANDOM.normal(size=5).astype(ml_dtypes.bfloat16),
    "ids": np.arange(5)[None],
    "mask": np.array([1, 0], np.uint8),
    "scalar": np.array(-1e4, np.float32),
}

# Parts of a pickle: each pushes one value onto the stack.


def named(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def row(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + row(*arguments) + pickle.REDUCE


def storage(kind: str, key: str, size: int) -> bytes:
    parts = row(text("storage"), named("torch", kind), text(key), text("cpu"), number(size))
    return parts + pickle.BINPERSID


def tensor(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *,
    start: int = 0,
    size: int = 6,
    kind: str = "FloatStorage",
    key: str = "0",
) -> bytes:
    return call(
        named("torch._utils", REBUILD),
        storage(kind, key, size),
        number(start),
        row(*map(number, shape)),
        row(*map(number, strides)),
        pickle.NEWFALSE,
        call(named("collections", "OrderedDict")),
    )


def build(value: bytes, attributes: bytes) -> bytes:
    """Set attributes of a value: `attributes` is a dictionary, or a tuple of two."""
    return value + attributes + pickle.BUILD


def dictionary(members: Mapping[str, bytes]) -> bytes:
    items = b"".join(text(name) + value for name, value in members.items())
    return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS


def state(members: Mapping[str, bytes]) -> bytes:
    return dictionary(members) + pickle.STOP


REBUILD = "_rebuild_tensor_v2"
SIX = np.arange(6, dtype=np.float32)


def float_of(value: float) -> bytes:
    return pickle.BINFLOAT + struct.pack(">d", value)


def tensor_of(
    elements: bytes | None = None, start: bytes = number(0), shape: bytes = row(number(1))
) -> bytes:
    """Return a tensor of one element whose arguments may have wrong types."""
    elements = storage("FloatStorage", "0", 6) if elements is None else elements
    rest = row(number(1)), pickle.NEWFALSE, pickle.EMPTY_DICT
    return call(named("torch._utils", REBUILD), elements, start, shape, *rest)


def assert_refused(path: Path, code: ErrorCode = ErrorCode.NO_USABLE_WEIGHTS) -> None:
    with pytest.raises(VedError) as caught:
        read_index(path)
    assert caught.value.code == code
    assert path.name in caught.value.cause


def archived(
    program: bytes,
    storages: Mapping[str, bytes] = MappingProxyType({"0": SIX.tobytes()}),
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """Return an archive as torch.save writes it, with any program."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as file:
        file.writestr("pytorch_model/data.pkl", program)
        for key, elements in storages.items():
            file.writestr(f"pytorch_model/data/{key}", elements)
    return content.getvalue()


PROGRAM = state({"a": tensor((3, 2), (2, 1)), "b": tensor((2,), (1,), start=4)})
WHOLE = archived(PROGRAM)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pickled") / "pytorch_model.bin"


# Tensors


def test_read_index_returns_tensors_in_the_order_of_the_state_dict(path: Path) -> None:
    write_torch_pickle(path, ARRAYS)
    found = read_index(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(read(found[name]), array, name)


def test_open_weights_reads_pickles_in_pytorch_layout(path: Path) -> None:
    write_torch_pickle(path, {"h.weight": SIX})
    (weight,) = open_weights([path])
    assert (weight.name, weight.file, weight.layout) == ("h.weight", path.name, "pytorch")


@pytest.mark.parametrize(
    ("start", "shape", "strides"),
    [
        (0, (6,), (1,)),
        (2, (4,), (1,)),
        (1, (2, 2), (2, 1)),
        (5, (1, 1), (7, 9)),
        (3, (), ()),
        (0, (0, 3), (3, 1)),
    ],
)
def test_tensor_is_a_view_of_its_storage(
    start: int, shape: tuple[int, ...], strides: tuple[int, ...], path: Path
) -> None:
    path.write_bytes(archived(state({"a": tensor(shape, strides, start=start)})))
    count = int(np.prod(shape))
    np.testing.assert_array_equal(
        read(read_index(path)["a"]), SIX[start : start + count].reshape(shape)
    )


def test_tensors_share_a_storage(path: Path) -> None:
    path.write_bytes(archived(state({"a": tensor((6,), (1,)), "b": tensor((3, 2), (2, 1))})))
    found = read_index(path)
    np.testing.assert_array_equal(read(found["a"]), SIX)
    np.testing.assert_array_equal(read(found["b"]), SIX.reshape(3, 2))


def test_parameter_is_read_as_its_tensor(path: Path) -> None:
    parameter = call(
        named("torch._utils", "_rebuild_parameter"),
        tensor((6,), (1,)),
        pickle.NEWTRUE,
        call(named("collections", "OrderedDict")),
    )
    path.write_bytes(archived(state({"a": parameter})))
    np.testing.assert_array_equal(read(read_index(path)["a"]), SIX)


def test_read_index_ignores_other_values(path: Path) -> None:
    members = {"epoch": number(3), "a": tensor((6,), (1,)), "name": text("best")}
    path.write_bytes(archived(state(members)))
    assert list(read_index(path)) == ["a"]


# What is refused


OTHER_ORDER = tensor((3, 2), (1, 3))


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(state({"a": OTHER_ORDER}), id="transposed"),
        pytest.param(state({"a": tensor((6,), (0,))}), id="repeated"),
        pytest.param(state({"a": tensor((7,), (1,))}), id="too long"),
        pytest.param(state({"a": tensor((3,), (1,), start=4)}), id="too late"),
        pytest.param(state({"a": tensor((3,), (1,), start=-1)}), id="before"),
        pytest.param(state({"a": tensor((-1,), (1,), start=1)}), id="negative size"),
        pytest.param(state({"a": tensor((6,), (1,), key="1")}), id="no such storage"),
        pytest.param(state({"a": tensor((6,), (1,), kind="QInt8Storage")}), id="other dtype"),
        pytest.param(state({"a": tensor((7,), (1,), size=7)}), id="short storage"),
        pytest.param(state({"a": call(named("torch._utils", REBUILD))}), id="no arguments"),
        pytest.param(state({"a": tensor_of(text("0"))}), id="no storage"),
        pytest.param(state({"a": tensor_of(shape=row(pickle.NEWTRUE))}), id="shape of True"),
        pytest.param(state({"a": tensor_of(shape=row(float_of(1.0)))}), id="shape of a float"),
        pytest.param(state({"a": tensor_of(start=pickle.NEWFALSE)}), id="start of False"),
        pytest.param(pickle.EMPTY_LIST + pickle.STOP, id="list"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\x80\x02}q", id="truncated"),
        pytest.param(pickle.POP + pickle.STOP, id="empty stack"),
    ],
)
def test_read_index_refuses_tensors_that_it_cannot_read(program: bytes, path: Path) -> None:
    path.write_bytes(archived(program))
    assert_refused(path)


FIELDS = {
    "path": text("/etc/passwd"),
    "entry_offset": number(0),
    "start": number(-8),
    "shape": row(number(100)),
    "dtype": text("float64"),
    "blocks": named("collections", "OrderedDict"),
}
ATTRIBUTES = dictionary(FIELDS)


@pytest.mark.parametrize(
    "attributes",
    [
        *(pytest.param(dictionary({name: FIELDS[name]}), id=name) for name in FIELDS),
        pytest.param(row(pickle.NONE, ATTRIBUTES), id="slots"),
        pytest.param(pickle.EMPTY_DICT, id="none"),
        pytest.param(
            pickle.EMPTY_LIST
            + pickle.MARK
            + b"".join(value for name, value in FIELDS.items() if name != "blocks")
            + pickle.APPENDS,
            id="list of values",
        ),
    ],
)
def test_read_index_refuses_to_set_attributes_of_a_tensor(attributes: bytes, path: Path) -> None:
    path.write_bytes(archived(state({"a": build(tensor((6,), (1,)), attributes)})))
    assert_refused(path)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(storage("FloatStorage", "0", 6), id="storage"),
        pytest.param(named("torch._utils", REBUILD), id="function"),
        pytest.param(named("collections", "OrderedDict"), id="class"),
        pytest.param(named("torch", "FloatStorage"), id="name"),
        pytest.param(pickle.EMPTY_DICT, id="dictionary"),
    ],
)
def test_read_index_refuses_to_set_attributes_of_other_values(value: bytes, path: Path) -> None:
    path.write_bytes(archived(state({"a": build(value, ATTRIBUTES)})))
    assert_refused(path)


def test_read_index_ignores_attributes_of_an_ordered_dict(path: Path) -> None:
    """PyTorch sets `_metadata`; another attribute could replace a method of the dictionary."""
    items = text("a") + tensor((6,), (1,)) + pickle.SETITEM
    ordered = call(named("collections", "OrderedDict")) + items
    hidden = {"_metadata": pickle.EMPTY_DICT, "items": named("collections", "OrderedDict")}
    path.write_bytes(archived(build(ordered, dictionary(hidden)) + pickle.STOP))
    np.testing.assert_array_equal(read(read_index(path)["a"]), SIX)


VALUES = [
    tensor((3, 2), (2, 1)),
    tensor((2,), (1,), start=4),
    storage("FloatStorage", "0", 6),
    named("torch._utils", REBUILD),
    named("torch._utils", "_rebuild_parameter"),
    named("collections", "OrderedDict"),
    call(named("collections", "OrderedDict")),
    ATTRIBUTES,
    row(pickle.NONE, ATTRIBUTES),
    *FIELDS.values(),
    *(pickle.EMPTY_DICT, pickle.EMPTY_LIST, pickle.EMPTY_TUPLE, pickle.NEWTRUE, pickle.NONE),
]
OPERATIONS = [
    *(pickle.BUILD, pickle.REDUCE, pickle.NEWOBJ, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.SETITEM, pickle.APPEND, pickle.DUP, pickle.BINPERSID),
]


@settings(max_examples=1000)
@given(
    parts=st.lists(st.sampled_from([*VALUES, *OPERATIONS]), max_size=6),
    end=st.sampled_from([pickle.SETITEM, pickle.BUILD + pickle.SETITEM]),
)
def test_read_index_gives_tensors_that_are_as_long_as_their_headers_say(
    parts: list[bytes], end: bytes, path: Path
) -> None:
    program = pickle.EMPTY_DICT + text("a") + tensor((6,), (1,)) + b"".join(parts) + end
    path.write_bytes(archived(program + pickle.STOP))
    try:
        found = read_index(path)
    except VedError:
        return
    assert all(isinstance(name, str) for name in found)
    written = path.with_name("model.safetensors")
    write(written, found)
    # The library checks that header and file agree.
    assert load_file(written).keys() == found.keys()
    for each in found.values():
        assert (type(each), each.path) == (ArchivedTensor, path)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("subprocess", "Popen"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch._utils", "_rebuild_tensor"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("collections", "Counter"),
        ("ved.errors", "VedError"),
    ],
)
def test_read_index_refuses_other_names(module: str, name: str, path: Path) -> None:
    path.write_bytes(archived(state({"a": named(module, name)})))
    with pytest.raises(VedError, match=rf"it asks to run {module}\.{name}"):
        read_index(path)


def test_read_index_refuses_attributes_of_allowed_names(path: Path) -> None:
    reached = text("collections") + text("OrderedDict.fromkeys") + pickle.STACK_GLOBAL
    path.write_bytes(archived(pickle.PROTO + b"\x04" + state({"a": call(reached, row())})))
    assert_refused(path)


class Harmful:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_read_index_does_not_run_programs(protocol: int, path: Path, tmp_path: Path) -> None:
    program = pickle.dumps({"a": Harmful(tmp_path / "ran")}, protocol)
    pickle.loads(program)
    assert (tmp_path / "ran").exists(), "the pickle does no harm, and the test shows nothing"
    (tmp_path / "ran").unlink()
    path.write_bytes(archived(program))
    assert_refused(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04", id="cut short"),
        pytest.param(pickle.dumps({"a": 1}), id="older than the archives"),
    ],
)
def test_read_index_refuses_files_that_are_not_archives(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert_refused(path)


def test_read_index_refuses_an_archive_without_data_pkl(path: Path) -> None:
    path.write_bytes(archived(PROGRAM).replace(b"data.pkl", b"data.txt"))
    assert_refused(path)


def test_read_index_refuses_compressed_storages(path: Path) -> None:
    path.write_bytes(archived(state({"a": tensor((6,), (1,))}), compression=zipfile.ZIP_DEFLATED))
    assert_refused(path)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(b"N" + pickle.LONG_BINPUT + struct.pack("<I", 2**27) + pickle.STOP, id="memo"),
        pytest.param(pickle.BINBYTES8 + struct.pack("<Q", 2**30) + pickle.STOP, id="bytes"),
    ],
)
def test_read_index_refuses_programs_that_claim_much_memory(program: bytes, path: Path) -> None:
    path.write_bytes(archived(program))
    assert read_or_refuse(read_index, path) is None


def nested(depth: int) -> bytes:
    """Push a tuple of twice the same tuple, and so on: 2 ** depth values in few bytes."""
    twice = [
        pickle.BINPUT + bytes([level]) + pickle.BINGET + bytes([level]) + pickle.TUPLE2
        for level in range(depth)
    ]
    return pickle.EMPTY_TUPLE + b"".join(twice)


LONG_ROW = row(*[number(1)] * 9)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(
            pickle.EMPTY_DICT + nested(16) + pickle.NONE + pickle.SETITEM + pickle.STOP, id="key"
        ),
        pytest.param(
            pickle.EMPTY_DICT
            + pickle.EMPTY_TUPLE
            + pickle.TUPLE1 * 1000
            + pickle.NONE
            + pickle.SETITEM
            + pickle.STOP,
            id="deep key",
        ),
        pytest.param(
            state({"a": pickle.EMPTY_TUPLE + pickle.DUP + pickle.TUPLE2}), id="another opcode"
        ),
        pytest.param(
            state({"a": pickle.LONG1 + bytes([9]) + b"\x7f" * 9}), id="integer of 72 bits"
        ),
        pytest.param(state({"a": tensor_of(shape=pickle.EMPTY_LIST)}), id="list of dimensions"),
        pytest.param(
            state({"a": call(named("collections", "OrderedDict"), row(pickle.EMPTY_LIST))}),
            id="copied dictionary",
        ),
    ],
)
def test_read_index_refuses_programs_that_would_take_long(program: bytes, path: Path) -> None:
    path.write_bytes(archived(program))
    assert_refused(path)


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"a": tensor_of(shape=LONG_ROW)}, id="axes"),
        pytest.param({"a" * 1001: tensor_of()}, id="long name"),
        pytest.param({"a\n": tensor_of()}, id="control character"),
        pytest.param(
            {name: tensor((2**18,), (1,), size=2**18) for name in "abcde"},
            id="shared storage",
        ),
        pytest.param(dict.fromkeys(map(str, range(20_001)), pickle.NONE), id="many keys"),
    ],
)
def test_read_index_limits_names_and_shapes(members: dict[str, bytes], path: Path) -> None:
    path.write_bytes(archived(state(members), {"0": bytes(2**20)}))
    assert_refused(path, ErrorCode.SOURCE_TOO_LARGE)


def test_read_index_refuses_compressed_program(path: Path) -> None:
    program = state({"a": tensor((6,), (1,))})
    path.write_bytes(archived(program, compression=zipfile.ZIP_DEFLATED))
    assert_refused(path)


def test_read_index_ignores_keys_that_are_not_strings(path: Path) -> None:
    both = text("a") + tensor((6,), (1,)) + number(1) + tensor((6,), (1,))
    path.write_bytes(
        archived(pickle.EMPTY_DICT + pickle.MARK + both + pickle.SETITEMS + pickle.STOP)
    )
    assert list(read_index(path)) == ["a"]


def test_read_index_refuses_truncated_archives(path: Path) -> None:
    for cut in range(len(WHOLE)):
        path.write_bytes(WHOLE[:cut])
        assert read_or_refuse(read_index, path) is None, cut


def test_read_index_refuses_storages_outside_of_the_archive(path: Path) -> None:
    field = WHOLE.rindex(b"PK\x01\x02") + 42  # of the last entry: where in the archive it begins
    path.write_bytes(WHOLE[:field] + struct.pack("<I", len(WHOLE)) + WHOLE[field + 4 :])
    assert_refused(path)


def test_tensor_whose_entry_is_missing_raises_os_error(path: Path) -> None:
    entry = WHOLE.rindex(b"PK\x03\x04")
    path.write_bytes(WHOLE[:entry] + b"PK\x00\x00" + WHOLE[entry + 4 :])
    found = read_index(path)
    with pytest.raises(OSError, match="has no tensor where its directory says"):
        read(found["a"])


@settings(derandomize=True, deadline=None, max_examples=500)
@given(program=damaged(PROGRAM))
def test_read_index_reads_or_refuses_damaged_programs(program: bytes, path: Path) -> None:
    path.write_bytes(archived(program))
    read_or_refuse(read_index, path)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(content=damaged(WHOLE))
def test_read_index_reads_or_refuses_damaged_archives(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    read_or_refuse(read_index, path)
