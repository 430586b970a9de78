"""pytorch_model.bin is read as data: tensors come out, and nothing that it asks for is run."""

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
from numpy.typing import NDArray

from tests.checkpoints.torch_pickle import write_torch_pickle
from tests.tensors.damage import damaged, read_or_refuse
from ved.errors import VedError
from ved.tensors.files import open_weights
from ved.tensors.pickled import read_index
from ved.tensors.tensor import read

RANDOM = np.random.default_rng(0)
ARRAYS: dict[str, NDArray[Any]] = {
    "z.weight": RANDOM.normal(size=(4, 3)).astype(np.float32),
    "half": RANDOM.normal(size=(2, 3, 1, 2)).astype(np.float16),
    "brain": RANDOM.normal(size=5).astype(ml_dtypes.bfloat16),
    "ids": np.arange(5)[None],
    "mask": np.array([1, 0], np.uint8),
    "scalar": np.array(-1e4, np.float32),
}

# Parts of a pickle, each an expression that leaves one value.


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
        named("torch._utils", "_rebuild_tensor_v2"),
        storage(kind, key, size),
        number(start),
        row(*map(number, shape)),
        row(*map(number, strides)),
        pickle.NEWFALSE,
        call(named("collections", "OrderedDict")),
    )


def state(members: Mapping[str, bytes]) -> bytes:
    items = b"".join(text(name) + value for name, value in members.items())
    return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS + pickle.STOP


SIX = np.arange(6, dtype=np.float32)


def archived(
    program: bytes,
    storages: Mapping[str, bytes] = MappingProxyType({"0": SIX.tobytes()}),
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """Return what torch.save writes, around any program."""
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


def test_tensors_are_those_of_the_state_dict_in_its_order(path: Path) -> None:
    write_torch_pickle(path, ARRAYS)
    found = read_index(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(read(found[name]), array, name)


def test_weights_have_pytorchs_layout(path: Path) -> None:
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
def test_tensor_is_its_part_of_the_storage(
    start: int, shape: tuple[int, ...], strides: tuple[int, ...], path: Path
) -> None:
    path.write_bytes(archived(state({"a": tensor(shape, strides, start=start)})))
    count = int(np.prod(shape))
    np.testing.assert_array_equal(
        read(read_index(path)["a"]), SIX[start : start + count].reshape(shape)
    )


def test_tensors_may_share_a_storage(path: Path) -> None:
    path.write_bytes(archived(state({"a": tensor((6,), (1,)), "b": tensor((3, 2), (2, 1))})))
    found = read_index(path)
    np.testing.assert_array_equal(read(found["a"]), SIX)
    np.testing.assert_array_equal(read(found["b"]), SIX.reshape(3, 2))


def test_parameters_are_their_tensors(path: Path) -> None:
    parameter = call(
        named("torch._utils", "_rebuild_parameter"),
        tensor((6,), (1,)),
        pickle.NEWTRUE,
        call(named("collections", "OrderedDict")),
    )
    path.write_bytes(archived(state({"a": parameter})))
    np.testing.assert_array_equal(read(read_index(path)["a"]), SIX)


def test_what_is_no_tensor_is_passed_over(path: Path) -> None:
    members = {"epoch": number(3), "a": tensor((6,), (1,)), "name": text("best")}
    path.write_bytes(archived(state(members)))
    assert list(read_index(path)) == ["a"]


# What is refused


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        pytest.param(state({"a": tensor((3, 2), (1, 3))}), "not stored row by row", id="turned"),
        pytest.param(state({"a": tensor((6,), (0,))}), "not stored row by row", id="repeated"),
        pytest.param(state({"a": tensor((7,), (1,))}), "past its storage", id="too long"),
        pytest.param(state({"a": tensor((3,), (1,), start=4)}), "past its storage", id="too late"),
        pytest.param(state({"a": tensor((3,), (1,), start=-1)}), "past its storage", id="before"),
        pytest.param(
            state({"a": tensor((-1,), (1,), start=1)}), "pytorch_model.bin", id="negative size"
        ),
        pytest.param(
            state({"a": tensor((6,), (1,), key="1")}), "pytorch_model.bin", id="no such storage"
        ),
        pytest.param(
            state({"a": tensor((6,), (1,), kind="QInt8Storage")}), "QInt8Storage", id="other dtype"
        ),
        pytest.param(
            state({"a": tensor((7,), (1,), size=7)}), "pytorch_model.bin", id="short storage"
        ),
        pytest.param(
            state({"a": call(named("torch._utils", "_rebuild_tensor_v2"))}),
            "pytorch_model.bin",
            id="no arguments",
        ),
        pytest.param(pickle.EMPTY_LIST + pickle.STOP, "mapping of tensors", id="list"),
        pytest.param(b"", "pytorch_model.bin", id="nothing"),
        pytest.param(b"\x80\x02}q", "pytorch_model.bin", id="cut short"),
        pytest.param(pickle.POP + pickle.STOP, "pytorch_model.bin", id="empty stack"),
    ],
)
def test_tensor_that_cannot_be_read_is_refused(program: bytes, reason: str, path: Path) -> None:
    path.write_bytes(archived(program))
    with pytest.raises(VedError, match=reason) as caught:
        read_index(path)
    assert "safetensors" in caught.value.remedy


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
def test_nothing_but_tensors_is_asked_for(module: str, name: str, path: Path) -> None:
    path.write_bytes(archived(state({"a": named(module, name)})))
    with pytest.raises(VedError, match=rf"it asks to run {module}\.{name}"):
        read_index(path)


