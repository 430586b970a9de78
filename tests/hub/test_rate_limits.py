"""ved.hub.rate_limits: how long VED waits for a Hub that limits requests, and when it does not."""

import logging
import threading
import time
from collections.abc import Mapping

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from tests.support.publishing import TOKEN
from tests.support.servers import Answer, serving
from ved import interruption
from ved.errors import ErrorCode, VedError
from ved.hub import http, rate_limits, retries
from ved.hub.errors import translated_errors
from ved.localhub import ActionLimit, LocalHub, RateLimit

USED_UP = '"api";r=0;t=%s'
MODELS = httpx2.URL("https://hub/api/models")
LEFT = '"api";r=7;t=%s'


def answer(fields: Mapping[str, str], body: bytes = b"", status: int = 429) -> httpx2.Response:
    """Return an answer of a Hub."""
    return httpx2.Response(
        status, headers=fields, content=body, request=httpx2.Request("GET", MODELS)
    )


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the waits of the clock in place of waiting, and let the clock go on by them."""
    waits: list[float] = []
    monkeypatch.setattr(rate_limits, "sleep", waits.append)
    monkeypatch.setattr(rate_limits, "monotonic", lambda: 1000 + sum(waits))
    return waits


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"RateLimit": USED_UP % 55}, 55),
        ({"RateLimit": USED_UP % 55, "Retry-After": "7"}, 55),
        ({"RateLimit": LEFT % 55, "Retry-After": "7"}, 7),
        ({"RateLimit": '"pages" ; r = 0 ; t = 3'}, 3),
        ({"RateLimit": f"{LEFT % 20}, {USED_UP % 55}"}, 55),
        ({"RateLimit": f"{USED_UP % 55}, {USED_UP % 86400}"}, 86400),
        ({"RateLimit": '"api";pk=:aGk=:;t=55;r=0'}, 55),
        ({"RateLimit": '"a;r=0;t=9";r=0;t=55'}, 55),
        ({"RateLimit": "default;r=0;t=55"}, 55),
        ({"RateLimit": '"api";r=-1;t=55', "Retry-After": "7"}, 7),
        ({"RateLimit": '"api";r=0;t=-5'}, None),
        ({"Retry-After": "7"}, 7),
        ({"RateLimit": LEFT % 55}, None),
        ({"RateLimit": "soon", "Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({}, None),
    ],
)
def test_seconds_to_wait_reads_rate_limit_first(
    fields: Mapping[str, str], seconds: float | None
) -> None:
    assert rate_limits.seconds_to_wait(answer(fields)) == seconds


@pytest.mark.parametrize(
    ("fields", "body", "status", "is_long"),
    [
        ({"Retry-After": "3600"}, b"", 429, True),
        ({"Retry-After": "86400", "RateLimit": LEFT % 55}, b"", 429, True),
        ({}, b"You have exceeded our hourly quotas for action: commit.", 429, True),
        ({}, b"128 per hour", 429, True),
        ({}, b"Too many repos a day", 429, True),
        ({"Retry-After": "30"}, b"128 per hour", 429, False),
        ({"RateLimit": USED_UP % 300}, b"", 429, False),
        ({}, b"1000 api requests per 5 minutes period", 429, False),
        ({"Retry-After": "3600"}, b"", 503, False),
    ],
)
def test_long_limits_are_those_by_the_hour_or_the_day(
    fields: Mapping[str, str], body: bytes, status: int, is_long: bool
) -> None:
    assert rate_limits.is_long(answer(fields, body, status)) == is_long


def test_clock_has_all_threads_wait_and_says_so_once(
    waited: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ved")
    clock = rate_limits.RateLimitClock()
    for _ in range(8):
        assert clock.pauses_after(answer({"RateLimit": USED_UP % 60}))
    assert len(caplog.messages) == 1
    clock.wait(MODELS.join("/owner/model/resolve/main/config.json"))  # has a window of its own
    assert waited == []
    threads = [threading.Thread(target=clock.wait, args=(MODELS,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waited
    assert 60 <= max(waited) <= 62


def test_clock_pauses_before_it_is_refused(waited: list[float]) -> None:
    clock = rate_limits.RateLimitClock()
    clock.observe(answer({"RateLimit": USED_UP % 20}, status=200))
    clock.wait(MODELS)
    assert 20 <= sum(waited) <= 22


@pytest.mark.parametrize(
    "fields", [{"RateLimit": USED_UP % 0}, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}]
)
def test_clock_waits_for_a_window_that_is_about_to_end(
    fields: Mapping[str, str], waited: list[float]
) -> None:
    clock = rate_limits.RateLimitClock()
    assert clock.pauses_after(answer(fields))
    clock.wait(MODELS)
    assert 1 <= sum(waited) <= 2


def test_clock_stops_waiting_on_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = threading.Event()
    monkeypatch.setattr(interruption, "_interrupted", interrupted)
    clock = rate_limits.RateLimitClock()
    clock.pause(MODELS, 300)
    ended = []

    def wait() -> None:
        try:
            clock.wait(MODELS)
        except KeyboardInterrupt:
            ended.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    start = time.monotonic()
    interrupted.set()
    thread.join(7)
    assert ended
    assert ended[0] - start < 7


def test_adapter_waits_for_the_next_window(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ved")
    monkeypatch.setattr(hub.behavior, "rate_limit", RateLimit(2, 1))
    api = http.connect(TOKEN)
    assert {api.whoami()["name"] for _ in range(5)} == {"owner"}
    # Each last answer of a window says that it is the last.
    assert {each.status for each in hub.requests} == {200}
    assert len(caplog.messages) == 2


def test_adapter_waits_no_more_than_so_many_times(
    monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    monkeypatch.setattr(retries, "ATTEMPTS", 1)
    asked = []

    def refuse(path: str, _sent: bytes) -> Answer:
        asked.append(path)
        return 429, {"RateLimit": USED_UP % 300}, b""

    with serving(refuse) as url:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        http.connect()
        with pytest.raises(HfHubHTTPError):
            HfApi(url, token=False).model_info("owner/x")
    assert len(asked) == 1 + rate_limits.MAX_WAITS
    assert len(waited) == rate_limits.MAX_WAITS


def test_adapter_does_not_wait_for_a_limit_by_the_hour(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.behavior, "creation_limit", ActionLimit(0, "day"))
    start = time.monotonic()
    with pytest.raises(VedError) as caught, translated_errors("create owner/x", "owner/x"):
        http.connect(TOKEN).create_repo("owner/x")
    assert time.monotonic() - start < 5
    assert caught.value.code == ErrorCode.RATE_LIMIT
    assert rate_limits.is_long_limit(caught.value)
    assert "300 per day" not in caught.value.cause
    assert "0 per day" in caught.value.cause  # the Hub's text
    assert "24 hours" in caught.value.remedy


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 minute"), (61, "2 minutes"), (3600, "1 hour"), (3601, "2 hours"), (86400, "24 hours")],
)
def test_format_seconds_rounds_up(seconds: float, text: str) -> None:
    assert rate_limits.format_seconds(seconds) == text
