"""ved.hub.xet: transfers of large files by Xet that fail, wait or leave something behind."""

import errno
import logging
import os
import time
from pathlib import Path
from typing import Any

import hf_xet
import pytest
from huggingface_hub import constants

from tests import checkpoints
from tests.support.publishing import TOKEN, client, heads, publish
from tests.support.raising import raises
from ved.errors import ErrorCode, VedError
from ved.hub import http, retries, xet
from ved.hub.errors import translated_errors
from ved.hub.xet_errors import StorageError, Transfer, explain
from ved.localhub import LocalHub
from ved.manifest.pair_models import SourceRef
from ved.publishing import commits, repos
from ved.sources import pin

WEIGHTS = "model.safetensors"
HOST = "127.0.0.1"
_numbers = iter(range(1000))


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hf_xet retry quickly, whatever an earlier run in this process has set."""
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "10ms")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Write a directory to publish, with content that no storage has."""
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    (directory / WEIGHTS).write_bytes(os.urandom(50_000))
    (directory / "config.json").write_text("{}")
    return directory


def publish_checkpoint(hub: LocalHub, directory: Path, **options: Any) -> str:
    """Publish a directory to a new repo as a build does, and return the repo."""
    api, repo = http.connect(TOKEN), f"owner/xet-{next(_numbers)}"
    commits.publish(repos.read_repo(repo, api), directory, private=None, api=api, **options)
    return repo


# Uploads

UPLOAD_REQUESTS = [
    ("POST", "/v1/xorb-grants/"),
    ("POST", "/v1/xorb-commits/"),
    ("POST", "/v2/shards"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ErrorCode.HUB_DOES_NOT_ANSWER),
        (401, ErrorCode.TOKEN_NOT_VALID),
        (403, ErrorCode.TOKEN_MAY_NOT_WRITE),
        (429, ErrorCode.RATE_LIMIT),
        (503, ErrorCode.HUB_DOES_NOT_ANSWER),
    ],
)
@pytest.mark.parametrize(("method", "path"), UPLOAD_REQUESTS)
def test_upload_explains_status_of_storage(
    method: str, path: str, status: int, code: ErrorCode, hub: LocalHub, checkpoint: Path
) -> None:
    hub.faults.add(method, path, times=100, status=status)
    with raises(code, "owner/xet-", WEIGHTS, HOST, str(status)) as caught:
        publish_checkpoint(hub, checkpoint)
    assert "HF_HUB_DISABLE_XET=1" in caught.value.remedy or status in (401, 429)
    repo = f"owner/xet-{next(_numbers) - 1}"
    assert client(hub).list_repo_files(repo) == [".gitattributes"]


@pytest.mark.slow
def test_upload_explains_connections_that_are_cut(hub: LocalHub, checkpoint: Path) -> None:
    for method, path in UPLOAD_REQUESTS:
        hub.faults.add(method, path, times=100, drop_response=True)
    with raises(ErrorCode.HUB_DOES_NOT_ANSWER, WEIGHTS, HOST) as caught:
        publish_checkpoint(hub, checkpoint)
    assert "HF_HUB_DISABLE_XET=1" in caught.value.remedy


def test_upload_explains_error_of_the_shard(hub: LocalHub, checkpoint: Path) -> None:
    hub.faults.add("POST", "/v2/shards", flip_bit=True)
    with raises(ErrorCode.HUB_DOES_NOT_ANSWER, WEIGHTS, HOST):
        publish_checkpoint(hub, checkpoint)


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, ErrorCode.TOKEN_NOT_VALID), (403, ErrorCode.TOKEN_MAY_NOT_WRITE)],
)
def test_upload_explains_refused_token_of_the_storage(
    status: int, code: ErrorCode, hub: LocalHub, checkpoint: Path
) -> None:
    hub.faults.add("GET", "/xet-write-token/", times=100, status=status)
    with raises(code, "owner/xet-"):
        publish_checkpoint(hub, checkpoint)


