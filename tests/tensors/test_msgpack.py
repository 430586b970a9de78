"""Flax's msgpack files are read as Flax reads them, and written with the bytes of Flax."""

import hashlib
from math import prod
from pathlib import Path
from typing import Any

import flax.serialization
import jax.numpy as jnp
import ml_dtypes
import msgpack
import numpy as np
import pytest
from flax.serialization import msgpack_restore, msgpack_serialize
from flax.traverse_util import flatten_dict, unflatten_dict
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.reference import ask
from tests.tensors.damage import damaged, read_or_refuse
from ved.errors import ErrorCode, VedError
from ved.tensors import msgpack_writer
from ved.tensors import tensor as tensors
from ved.tensors.files import open_weights
from ved.tensors.msgpack import read_index
from ved.tensors.msgpack_writer import write
from ved.tensors.tensor import LazyTensor, Tensor, read

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
RANDOM = np.random.default_rng(0)
TREE: dict[str, Any] = {
    "encoder": {
        "layer": {
            "0": {"kernel": RANDOM.normal(size=(4, 3)).astype(np.float32)},
            "10": {"kernel": RANDOM.normal(size=(4, 3)).astype(BFLOAT16)},
            "2": {"kernel": RANDOM.normal(size=(1, 2, 3, 4)).astype(np.float16)},
        },
        "empty": np.empty((3, 0, 2), np.float32),
        "none": {},
    },
    "a": np.empty(0, np.float32),
    "scalar": np.array(3.5, np.float32),
    "one": np.array([7], np.uint8),  # fits a fixed-size extension
    "ids": np.arange(300)[None],
    "mask": np.array([[True], [False]]),
    "long" * 20: RANDOM.normal(size=300),
    "ünï": np.array([1, -1], np.int8),
}


# What numpy stores in a file, in the order of the names
PLAIN = {
    path: array
    for path, array in sorted(flatten_dict(TREE).items())
    if isinstance(array, np.ndarray) and array.dtype != BFLOAT16
}
SHARD_BYTES = ("1", "100", "150", "2500")


def arrays_in(tree: Any) -> dict[str, NDArray[Any]]:
    return dict(flatten_dict(tree, sep="."))


def tensors_of(tree: Any) -> dict[tuple[str, ...], Tensor]:
    def lazily(array: NDArray[Any]) -> Tensor:
        return LazyTensor(array.shape, array.dtype, lambda: array)

    return {path: lazily(array) for path, array in flatten_dict(tree).items()}


def assert_reads_as(path: Path, expected: dict[str, NDArray[Any]]) -> None:
    found = read_index(path)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert read(found[name]).tobytes() == array.tobytes(), name


@pytest.fixture(params=[None, 8, 50])
def chunk_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """Set the size in bytes above which Flax and VED split arrays; None leaves it at 1 GiB."""
    size: int | None = request.param
    if size is not None:
        monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", size)
        monkeypatch.setattr(msgpack_writer, "CHUNK_BYTES", size)
    return size


# Reading


def test_read_index_returns_what_flax_writes(chunk_bytes: int | None, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(msgpack_serialize(TREE))
    expected = {name: array for name, array in arrays_in(TREE).items() if array is not None}
    expected.pop("encoder.none", None)
    assert_reads_as(tmp_path / "file", expected)


def test_chunked_tensor_yields_blocks_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", 50)
    monkeypatch.setattr(tensors, "BLOCK_BYTES", 16)
    tree = {"kernel": np.arange(60, dtype=np.float32).reshape(5, 12)}
    (tmp_path / "file").write_bytes(msgpack_serialize(tree))
    (tensor,) = read_index(tmp_path / "file").values()
    assert all(block.nbytes <= 16 for block in tensor.blocks())
    assert_reads_as(tmp_path / "file", tree)


def test_read_index_reads_numpy_scalars_and_jax_arrays(tmp_path: Path) -> None:
    tree = {"scalar": np.float32(2.5), "array": jnp.arange(3, dtype=jnp.bfloat16)}
    (tmp_path / "file").write_bytes(msgpack_serialize(tree))
    expected = {"scalar": np.array(2.5, np.float32), "array": np.arange(3).astype(BFLOAT16)}
    assert_reads_as(tmp_path / "file", expected)


def test_open_weights_reads_msgpack_in_flax_layout(tmp_path: Path) -> None:
    path = tmp_path / "flax_model.msgpack"
    path.write_bytes(msgpack_serialize({"h": {"0": {"kernel": np.ones(2)}}}))
    (weight,) = open_weights([path])
    assert (weight.name, weight.file, weight.layout) == ("h.0.kernel", path.name, "flax")


# Writing


def test_write_gives_the_bytes_of_flax(chunk_bytes: int | None, tmp_path: Path) -> None:
    tree = unflatten_dict(dict(sorted(flatten_dict(TREE).items())))
    written = write(tmp_path / "file", tensors_of(TREE))
    # With in_place, Flax keeps the order of the tree.
    expected = msgpack_serialize(tree, in_place=True)
    assert (tmp_path / "file").read_bytes() == expected
    assert written.keys() == {"file"}
    assert written["file"].size == len(expected)
    assert written["file"].sha256 == hashlib.sha256(expected).hexdigest()


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    dtype=st.sampled_from([np.dtype(np.float32), np.dtype(np.uint8), BFLOAT16]),
    name=st.text(min_size=1, max_size=40).filter(str.isprintable),
    block_bytes=st.integers(8, 64),
    chunk_bytes=st.integers(4, 64),
)
def test_write_gives_the_bytes_of_flax_for_any_array(
    shape: list[int],
    dtype: np.dtype[Any],
    name: str,
    block_bytes: int,
    chunk_bytes: int,
    scratch: Path,
) -> None:
    array = np.arange(prod(shape)).reshape(shape).astype(dtype)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
        monkeypatch.setattr(msgpack_writer, "CHUNK_BYTES", chunk_bytes)
        monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", chunk_bytes)
        scratch.write_bytes(msgpack_serialize({name: array}))
        found = read_index(scratch)
        write(scratch.with_name("written"), {(name,): found[name]})
    assert scratch.with_name("written").read_bytes() == scratch.read_bytes()


