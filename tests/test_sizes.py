"""Sizes in bytes, as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ved.errors import RequestError
from ved.sizes import format_size, parse_size

GB = 10**9


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 KB"),
        (1_234_567_890, "1.2 GB"),
        (14 * 10**12, "14.0 TB"),
    ],
)
def test_format_size(number: int, text: str) -> None:
    assert format_size(number) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("123", 123),
        ("123 B", 123),
        ("10GB", 10 * GB),
        ("10gb", 10 * GB),
        ("500 MB", 500 * 10**6),
        ("14 GiB", 14 * 2**30),
        ("1.5 TB", 1_500 * GB),
        (" 2 kib\n", 2048),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "GB", "10G", "10 Gbit", "10 GB or so", "1e9", "nan", "٣ GB"),
        *("0", "0 GB", "0.1 B", "-5GB", "1.5", "1,5 GB", "1_0", "9" * 400),
    ],
)
def test_parse_size_refuses_other_text(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_size(text)
    assert caught.value.code == "wrong-input"
    assert repr(text)[:40] in caught.value.cause


@given(st.integers(1, 10**15))
def test_parse_size_reads_formatted_size(number: int) -> None:
    assert parse_size(format_size(number)) == pytest.approx(number, rel=0.05)
