"""ved.hub.http: what the session retries, how long it waits, and where the token goes."""

import logging
import ssl
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import get_session

from tests.support.publishing import TOKEN
from tests.support.servers import Answer, serving
from ved.errors import ErrorCode, RequestError
from ved.hub import http, pages, responses, retries
from ved.hub.answers import RefusedAnswerError
from ved.hub.connections import LimitedConnections, NoAnswerError, time_limit
from ved.localhub import LocalHub

WHOAMI = "^/api/whoami-v2$"


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record waits in place of sleeping."""
    waits: list[float] = []
    monkeypatch.setattr("ved.hub.retries.sleep", waits.append)
    return waits


@pytest.mark.parametrize("status", retries.RETRYABLE_STATUSES)
def test_adapter_retries_status(status: int, hub: LocalHub, slept: list[float]) -> None:
    hub.faults.add("GET", WHOAMI, status=status)
    assert http.connect(TOKEN).whoami()["name"] == "owner"
    assert len(slept) == 1


def test_adapter_gives_up_with_last_answer(hub: LocalHub, slept: list[float]) -> None:
    hub.faults.add("GET", WHOAMI, times=retries.ATTEMPTS, status=503)
    with pytest.raises(HfHubHTTPError, match="503"):
        http.connect(TOKEN).whoami()
    assert len(hub.requests) == retries.ATTEMPTS
    assert len(slept) == retries.ATTEMPTS - 1


@pytest.mark.parametrize("status", [400, 403, 404, 409, 501])
def test_adapter_does_not_retry_other_status(status: int, hub: LocalHub) -> None:
    hub.faults.add("GET", WHOAMI, status=status)
    with pytest.raises(HfHubHTTPError):
        http.connect(TOKEN).whoami()
    assert len(hub.requests) == 1


def test_adapter_waits_as_long_as_the_hub_asks(
    hub: LocalHub, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ved")
    for seconds in (7, 3600):
        hub.faults.add("GET", WHOAMI, status=503, retry_after=seconds)
        http.connect(TOKEN).whoami()
    first, second = slept
    assert 7 <= first <= 7 + retries.FIRST_WAIT
    assert second == retries.LONGEST_WAIT
    assert caplog.text.count("The Hub answers 503: trying again in ") == 2


def test_adapter_waits_until_the_time_that_a_server_names(slept: list[float]) -> None:
    due = datetime.now(UTC) + timedelta(seconds=30)
    fields = [{"Retry-After": format_datetime(due, usegmt=True)}, {"Retry-After": "soon"}]

    def answer(_path: str, _sent: bytes) -> Answer:
        return (503, fields.pop(0), b"") if fields else (200, {}, b"")

    with serving(answer) as url:
        http.connect()
        get_session().get(url, timeout=1)
    first, second = slept
    assert 20 < first <= 30 + retries.FIRST_WAIT
    assert second <= 2 * retries.FIRST_WAIT  # as without the header


def test_adapter_tries_a_refused_connection_less_often(
    unused_port: int, slept: list[float]
) -> None:
    api = http.connect(TOKEN)
    api.endpoint = f"http://127.0.0.1:{unused_port}"
    with pytest.raises(NoAnswerError):
        api.whoami()
    assert len(slept) == retries.CONNECTION_ATTEMPTS - 1
    assert retries.CONNECTION_ATTEMPTS < retries.ATTEMPTS


@pytest.mark.parametrize(
    ("name", "value", "is_kept"),
    [
        ("ETag", '"0123abc"', True),
        ("ETag", 'W/"0123abc"', True),
        ("ETag", "../../escape", False),
        ("X-Linked-ETag", '"/etc/passwd"', False),
        ("X-Repo-Commit", "..", False),
    ],
)
def test_response_has_no_unsafe_cache_keys(name: str, value: str, is_kept: bool) -> None:
    with serving(lambda _path, _sent: (200, {name: value}, b"")) as url:
        http.connect()
        response = get_session().get(url, timeout=5)
    assert (response.headers.get(name) == value) == is_kept


def test_session_sends_token_to_trusted_urls_only(hub: LocalHub) -> None:
    def show(_path: str, _sent: bytes) -> Answer:
        return 200, {}, b""

    headers = {"Authorization": "Bearer secret"}
    with serving(show) as trusted, serving(show) as other:
        http.connect(None, f"{trusted}/")
        sent = {url: get_session().get(f"{url}/x", headers=headers) for url in (trusted, other)}
    assert "Authorization" in sent[trusted].request.headers
    assert "Authorization" not in sent[other].request.headers


def test_session_uses_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def answer(path: str, _sent: bytes) -> Answer:
        seen.append(path)
        return 200, {}, b"by proxy"

    with serving(answer) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "other.example")
        http.connect()
        assert get_session().get("http://hub.example/x").text == "by proxy"
        assert seen == ["http://hub.example/x"]
        monkeypatch.setattr(retries, "CONNECTION_ATTEMPTS", 1)
        with pytest.raises(NoAnswerError):
            get_session().get("http://other.example/x")
    assert len(seen) == 1


def test_request_sends_a_file_again_from_where_it_began(hub: LocalHub, tmp_path: Path) -> None:
    bodies = []

    def refuse_first(_path: str, sent: bytes) -> Answer:
        bodies.append(sent)
        return (503 if len(bodies) == 1 else 200), {}, b""

    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    http.connect()
    with serving(refuse_first) as url, path.open("rb") as file:
        file.seek(4)
        get_session().post(url, content=file)
    assert bodies == [b"456789", b"456789"]


def test_threads_leave_no_connection_open() -> None:
    begin = threading.Barrier(4)

    def request(url: str) -> object:
        begin.wait()
        return pages.fetch_json(f"{url}/api/x", {}, HfApi())

    with (
        serving(lambda _path, _sent: (200, {}, b"{}")) as url,
        ThreadPoolExecutor(begin.parties) as threads,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        for _ in range(20):
            http.connect()
            assert [*threads.map(request, [url] * begin.parties)] == [{}] * begin.parties
        assert [each for each in caught if each.category is ResourceWarning] == []


def test_connection_is_closed_if_no_time_is_left_to_encrypt_it() -> None:
    with serving(lambda _path, _sent: (200, {}, b"")) as url:
        address = httpx2.URL(url)
        network = LimitedConnections(None, False, None)._pool._network_backend
        stream = network.connect_tcp(address.host, address.port or 80, 10)
        with time_limit(0), pytest.raises(RefusedAnswerError):
            stream.start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        assert stream.get_extra_info("socket").fileno() == -1


def test_read_limited_shows_that_a_body_is_longer() -> None:
    http.connect()
    size = 1_000_000
    with serving(lambda _path, _sent: (200, {}, bytes(size))) as url:
        for length in (50, 250, 2 * size):
            with get_session().stream("GET", url) as response:
                content = responses.read_limited(response, length)
            assert len(content) == min(length + 1, size)


@pytest.mark.parametrize("endpoint", ["", "huggingface.co", "ftp://huggingface.co", "http://["])
def test_connect_refuses_an_endpoint_that_is_no_address(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    with pytest.raises(RequestError) as caught:
        http.connect()
    assert caught.value.code == ErrorCode.WRONG_INPUT