def test_write_sorts_keys_at_every_level(tmp_path: Path) -> None:
    paths = [("b", "2"), ("b", "10"), ("a",), ("b.a",), ("b", "1", "z")]
    write(tmp_path / "file", tensors_of(unflatten_dict({path: np.ones(1) for path in paths})))
    restored = msgpack_restore((tmp_path / "file").read_bytes())
    assert list(restored) == ["a", "b", "b.a"]
    assert list(restored["b"]) == ["1", "10", "2"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Return the sha256 of the files that transformers writes, by the size of the shards."""
    folder = tmp_path_factory.mktemp("shards")
    np.savez(folder / "arrays.npz", **{"/".join(path): each for path, each in PLAIN.items()})  # type: ignore[arg-type]
    sizes = [int(size) for size in SHARD_BYTES]
    task = {"task": "shards", "arrays": str(folder / "arrays.npz"), "sizes": sizes}
    found: dict[str, dict[str, str]] = ask({"": task}, folder).reports[""]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("shard_bytes", SHARD_BYTES)
def test_write_gives_the_shards_of_transformers(
    shard_bytes: str, shards: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    tree = unflatten_dict(PLAIN)
    written = write(tmp_path / "flax_model.msgpack", tensors_of(tree), int(shard_bytes))
    expected = shards[shard_bytes]
    assert {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    } == expected
    expected.pop("flax_model.msgpack.index.json", None)
    assert {name: file.sha256 for name, file in written.items()} == expected


def test_write_leaves_no_file_if_a_tensor_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(msgpack_serialize({"a": np.ones(4)}))
    found = read_index(tmp_path / "source")
    (tmp_path / "source").write_bytes(b"")
    with pytest.raises(VedError):
        write(tmp_path / "file", {("a",): found["a"]})
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


# Damaged and hostile files


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("msgpack") / "flax_model.msgpack"


def assert_refused(path: Path, code: ErrorCode = ErrorCode.DAMAGED_SOURCE) -> None:
    with pytest.raises(VedError) as caught:
        read_index(path)
    assert caught.value.code == code
    assert path.name in caught.value.cause


def small_files() -> list[bytes]:
    tree = {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}, "one": np.ones(1)}
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", 10)
        return [msgpack_serialize(tree), msgpack_serialize({"layer": tree["layer"]})]


WHOLE, CHUNKED = small_files()


@pytest.mark.parametrize("whole", [WHOLE, CHUNKED], ids=["two", "one"])
def test_read_index_refuses_truncated_files(whole: bytes, scratch: Path) -> None:
    for cut in range(len(whole)):
        scratch.write_bytes(whole[:cut])
        assert read_or_refuse(read_index, scratch) is None, cut


@settings(derandomize=True, deadline=None, max_examples=500)
@given(content=st.sampled_from([WHOLE, CHUNKED]).flatmap(damaged))
@example(content=WHOLE.replace(b"float32", b"i4,,   "))
def test_read_index_reads_or_refuses_damaged_files(content: bytes, scratch: Path) -> None:
    scratch.write_bytes(content)
    read_or_refuse(read_index, scratch)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(content=st.binary(max_size=60))
def test_read_index_reads_or_refuses_any_bytes(content: bytes, scratch: Path) -> None:
    scratch.write_bytes(content)
    read_or_refuse(read_index, scratch)


def array_bytes(shape: object, dtype: object, data: bytes) -> bytes:
    """Return an array as Flax packs it, with any shape and dtype."""
    packed = msgpack.packb((shape, dtype, data), use_bin_type=True)
    content = msgpack.packb({"a": msgpack.ExtType(1, packed)})
    assert isinstance(content, bytes)
    return content


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="map of 2**32 keys"),
        pytest.param(b"\xde\xff\xff", id="map of 2**16 keys"),
        pytest.param(b"\x81\xa1a\xc9\xff\xff\xff\xff\x01\x93", id="extension of 4 GiB"),
        pytest.param(b"\x81\xa1\x80" * 100_000, id="key that is not text"),
        pytest.param(b"\x81\xa1a" * 100_000, id="deep nesting"),
        pytest.param(b"\x81\xa1a" * 100_000 + b"\x80", id="deep and whole"),
        pytest.param(b"\x81\x01\x80", id="key that is a number"),
        pytest.param(b"\x81\xa1a\x90", id="list"),
        pytest.param(b"\x81\xa1a\xa1b", id="text"),
        pytest.param(b"\x81\xa1a\xc0", id="nothing"),
        pytest.param(b"\x81\xa1a\xd4\x05\x00", id="other extension"),
        pytest.param(array_bytes([2**40], "float32", b"xxxx"), id="huge shape"),
        pytest.param(array_bytes([2**63, 2**63], "float32", b"xxxx"), id="shape past 64 bits"),
        pytest.param(array_bytes([2], "float32", b"xxxx"), id="too few elements"),
        pytest.param(array_bytes([1], "float32", b"x" * 8), id="too many elements"),
        pytest.param(array_bytes([-1], "float32", b"xxxx"), id="negative size"),
        pytest.param(array_bytes([1.5], "float32", b"xxxx"), id="broken size"),
        pytest.param(array_bytes("ab", "float32", b"xxxx"), id="shape of text"),
        pytest.param(array_bytes([1], 4, b"xxxx"), id="dtype that is a number"),
        pytest.param(array_bytes([1], "float32", b"xxxx") + b"x", id="bytes left over"),
    ],
)
def test_read_index_refuses_other_files(content: bytes, scratch: Path) -> None:
    scratch.write_bytes(content)
    assert read_or_refuse(read_index, scratch) is None
    assert_refused(scratch)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x81\xdb\xff\xff\xff\xff", id="key of 4 GiB"),
        pytest.param(b"\x81\xa1a\xc7\x30\x01\x93\xdd\xff\xff\xff\xff", id="rank of 2**32"),
        pytest.param(array_bytes([1] * 9, "float32", b"xxxx"), id="rank of 9"),
        pytest.param(b"\x81\xda\x0f\xa1" + b"a" * 4001 + b"\x80", id="key of 4001 bytes"),
    ],
)
def test_read_index_limits_names_and_shapes(content: bytes, scratch: Path) -> None:
    scratch.write_bytes(content)
    assert read_or_refuse(read_index, scratch) is None
    assert_refused(scratch, ErrorCode.SOURCE_TOO_LARGE)


@pytest.mark.parametrize(
    "dtype",
    [
        "O",
        "object",
        "V4",
        "S4",
        "U1",
        "M8[ns]",
        "complex64",
        "no such",
        "f4,f4",
        "i4,,",
        ",",
        "(99999999999,)f4",
        ">f4",
        "",
    ],
)
def test_read_index_refuses_other_dtypes(dtype: str, scratch: Path) -> None:
    scratch.write_bytes(array_bytes([1], dtype, b"xxxx"))
    assert_refused(scratch)


@pytest.mark.parametrize(
    "node",
    [
        {},
        {"shape": {"0": 2}},
        {"shape": {"0": 2}, "chunks": {}},
        {"shape": 2, "chunks": {"0": np.ones(2)}},
        {"shape": {"1": 2}, "chunks": {"0": np.ones(2)}},
        {"shape": {"0": 2}, "chunks": {"1": np.ones(2)}},
        {"shape": {"0": 3}, "chunks": {"0": np.ones(2)}},
        {"shape": {"0": 2**62, "1": 2**62}, "chunks": {"0": np.ones(2)}},
        {"shape": {"0": 2}, "chunks": {"0": np.ones(1), "1": np.ones(1, np.float32)}},
        {"shape": {"0": 2}, "chunks": {"0": {"0": np.ones(2)}}},
        {"shape": {"0": np.ones(1)}, "chunks": {"0": np.ones(2)}},
    ],
    ids=str,
)
def test_read_index_refuses_chunks_that_do_not_fit_their_shape(
    node: dict[str, Any], scratch: Path
) -> None:
    tree = {"a": {"__msgpack_chunked_array__": True, **node}}
    scratch.write_bytes(msgpack_serialize(tree))
    assert_refused(scratch)


def test_read_index_of_missing_file_raises_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_index(tmp_path / "nowhere")
