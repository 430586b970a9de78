"""ved.sources.headers: header files stand for weight files, without their weights."""

import struct
import zipfile
from collections.abc import Callable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import flax.serialization
import numpy as np
import pytest
from huggingface_hub import HfApi

from tests import checkpoints
from tests.support.publishing import TOKEN, client, publish
from tests.support.raising import raises
from tests.support.servers import send, serving_requests
from tests.tensors.test_pickled import PROGRAM, archived, named, number, state
from ved.errors import ErrorCode, VedError
from ved.hub import http, retries
from ved.localhub import Exchange, LocalHub
from ved.sources import headers
from ved.tensors.files import open_weights
from ved.tensors.tensor import read

SUFFIXES = (".safetensors", ".msgpack", ".bin")


@pytest.fixture
def connected() -> None:
    """Configure the HTTP sessions as VED does."""
    http.connect()


def weights_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix in SUFFIXES)


def fetched(hub: LocalHub, repo: str, commit: str, names: list[str], directory: Path) -> Path:
    directory.mkdir()
    hub.requests.clear()
    headers.fetch_headers(repo, commit, names, directory, client(hub))
    return directory


def described(directory: Path, names: list[str]) -> list[str]:
    """Return everything about each tensor: name, file, layout, shape, dtype and position."""
    weights = open_weights([directory / name for name in names])
    return [repr(weight).replace(str(directory), "") for weight in weights]


def downloads(hub: LocalHub) -> list[Exchange]:
    return [exchange for exchange in hub.requests if exchange.method == "GET"]


def transferred(hub: LocalHub) -> int:
    return sum(exchange.bytes_out for exchange in hub.requests)


# Content


@pytest.mark.parametrize("make", [checkpoints.vit, checkpoints.gpt2])
@pytest.mark.parametrize("layout", ["safetensors", "sharded", "flax", "pickle"])
def test_fetch_headers_gives_same_tensors_as_files(
    layout: str, make: Callable[..., Path], hub: LocalHub, tmp_path: Path
) -> None:
    repo = f"team/headers-{make.__name__}-{layout}"
    directory = make(tmp_path / "real", layout=layout)
    commit = publish(hub, repo, directory)
    names = weights_in(directory)

    header_files = fetched(hub, repo, commit, names, tmp_path / "headers")

    assert weights_in(header_files) == names
    assert described(header_files, names) == described(directory, names)
    for name in names:
        assert (header_files / name).stat().st_size == (directory / name).stat().st_size


def test_fetch_headers_reads_at_commit(hub: LocalHub, tmp_path: Path) -> None:
    first = checkpoints.vit(tmp_path / "first")
    commit = publish(hub, "team/headers-moving", first)
    client(hub).upload_folder(
        repo_id="team/headers-moving", folder_path=checkpoints.vit(tmp_path / "b", hidden_size=48)
    )
    names = ["model.safetensors"]
    header_files = fetched(hub, "team/headers-moving", commit, names, tmp_path / "headers")
    assert described(header_files, names) == described(first, names)