def test_attribute_of_what_is_allowed_is_refused(path: Path) -> None:
    reached = text("collections") + text("OrderedDict.fromkeys") + pickle.STACK_GLOBAL
    path.write_bytes(archived(pickle.PROTO + b"\x04" + state({"a": call(reached, row())})))
    with pytest.raises(VedError, match=r"pytorch_model\.bin"):
        read_index(path)


class Harmful:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_program_is_refused_and_does_not_run(protocol: int, path: Path, tmp_path: Path) -> None:
    program = pickle.dumps({"a": Harmful(tmp_path / "ran")}, protocol)
    pickle.loads(program)
    assert (tmp_path / "ran").exists(), "the pickle does no harm, and the test shows nothing"
    (tmp_path / "ran").unlink()
    path.write_bytes(archived(program))
    with pytest.raises(VedError, match=r"pytorch_model\.bin"):
        read_index(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04", id="cut short"),
        pytest.param(pickle.dumps({"a": 1}), id="older than the archives"),
    ],
)
def test_file_that_is_no_archive_is_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(VedError, match=r"pytorch_model\.bin cannot be read"):
        read_index(path)


def test_archive_without_a_program_is_refused(path: Path) -> None:
    path.write_bytes(archived(PROGRAM).replace(b"data.pkl", b"data.txt"))
    with pytest.raises(VedError, match=r"pytorch_model\.bin cannot be read"):
        read_index(path)


def test_compressed_storage_is_refused(path: Path) -> None:
    path.write_bytes(archived(state({"a": tensor((6,), (1,))}), compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(VedError, match=r"pytorch_model\.bin cannot be read"):
        read_index(path)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(b"N" + pickle.LONG_BINPUT + struct.pack("<I", 2**27) + pickle.STOP, id="memo"),
        pytest.param(pickle.BINBYTES8 + struct.pack("<Q", 2**30) + pickle.STOP, id="bytes"),
    ],
)
def test_program_that_claims_much_memory_is_refused(program: bytes, path: Path) -> None:
    path.write_bytes(archived(program))
    assert read_or_refuse(read_index, path) is None


def test_truncated_archive_is_refused(path: Path) -> None:
    for cut in range(len(WHOLE)):
        path.write_bytes(WHOLE[:cut])
        assert read_or_refuse(read_index, path) is None, cut


def test_storage_outside_of_the_archive_is_refused(path: Path) -> None:
    field = WHOLE.rindex(b"PK\x01\x02") + 42  # of the last entry: where in the archive it begins
    path.write_bytes(WHOLE[:field] + struct.pack("<I", len(WHOLE)) + WHOLE[field + 4 :])
    with pytest.raises(VedError, match=r"pytorch_model\.bin cannot be read"):
        read_index(path)


def test_elements_are_not_read_of_an_entry_that_is_not_there(path: Path) -> None:
    entry = WHOLE.rindex(b"PK\x03\x04")
    path.write_bytes(WHOLE[:entry] + b"PK\x00\x00" + WHOLE[entry + 4 :])
    found = read_index(path)
    with pytest.raises(OSError, match="has no tensor where its directory says"):
        read(found["a"])


@settings(derandomize=True, deadline=None, max_examples=500)
@given(program=damaged(PROGRAM))
def test_damaged_program_is_refused_or_read(program: bytes, path: Path) -> None:
    path.write_bytes(archived(program))
    read_or_refuse(read_index, path)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(content=damaged(WHOLE))
def test_damaged_archive_is_refused_or_read(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    read_or_refuse(read_index, path)
