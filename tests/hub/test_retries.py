"""ved.hub.retries: how often and how long VED waits. Nothing here sleeps."""

import logging

import pytest
from httpx2 import RemoteProtocolError
from hypothesis import given
from hypothesis import strategies as st

from ved.hub import retries

ATTEMPT = st.integers(1, 20)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record waits in place of sleeping."""
    waits: list[float] = []
    monkeypatch.setattr(retries, "sleep", waits.append)
    return waits


@given(ATTEMPT)
def test_compute_wait_doubles_and_has_equal_jitter(attempt: int) -> None:
    limit = min(retries.FIRST_WAIT * 2 ** (attempt - 1), retries.LONGEST_WAIT)
    assert limit / 2 <= retries.compute_wait(attempt) <= limit


@given(ATTEMPT, st.floats(0, retries.LONGEST_WAIT))
def test_compute_wait_is_not_shorter_than_retry_after(attempt: int, retry_after: float) -> None:
    assert retry_after <= retries.compute_wait(attempt, retry_after) <= retries.LONGEST_WAIT


@pytest.mark.parametrize("retry_after", [retries.LONGEST_WAIT + 1, 3600, 1e9])
def test_compute_wait_is_limited_whatever_the_hub_asks(retry_after: float) -> None:
    assert retries.compute_wait(1, retry_after) == retries.LONGEST_WAIT


@pytest.mark.parametrize("retry_after", [None, 0.0, 5.0])
def test_compute_wait_differs_between_jobs(retry_after: float | None) -> None:
    waits = {retries.compute_wait(3, retry_after) for _ in range(256)}
    assert len(waits) > 200
    assert max(waits) - min(waits) > retries.FIRST_WAIT  # of 2 (or 4) seconds that are random


def test_wait_before_retry_logs_and_sleeps(
    slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ved")
    retries.wait_before_retry("The Hub answers 429", 2, 7.0)
    (seconds,) = slept
    assert 7 <= seconds <= 9
    assert "The Hub answers 429: trying again in " in caplog.text
    assert f"attempt 3 of {retries.ATTEMPTS}" in caplog.text


def test_retry_returns_first_success(slept: list[float]) -> None:
    errors = [ValueError(), ValueError()]

    def action() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert retries.retry(action, lambda error: isinstance(error, ValueError), "Busy") == "done"
    assert len(slept) == 2


def test_retry_gives_up_after_last_attempt(slept: list[float]) -> None:
    calls = []

    def action() -> None:
        calls.append(1)
        raise RemoteProtocolError("cut")

    with pytest.raises(RemoteProtocolError):
        retries.retry_truncated(action, "read it")
    assert (len(calls), len(slept)) == (retries.ATTEMPTS, retries.ATTEMPTS - 1)


def test_retry_raises_error_that_is_not_transient_at_once(slept: list[float]) -> None:
    def action() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        retries.retry_truncated(action, "read it")
    assert slept == []