def test_fetch_headers_of_chunked_msgpack(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", 40_000)
    tree = {"kernel": np.ones((100, 300), np.float32), "bias": np.ones(300, np.float32)}
    names = one_file(tmp_path, "flax_model.msgpack", flax.serialization.msgpack_serialize(tree))
    commit = publish(hub, "team/headers-chunked", tmp_path / "real")
    header_files = fetched(hub, "team/headers-chunked", commit, names, tmp_path / "headers")
    assert described(header_files, names) == described(tmp_path / "real", names)


def test_fetch_headers_of_zip64_archive(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PyTorch always writes this format. Python writes it only with many files.
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 0)
    content = archived(PROGRAM)
    assert b"PK\x06\x06" in content
    names = one_file(tmp_path, "pytorch_model.bin", content)
    commit = publish(hub, "team/headers-zip64", tmp_path / "real")
    header_files = fetched(hub, "team/headers-zip64", commit, names, tmp_path / "headers")
    assert described(header_files, names) == described(tmp_path / "real", names)


def one_file(folder: Path, name: str, content: bytes) -> list[str]:
    (folder / "real").mkdir()
    (folder / "real" / name).write_bytes(content)
    return [name]


# Costs


@pytest.fixture
def large(request: pytest.FixtureRequest, hub: LocalHub, tmp_path: Path) -> tuple[Path, str]:
    """Publish weights much larger than their headers, as `team/large-<layout>`."""
    directory = checkpoints.vit(tmp_path / "real", layout=request.param, hidden_size=256)
    return directory, publish(hub, f"team/large-{request.param}", directory)


@pytest.mark.parametrize("large", ["safetensors"], indirect=True)
def test_fetch_headers_transfers_only_header_of_safetensors(
    large: tuple[Path, str], hub: LocalHub, tmp_path: Path
) -> None:
    directory, commit = large
    name = "model.safetensors"
    fetched(hub, "team/large-safetensors", commit, [name], tmp_path / "headers")

    length = int.from_bytes((directory / name).read_bytes()[:8], "little")
    assert transferred(hub) == 8 + length
    assert len(downloads(hub)) == 2
    for weight in open_weights([tmp_path / "headers" / name]):
        assert not read(weight.tensor).any(), weight.name
    header_file = (tmp_path / "headers" / name).stat()
    assert header_file.st_blocks * 512 < header_file.st_size / 20, "it is not sparse"


@pytest.mark.parametrize("large", ["pickle"], indirect=True)
def test_fetch_headers_transfers_no_weights_of_archive(
    large: tuple[Path, str], hub: LocalHub, tmp_path: Path
) -> None:
    directory, commit = large
    name = "pytorch_model.bin"
    fetched(hub, "team/large-pickle", commit, [name], tmp_path / "headers")

    with zipfile.ZipFile(directory / name) as archive:
        weights = [entry.file_size for entry in archive.infolist() if "/data/" in entry.filename]
    assert transferred(hub) < (directory / name).stat().st_size - sum(weights)
    assert len(downloads(hub)) <= 8


@pytest.mark.parametrize("large", ["flax"], indirect=True)
def test_fetch_headers_transfers_one_window_a_tensor_of_msgpack(
    large: tuple[Path, str], hub: LocalHub, tmp_path: Path
) -> None:
    directory, commit = large
    name = "flax_model.msgpack"
    fetched(hub, "team/large-flax", commit, [name], tmp_path / "headers")

    tensors = len(open_weights([directory / name]))
    assert len(downloads(hub)) <= tensors
    assert transferred(hub) <= len(downloads(hub)) * headers.WINDOW_BYTES
    assert transferred(hub) < (directory / name).stat().st_size / 20


# Damaged files


def with_length(length: int, rest: bytes) -> bytes:
    return length.to_bytes(8, "little") + rest


SAFETENSORS = with_length(
    64, b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'.ljust(64) + b"xy"
)
MSGPACK = flax.serialization.msgpack_serialize({"a": np.ones(2000), "b": np.ones(3)})
ARCHIVE = archived(PROGRAM)
DAMAGED: dict[str, bytes] = {
    "no-length.safetensors": SAFETENSORS[:5],
    "cut-in-the-header.safetensors": SAFETENSORS[:50],
    "cut-in-the-weights.safetensors": SAFETENSORS[:-1],
    "longer.safetensors": SAFETENSORS + b"z",
    "header-past-the-end.safetensors": with_length(1000, SAFETENSORS[8:]),
    "absurd-header.safetensors": with_length(100_000_001, SAFETENSORS[8:]),
    "most-absurd-header.safetensors": with_length(2**64 - 1, SAFETENSORS[8:]),
    "no-json.safetensors": with_length(64, b"{" * 64 + b"xy"),
    "other-dtype.safetensors": SAFETENSORS.replace(b'"U8","shape":[2]', b'"U16","shape":[1]'),
    "cut-in-the-weights.msgpack": MSGPACK[:4000],
    "cut-in-the-header.msgpack": MSGPACK[:10],
    "longer.msgpack": MSGPACK + b"z",
    "other-type.msgpack": b"\x90" + MSGPACK[1:],
    "no-archive.bin": b"\x80\x02" + bytes(100_000),
    "cut.bin": ARCHIVE[:-30],
    "without-directory.bin": ARCHIVE.replace(b"PK\x01\x02", b"PK\x00\x00"),
    "directory-before-the-beginning.bin": ARCHIVE[:-10] + b"\xff" * 4 + ARCHIVE[-6:],
    "damaged-program.bin": ARCHIVE.replace(b"FloatStorage", b"FloatSt0rage"),
    "harmful.bin": archived(state({"a": named("os", "system")})),
    "no-tensors.bin": archived(number(1) + b"."),
}


@pytest.fixture(scope="module")
def damaged(module_hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Publish damaged files as `team/damaged`; return their directory and commit."""
    directory = tmp_path_factory.mktemp("damaged")
    for name, content in DAMAGED.items():
        (directory / name).write_bytes(content)
    return directory, publish(module_hub, "team/damaged", directory)


@pytest.mark.parametrize("name", DAMAGED)
def test_header_file_has_same_damage_as_file(
    name: str, damaged: tuple[Path, str], hub: LocalHub, tmp_path: Path
) -> None:
    directory, commit = damaged
    with pytest.raises(VedError) as of_the_file:
        open_weights([directory / name])

    fetched(hub, "team/damaged", commit, [name], tmp_path / "headers")

    with pytest.raises(VedError) as of_the_header_file:
        open_weights([tmp_path / "headers" / name])
    assert str(of_the_header_file.value) == str(of_the_file.value)


def test_fetch_headers_limits_size_of_header(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "REMOTE_HEADER_BYTES", 10_000)
    content = archived(PROGRAM, {"0": bytes(10**6)})
    everything = struct.pack("<LL", len(content) - 22, 0)  # length and place of its directory
    names = one_file(tmp_path, "pytorch_model.bin", content[:-10] + everything + content[-2:])
    commit = publish(hub, "team/headers-endless", tmp_path / "real")

    with raises(ErrorCode.SOURCE_TOO_LARGE, "pytorch_model.bin"):
        fetched(hub, "team/headers-endless", commit, names, tmp_path / "headers")

    assert transferred(hub) < 10_000


def test_fetch_headers_limits_the_headers_of_a_source_together(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each header is below the limit, and both are above it.
    monkeypatch.setattr(headers, "REMOTE_HEADER_BYTES", 10_000)
    (tmp_path / "real").mkdir()
    names = ["a.safetensors", "b.safetensors"]
    for name in names:
        header = b'{"__metadata__": {"x": "' + b"x" * 6_000 + b'"}}'
        content = struct.pack("<Q", len(header)) + header
        (tmp_path / "real" / name).write_bytes(content)
    commit = publish(hub, "team/headers-together", tmp_path / "real")

    with raises(ErrorCode.SOURCE_TOO_LARGE, "team/headers-together"):
        fetched(hub, "team/headers-together", commit, names, tmp_path / "headers")


def test_fetch_headers_limits_number_of_requests(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "REMOTE_HEADER_REQUESTS", 3)
    tensors = {f"h{number}": np.zeros(5_000, "float32") for number in range(10)}
    names = one_file(tmp_path, "flax_model.msgpack", flax.serialization.msgpack_serialize(tensors))
    commit = publish(hub, "team/headers-many", tmp_path / "real")

    with raises(ErrorCode.SOURCE_TOO_LARGE, "flax_model.msgpack"):
        fetched(hub, "team/headers-many", commit, names, tmp_path / "headers")


# The Hub and the network


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_fetch_headers_retries_busy_hub(
    method: str,
    hub: LocalHub,
    sources: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.0)
    hub.faults.add(method, "(/resolve/|/lfs/)", status=503)
    names = ["model.safetensors"]
    header_files = fetched(hub, "team/vit", head(hub, "team/vit"), names, tmp_path / "headers")
    assert [exchange.status for exchange in hub.requests].count(503) == 1
    assert described(header_files, names) == described(sources["vit"], names)


def head(hub: LocalHub, repo: str) -> str:
    return str(client(hub).model_info(repo).sha)


@pytest.mark.parametrize("layout", ["safetensors", "flax", "pickle"])
def test_fetch_headers_does_not_take_truncated_answer_for_damage(
    layout: str, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.0)
    repo = f"team/headers-cut-{layout}"
    directory = checkpoints.vit(tmp_path / "real", layout=layout)  # type: ignore[arg-type]
    commit = publish(hub, repo, directory)
    hub.faults.add("GET", "/lfs/", times=retries.ATTEMPTS, cut_response=5)
    with raises(ErrorCode.HUB_DOES_NOT_ANSWER, f"{repo}@{commit[:12]}"):
        fetched(hub, repo, commit, weights_in(directory), tmp_path / "headers")


def test_fetch_headers_of_missing_file(hub: LocalHub, tmp_path: Path) -> None:
    commit = head(hub, "team/vit")
    names = ["model.safetensors", "absent.bin"]
    with raises(ErrorCode.DAMAGED_SOURCE, "absent.bin", f"team/vit@{commit[:12]}"):
        fetched(hub, "team/vit", commit, names, tmp_path / "headers")


def test_fetch_headers_of_private_repo_needs_token(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.vit(tmp_path / "real")
    commit = publish(hub, "team/headers-private", directory, private=True)
    names = ["model.safetensors"]
    header_files = fetched(hub, "team/headers-private", commit, names, tmp_path / "headers")
    assert described(header_files, names) == described(directory, names)
    with raises(ErrorCode.NO_SUCH_REPO):
        headers.fetch_headers(
            "team/headers-private", commit, names, tmp_path, client(hub, token=None)
        )


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../model.safetensors", "/tmp/a.bin", "onnx/a.bin", "a.bin/"]
)
def test_fetch_headers_refuses_name_with_folder_before_any_request(
    name: str, hub: LocalHub, tmp_path: Path
) -> None:
    with raises(ErrorCode.DAMAGED_SOURCE, repr(name)):
        fetched(hub, "team/vit", "0" * 40, ["model.safetensors", name], tmp_path / "headers")
    assert hub.requests == []
    assert list(tmp_path.iterdir()) == [tmp_path / "headers"]
    assert list((tmp_path / "headers").iterdir()) == []


# Hashing


READ = [name for name in DAMAGED if not name.endswith(".bin")]


def test_hash_files_reads_once_and_writes_same_header_files(
    damaged: tuple[Path, str], hub: LocalHub, tmp_path: Path
) -> None:
    directory, commit = damaged
    fetched(hub, "team/damaged", commit, READ, tmp_path / "headers")
    hub.requests.clear()

    (tmp_path / "read").mkdir()
    digests = headers.hash_files("team/damaged", commit, READ, tmp_path / "read", client(hub))

    contents = {name: (directory / name).read_bytes() for name in READ}
    assert digests == {name: sha256(content).hexdigest() for name, content in contents.items()}
    assert transferred(hub) == sum(map(len, contents.values()))
    for name in READ:
        assert damage_of(tmp_path / "read" / name) == damage_of(tmp_path / "headers" / name)


def damage_of(path: Path) -> str:
    """Return the message about a damaged weight file."""
    with pytest.raises(VedError) as caught:
        open_weights([path])
    return str(caught.value)


@pytest.mark.parametrize("layout", ["safetensors", "flax"])
def test_hash_files_continues_after_each_truncated_answer(
    layout: str, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.0)
    repo = f"team/headers-read-{layout}"
    directory = checkpoints.vit(tmp_path / "real", layout=layout)  # type: ignore[arg-type]
    commit = publish(hub, repo, directory)
    (name,) = weights_in(directory)
    size = (directory / name).stat().st_size
    cuts, piece = 2 * retries.ATTEMPTS, 1000
    hub.faults.add("GET", "/lfs/", times=cuts, cut_response=size // (cuts + 1))
    (tmp_path / "read").mkdir()
    hub.requests.clear()

    digests = headers.hash_files(repo, commit, [name], tmp_path / "read", client(hub))

    assert digests == {name: sha256((directory / name).read_bytes()).hexdigest()}
    assert described(tmp_path / "read", [name]) == described(directory, [name])
    assert transferred(hub) < size + cuts * piece  # truncated chunks are requested again
    # A signed address may have expired by then.
    assert [each.method for each in hub.requests] == ["HEAD", "GET"] * (cuts + 1)


def test_hash_files_gives_up_without_progress(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.0)
    names = ["model.safetensors"]
    hub.faults.add("GET", "/lfs/", cut_response=1000)
    hub.faults.add("GET", "/lfs/", times=retries.ATTEMPTS, cut_response=0)
    with raises(ErrorCode.HUB_DOES_NOT_ANSWER, "model.safetensors of team/vit@"):
        headers.hash_files("team/vit", head(hub, "team/vit"), names, tmp_path, client(hub))


def test_hash_files_locates_all_files_first(hub: LocalHub, tmp_path: Path) -> None:
    names = ["model.safetensors", "absent.msgpack"]
    commit = head(hub, "team/vit")
    hub.requests.clear()
    with raises(ErrorCode.DAMAGED_SOURCE, "absent.msgpack of team/vit@"):
        headers.hash_files("team/vit", commit, names, tmp_path, client(hub))
    assert transferred(hub) < 1000
    assert downloads(hub) == []


# Other servers


def send_part(request: BaseHTTPRequestHandler, content: bytes) -> None:
    """Answer with a file, or with the range that is requested."""
    if request.command == "HEAD":
        send(request, 200, {"Content-Length": str(len(content))})
        return
    first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
    part = content[first : last + 1]
    send(request, 206, {"Content-Range": f"bytes {first}-{last}/{len(content)}"}, part)


def test_fetch_headers_sends_token_only_to_hub(tmp_path: Path) -> None:
    of_the_hub, of_the_other = [], []

    def other(request: BaseHTTPRequestHandler) -> None:
        of_the_other.append((request.command, request.headers["Authorization"]))
        send_part(request, SAFETENSORS)

    def hub(request: BaseHTTPRequestHandler) -> None:
        of_the_hub.append((request.command, request.headers["Authorization"]))
        size = {"X-Linked-Size": str(len(SAFETENSORS))}
        send(request, 302, {"Location": f"{elsewhere}/signed", **size})

    with serving_requests(other) as elsewhere, serving_requests(hub) as endpoint:
        api = HfApi(endpoint, token=TOKEN)
        headers.fetch_headers("team/vit", "0" * 40, ["a.safetensors"], tmp_path, api)

    assert of_the_hub == [("HEAD", f"Bearer {TOKEN}")]
    assert of_the_other == [("GET", None), ("GET", None)]
    assert [weight.name for weight in open_weights([tmp_path / "a.safetensors"])] == ["a"]


def test_fetch_headers_from_hub_sends_token_on_one_connection(
    tmp_path: Path,
) -> None:
    seen = []

    def hub(request: BaseHTTPRequestHandler) -> None:
        seen.append((request.command, request.headers["Authorization"], request.client_address))
        send_part(request, SAFETENSORS)

    with serving_requests(hub) as endpoint:
        api = HfApi(endpoint, token=TOKEN)
        headers.fetch_headers("team/vit", "0" * 40, ["a.safetensors"], tmp_path, api)

    methods, tokens, connections = zip(*seen, strict=True)
    assert methods == ("HEAD", "GET", "GET")
    assert set(tokens) == {f"Bearer {TOKEN}"}
    assert len(set(connections)) == 1


@pytest.mark.usefixtures("connected")
def test_fetch_headers_refuses_server_without_ranges(tmp_path: Path) -> None:
    size = 2**30
    sent: list[int] = []

    def hub(request: BaseHTTPRequestHandler) -> None:
        send(request, 200, {"Content-Length": str(size)})
        request.close_connection = True
        try:
            while request.command == "GET" and sum(sent) < size:
                sent.append(request.wfile.write(bytes(2**16)))
        except OSError:
            pass  # the client closed the connection

    with serving_requests(hub) as endpoint, raises(ErrorCode.HUB_DOES_NOT_ANSWER):
        headers.fetch_headers("team/vit", "0" * 40, ["a.safetensors"], tmp_path, HfApi(endpoint))

    assert sum(sent) < size / 10


@pytest.mark.parametrize(
    ("content_range", "body"),
    [
        pytest.param("bytes 1-8/74", SAFETENSORS[1:9], id="another part"),
        pytest.param("bytes 0-7/75", SAFETENSORS[:8], id="of another size"),
        pytest.param("bytes 0-7/74", SAFETENSORS[:7], id="too short"),
        pytest.param("bytes 0-7/74", SAFETENSORS[:9], id="too long"),
    ],
)
def test_fetch_headers_refuses_other_range(content_range: str, body: bytes, tmp_path: Path) -> None:
    def hub(request: BaseHTTPRequestHandler) -> None:
        if request.command == "HEAD":
            send_part(request, SAFETENSORS)
        else:
            send(request, 206, {"Content-Range": content_range}, body)

    shown = ("a.safetensors in team/vit@000000000000", "range")
    with serving_requests(hub) as endpoint, raises(ErrorCode.HUB_DOES_NOT_ANSWER, *shown):
        headers.fetch_headers("team/vit", "0" * 40, ["a.safetensors"], tmp_path, HfApi(endpoint))


def test_fetch_headers_refuses_file_of_unknown_size(tmp_path: Path) -> None:
    def hub(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()

    with serving_requests(hub) as endpoint, raises(ErrorCode.HUB_DOES_NOT_ANSWER, "size"):
        headers.fetch_headers("team/vit", "0" * 40, ["a.safetensors"], tmp_path, HfApi(endpoint))


@pytest.mark.usefixtures("connected")
def test_hash_files_stops_after_announced_size(tmp_path: Path) -> None:
    length = 10**9
    sent: list[int] = []

    def hub(request: BaseHTTPRequestHandler) -> None:
        is_head = request.command == "HEAD"
        send(request, 200, {"Content-Length": str(len(SAFETENSORS) if is_head else length)})
        request.close_connection = True
        try:
            if not is_head:
                sent.append(request.wfile.write(SAFETENSORS))
                while sum(sent) < length:
                    sent.append(request.wfile.write(bytes(2**16)))
        except OSError:
            pass  # the client closed the connection

    with serving_requests(hub) as endpoint:
        names = ["a.safetensors"]
        digests = headers.hash_files("team/vit", "0" * 40, names, tmp_path, HfApi(endpoint))

    assert digests["a.safetensors"] != sha256(SAFETENSORS).hexdigest()
    assert sum(sent) < length / 10


@pytest.mark.usefixtures("connected")
def test_hash_files_refuses_server_that_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.0)

    def hub(request: BaseHTTPRequestHandler) -> None:
        # Every answer is truncated.
        send(request, 200, {"Content-Length": str(len(SAFETENSORS))})
        if request.command == "GET":
            request.wfile.write(SAFETENSORS[:-1])
        request.close_connection = True

    with serving_requests(hub) as endpoint, raises(ErrorCode.HUB_DOES_NOT_ANSWER):
        headers.hash_files("team/vit", "0" * 40, ["a.safetensors"], tmp_path, HfApi(endpoint))
