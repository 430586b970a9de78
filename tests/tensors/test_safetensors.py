"""safetensors files are read and written as the library does; headers that lie are refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from numpy.typing import NDArray
from safetensors import safe_open

from tests.tensors.damage import damaged, read_or_refuse
from ved.errors import ErrorCode, VedError
from ved.tensors import safetensors as ved_safetensors
from ved.tensors import tensor as tensors
from ved.tensors.files import open_weights
from ved.tensors.safetensors import read_header, write
from ved.tensors.tensor import LazyTensor, StoredTensor, Tensor, read

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
RANDOM = np.random.default_rng(0)
ARRAYS: dict[str, NDArray[Any]] = {
    "z.weight": RANDOM.normal(size=(4, 3)).astype(np.float32),
    "half": RANDOM.normal(size=(2, 3, 1, 2)).astype(np.float16),
    "double": RANDOM.normal(size=3),
    "empty": np.empty((0, 3), np.float32),
    "scalar": np.array(-1e4, np.float32),
    "ids": np.arange(5)[None],
    "mask": np.array([True, False]),
    'ünicode "name"': np.arange(4, dtype=np.uint8),
}


def with_header(path: Path, header: object, data: bytes = b"") -> Path:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
    return path


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def read_all(path: Path) -> dict[str, StoredTensor]:
    return read_header(path)[0]


def lazily(array: NDArray[Any]) -> Tensor:
    return LazyTensor(array.shape, array.dtype, lambda: array)


# Reading


def test_read_header_returns_what_the_library_saves(tmp_path: Path) -> None:
    safetensors.numpy.save_file(ARRAYS, tmp_path / "file", {"format": "pt", "by": "a test"})
    found, metadata = read_header(tmp_path / "file")
    assert metadata == {"format": "pt", "by": "a test"}
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(read(found[name]), array)


def test_read_header_reads_bfloat16(tmp_path: Path) -> None:
    path = with_header(tmp_path / "file", {"a": entry("BF16", [2], 0, 4)}, b"\x80\x3f\x00\xc0")
    tensor = read_all(path)["a"]
    assert tensor.dtype == BFLOAT16
    assert read(tensor).tolist() == [1.0, -2.0]


def test_read_header_returns_tensors_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    header = {"a": entry("U8", [1], 2, 3), "b": entry("U8", [2], 0, 2)}
    assert list(read_all(with_header(tmp_path / "file", header, b"xyz"))) == ["b", "a"]


def test_read_header_without_metadata_returns_an_empty_mapping(tmp_path: Path) -> None:
    path = with_header(tmp_path / "file", {"a": entry("U8", [1], 0, 1)}, b"x")
    assert read_header(path)[1] == {}


@pytest.mark.parametrize("framework", [None, "pt", "flax"])
def test_open_weights_takes_the_layout_from_the_metadata(
    framework: str | None, tmp_path: Path
) -> None:
    metadata = None if framework is None else {"format": framework}
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"a": np.ones(1)}, path, metadata)
    (weight,) = open_weights([path])
    assert (weight.name, weight.file) == ("a", "model.safetensors")
    assert weight.layout == ("flax" if framework == "flax" else "pytorch")


@pytest.mark.parametrize("framework", ["tf", "mlx", ""])
def test_open_weights_refuses_other_frameworks(framework: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"a": np.ones(1)}, path, {"format": framework})
    with pytest.raises(VedError) as caught:
        open_weights([path])
    assert caught.value.code == ErrorCode.UNSUPPORTED_WEIGHTS
    assert repr(framework) in caught.value.cause


def test_open_weights_reads_null_metadata_as_pytorch(tmp_path: Path) -> None:
    header = {"__metadata__": None, "a": entry("U8", [1], 0, 1)}
    path = with_header(tmp_path / "model.safetensors", header, b"x")
    assert [weight.layout for weight in open_weights([path])] == ["pytorch"]


# Wrong headers


@pytest.mark.parametrize(
    ("header", "data"),
    [
        pytest.param({"a": entry("U8", [2], 0, 2)}, b"x", id="cut short"),
        pytest.param({"a": entry("U8", [2], 0, 2)}, b"xyz", id="bytes left over"),
        pytest.param(
            {"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"xyz", id="overlap"
        ),
        pytest.param(
            {"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 3, 5)}, b"xyzzy", id="hole"
        ),
        pytest.param({"a": entry("U8", [2], 1, 3)}, b"xyz", id="hole at the start"),
        pytest.param({"a": entry("F32", [2], 0, 4)}, b"xxxx", id="wrong length"),
        pytest.param({"a": entry("U8", [2], 2, 0)}, b"xx", id="end before start"),
        pytest.param({"a": entry("U8", [-2], 0, 2)}, b"xx", id="negative size"),
        pytest.param({"a": entry("U8", [2**40, 2**40], 0, 2)}, b"xx", id="overflow"),
        pytest.param({"a": entry("U8", [2**60], 0, 2**60)}, b"xx", id="huge"),
        pytest.param({"a": entry("XX", [2], 0, 2)}, b"xx", id="no such dtype"),
        pytest.param({"a": {"dtype": "U8"}}, b"", id="no shape"),
        pytest.param({"a": []}, b"", id="no entry"),
        pytest.param({"__metadata__": {"format": 1}}, b"", id="metadata of numbers"),
        pytest.param({"__metadata__": 0}, b"", id="metadata of a number"),
        pytest.param({"__metadata__": []}, b"", id="metadata of a list"),
        pytest.param([], b"", id="no object"),
        pytest.param(b"{", b"", id="no JSON"),
        pytest.param(b"\xff{}", b"", id="no text"),
        pytest.param(b"", b"", id="no header"),
        pytest.param(b'{"a": ' + b"[" * 10**5, b"", id="deep nesting"),
    ],
)
def test_read_header_refuses_wrong_headers(header: object, data: bytes, tmp_path: Path) -> None:
    path = with_header(tmp_path / "model.safetensors", header, data)
    with pytest.raises(VedError) as caught:
        read_header(path)
    assert caught.value.code == ErrorCode.DAMAGED_SOURCE
    assert path.name in caught.value.cause


@pytest.mark.parametrize("length", [2**62, 2**64 - 1, 10**8 + 1, 3])
def test_read_header_refuses_impossible_lengths(length: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(VedError) as caught:
        read_header(path)
    assert caught.value.code == ErrorCode.DAMAGED_SOURCE


@pytest.mark.parametrize(("dtype", "shape"), [("F8_E4M3", [2]), ("U16", [1])])
def test_read_header_names_tensor_and_dtype_that_it_cannot_read(
    dtype: str, shape: list[int], tmp_path: Path
) -> None:
    path = with_header(tmp_path / "file", {"a": entry(dtype, shape, 0, 2)}, b"xx")
    with pytest.raises(VedError) as caught:
        read_header(path)
    assert caught.value.code == ErrorCode.UNSUPPORTED_WEIGHTS
    for part in ("'a'", "file", dtype):
        assert part in caught.value.cause
    assert "BF16" in caught.value.remedy


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safetensors") / "model.safetensors"


WHOLE = safetensors.numpy.save(
    {"a": np.arange(3, dtype=np.float32), "b.c": np.ones((2, 2), np.float16)}, {"format": "pt"}
)


def test_read_header_refuses_truncated_files(scratch: Path) -> None:
    for cut in range(len(WHOLE)):
        scratch.write_bytes(WHOLE[:cut])
        assert read_or_refuse(read_all, scratch) is None, cut


@settings(derandomize=True, deadline=None, max_examples=300)
@given(content=damaged(WHOLE))
def test_read_header_reads_or_refuses_damaged_files(content: bytes, scratch: Path) -> None:
    scratch.write_bytes(content)
    found = read_or_refuse(read_all, scratch)
    if found is not None:
        assert sum(array.nbytes for array in found.values()) == 20


def test_read_header_of_missing_file_raises_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "nowhere")


# Writing


@pytest.mark.parametrize("block_bytes", [8, 2**24])
def test_write_gives_a_file_that_the_library_reads(
    block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
    safetensors.numpy.save_file(ARRAYS, tmp_path / "source")
    written = write(tmp_path / "model.safetensors", read_all(tmp_path / "source"))
    content = (tmp_path / "model.safetensors").read_bytes()
    loaded = safetensors.numpy.load(content)
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(loaded[name], array)
    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt"}
    assert written.keys() == {"model.safetensors"}
    assert written["model.safetensors"].size == len(content)
    assert written["model.safetensors"].sha256 == hashlib.sha256(content).hexdigest()


def test_write_writes_bfloat16(tmp_path: Path) -> None:
    array = np.array([1.0, -2.0]).astype(BFLOAT16)
    write(tmp_path / "file", {"a": lazily(array)})
    with safe_open(tmp_path / "file", "flax") as file:
        loaded = np.asarray(file.get_tensor("a"))
    assert loaded.dtype == BFLOAT16
    np.testing.assert_array_equal(loaded, array)


def test_write_keeps_the_order_and_aligns_elements(
    tmp_path: Path,
) -> None:
    for count in range(1, 9):  # headers of several lengths
        names = [f"{'x' * count}.{number}" for number in (2, 1, 3)]
        write(tmp_path / "file", {name: lazily(np.full(3, 7, np.uint8)) for name in names})
        assert list(read_all(tmp_path / "file")) == names
        header_length = int.from_bytes((tmp_path / "file").read_bytes()[:8], "little")
        assert header_length % ved_safetensors.ALIGNMENT == 0


def test_write_gives_the_bytes_of_the_library(tmp_path: Path) -> None:
    arrays = {"a": np.arange(3.0), "b": np.ones((2, 2), np.float32)}
    write(tmp_path / "file", {name: lazily(array) for name, array in arrays.items()})
    assert (tmp_path / "file").read_bytes() == safetensors.numpy.save(arrays, {"format": "pt"})


def test_write_leaves_no_file_if_a_tensor_cannot_be_read(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"a": np.ones(4)}, tmp_path / "source")
    found = read_all(tmp_path / "source")
    (tmp_path / "source").write_bytes(b"")
    with pytest.raises(VedError):
        write(tmp_path / "file", found)
    assert not [path.name for path in tmp_path.iterdir() if path.name != "source"]
