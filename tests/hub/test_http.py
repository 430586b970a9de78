"""ved.hub.http: what the session retries, how long it waits, and where the token goes."""

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import get_session

from tests.support.publishing import TOKEN
from tests.support.servers import Answer, serving
from ved.errors import ErrorCode, RequestError
from ved.hub import http, responses, retries
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
    with pytest.raises(requests.HTTPError):
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
    with pytest.raises(requests.exceptions.RetryError):
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


def test_session_sends_token_to_trusted_urls_only() -> None:
    with serving(lambda _path, _sent: (200, {}, b"")) as trusted:
        pass
    http.connect(None, f"{trusted}/")
    assert type(get_session().get_adapter(f"{trusted}/x")) is http._RetryingAdapter
    assert type(get_session().get_adapter("https://example.org/")) is http._ThirdPartyAdapter


def test_read_limited_stops_after_one_chunk_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "CHUNK_BYTES", 100)
    with serving(lambda _path, _sent: (200, {}, bytes(10_000))) as url:
        for length, most in ((50, 50), (250, 300), (20_000, 10_000)):
            with get_session().get(url, stream=True, timeout=5) as response:
                content = responses.read_limited(response, length)
            assert min(length, 10_000) <= len(content) <= most


@pytest.mark.parametrize("endpoint", ["", "huggingface.co", "ftp://huggingface.co", "http://["])
def test_connect_refuses_an_endpoint_that_is_no_address(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    with pytest.raises(RequestError) as caught:
        http.connect()
    assert caught.value.code == ErrorCode.WRONG_INPUT