@pytest.mark.hub
@pytest.mark.parametrize(
    ("status", "code"),
    [(401, ErrorCode.TOKEN_NOT_VALID), (429, ErrorCode.RATE_LIMIT)],
)
def test_upload_explains_token_that_is_not_renewed(
    status: int,
    code: ErrorCode,
    tmp_path: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    with LocalHub(tmp_path / "hub", xet=True, xet_token_lifetime=20) as hub:
        hub.add_user("owner", token=TOKEN)
        api = client(hub)
        target = repos.read_repo("owner/renewed", api)
        # hf_xet renews a token that is valid for less than half a minute before each request.
        hub.faults.add("GET", "/xet-write-token/", after=1, times=1000, status=status)
        with raises(code, "owner/renewed"):
            commits.publish(target, checkpoint, private=None, api=api)


@pytest.mark.hub
def test_upload_continues_with_the_token_of_that_moment(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token of a job may expire during an upload."""
    with LocalHub(tmp_path / "hub", xet=True, xet_token_lifetime=20) as hub:
        for name, token in {"owner": TOKEN, "first": "hf_first", "second": "hf_second"}.items():
            hub.add_user(name, token=token, organizations=("team",))
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        owner = http.connect(TOKEN)
        publish(hub, "team/keyless", checkpoint)
        target = repos.read_repo("team/keyless", owner)
        (checkpoint / WEIGHTS).write_bytes(os.urandom(50_000))
        hub.requests.clear()
        # hf_xet renews a token that is valid for less than half a minute before each request, so
        # the first token expires after the content is sent, and before it is described.
        hub.faults.add("GET", "/xet-write-token/", after=4, times=1, status=401)
        tokens = iter(("hf_first", "hf_second"))

        def pusher(_: str) -> Any:
            return client(hub, next(tokens))

        commit = commits.publish(target, checkpoint, private=None, api=owner, pusher=pusher)
        assert owner.model_info("team/keyless").sha == commit
        assert next(tokens, None) is None
        sent = [each for each in hub.requests if each.path.startswith("/xet/bucket/")]
        assert len(sent) == 1  # what was sent before is not sent again


@pytest.mark.hub
def test_upload_to_a_hub_without_xet_goes_by_lfs(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with LocalHub(tmp_path / "hub", xet=False) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        hub.add_user("owner", token=TOKEN)
        repo = publish_checkpoint(hub, checkpoint)
        names = client(hub).list_repo_files(repo)
    assert {WEIGHTS, "config.json"} <= set(names)


def test_upload_leaves_nothing_in_home(
    hub: LocalHub, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    with xet.temporary_cache():
        cache = Path(os.environ["HF_XET_CACHE"])
        repo = publish_checkpoint(hub, checkpoint)
        assert list(cache.iterdir())
    assert not cache.exists()
    assert "HF_XET_CACHE" not in os.environ
    assert list((tmp_path / "home").iterdir()) == []
    assert heads(hub)[repo]


def test_temporary_cache_leaves_a_cache_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path))
    with xet.temporary_cache():
        assert os.environ["HF_XET_CACHE"] == str(tmp_path)
    assert tmp_path.is_dir()


def test_upload_logs_that_storage_is_silent(
    hub: LocalHub,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(xet, "QUIET_SECONDS", 0.1)
    caplog.set_level(logging.INFO, "ved")
    hub.faults.add("POST", "/v1/xorb-grants/", delay=0.6)
    publish_checkpoint(hub, checkpoint)
    quiet = [each for each in caplog.messages if WEIGHTS in each and HOST in each]
    assert quiet


# Downloads


@pytest.fixture(scope="module")
def source(module_hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> str:
    publish(module_hub, "team/by-xet", checkpoints.vit(tmp_path_factory.mktemp("source"), seed=9))
    return "team/by-xet"


@pytest.fixture
def fetch(source: str, hub: LocalHub, tmp_path: Path) -> Any:
    snapshot = pin(SourceRef(model=source), client(hub))
    return lambda: snapshot.fetch([WEIGHTS], http.connect(TOKEN), tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/v2/reconstructions/", "/xet/xorbs/"])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ErrorCode.HUB_DOES_NOT_ANSWER),
        (401, ErrorCode.TOKEN_NOT_VALID),
        (403, ErrorCode.HUB_DOES_NOT_ANSWER),
        (404, ErrorCode.DAMAGED_SOURCE),
        (429, ErrorCode.RATE_LIMIT),
        (503, ErrorCode.HUB_DOES_NOT_ANSWER),
    ],
)
def test_download_explains_status_of_storage(
    path: str, status: int, code: ErrorCode, hub: LocalHub, source: str, fetch: Any
) -> None:
    hub.faults.add("GET", path, times=100, status=status)
    hub.faults.add("GET", path.replace("v2", "v1"), times=100, status=status)
    with raises(code, source, WEIGHTS, HOST, str(status)):
        fetch()


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, ErrorCode.TOKEN_NOT_VALID), (403, ErrorCode.GATED_SOURCE)],
)
def test_download_explains_refused_token_of_the_storage(
    status: int, code: ErrorCode, hub: LocalHub, source: str, fetch: Any
) -> None:
    hub.faults.add("GET", "/xet-read-token/", times=100, status=status)
    with raises(code, source, WEIGHTS):
        fetch()


def test_download_is_repeated_after_truncated_answer(
    hub: LocalHub, fetch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    hub.faults.add("GET", "/xet/xorbs/", cut_response=10)
    assert (fetch() / WEIGHTS).is_file()


def test_download_that_is_damaged_is_repeated_once(hub: LocalHub, fetch: Any) -> None:
    hub.faults.add("GET", "/xet/xorbs/", flip_bit=True)
    assert (fetch() / WEIGHTS).is_file()  # `fetch` compares the content with the Hub's digest
    assert len([each for each in hub.requests if each.path.startswith("/xet/xorbs/")]) == 2


# Errors

UPLOAD = Transfer([WEIGHTS], "https://cas.example/v1?X-Amz-Signature=secret", is_upload=True)
DOWNLOAD = UPLOAD._replace(is_upload=False)


@pytest.mark.parametrize("transfer", [UPLOAD, DOWNLOAD], ids=["upload", "download"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TimeoutError("Timeout"), ErrorCode.HUB_DOES_NOT_ANSWER),
        (RuntimeError("Internal error: x"), ErrorCode.HUB_DOES_NOT_ANSWER),
        (ValueError("Invalid configuration"), ErrorCode.HUB_DOES_NOT_ANSWER),
        (OSError("I/O error: error decoding response body"), ErrorCode.HUB_DOES_NOT_ANSWER),
        (
            ConnectionError("Network error: error sending request for url (https://cas.example/x)"),
            ErrorCode.HUB_DOES_NOT_ANSWER,
        ),
        (hf_xet.XetAuthenticationError("Authentication error"), ErrorCode.TOKEN_NOT_VALID),
    ],
    ids=lambda value: type(value).__name__,
)
def test_explain_names_file_storage_and_remedy(
    error: Exception, code: ErrorCode, transfer: Transfer
) -> None:
    found = explain(error, transfer)
    assert isinstance(found, StorageError)
    assert found.code == code
    assert WEIGHTS in found.cause
    assert "cas.example" in found.cause
    assert "secret" not in found.cause + found.remedy
    with pytest.raises(VedError) as caught, translated_errors("publish x/y", "x/y"):
        raise found
    assert caught.value.code == code
    assert "x/y" in caught.value.cause


def test_explain_finds_missing_content() -> None:
    missing = hf_xet.XetObjectNotFoundError("not found")
    found = [explain(missing, each) for each in (DOWNLOAD, UPLOAD)]
    assert [each.code for each in found if isinstance(each, StorageError)] == [
        ErrorCode.DAMAGED_SOURCE,
        ErrorCode.HUB_DOES_NOT_ANSWER,
    ]


def test_explain_names_the_host_that_failed() -> None:
    text = "error sending request for url (https://bucket.example/x?X-Amz-Signature=secret)"
    found = explain(ConnectionError(f"Network error: {text}"), UPLOAD)
    assert "bucket.example" in str(found)
    assert "secret" not in str(found)


def test_explain_returns_errors_of_this_machine() -> None:
    found = explain(OSError("I/O error: No space left on device (os error 28)"), DOWNLOAD)
    assert isinstance(found, OSError)
    assert found.errno == errno.ENOSPC


@pytest.mark.slow
def test_storage_that_is_not_reached_gives_up(
    hub: LocalHub, checkpoint: Path, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"http://127.0.0.1:{unused_port}/cas"
    started = time.monotonic()
    group = xet._Group(
        hf_xet.XetSession().new_upload_commit,
        {"endpoint": storage, "token": "token", "token_expiry_unix_secs": 2**40},
        Transfer([], storage, is_upload=True),
    )
    with pytest.raises(StorageError) as caught, group:
        group.start_upload_file(str(checkpoint / WEIGHTS), sha256=hf_xet.SKIP_SHA256)
    assert caught.value.code == ErrorCode.HUB_DOES_NOT_ANSWER
    assert time.monotonic() - started < 90  # what users are promised
