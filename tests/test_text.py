"""Values in messages: quoted and joined."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ved.text import join_limited, quoted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", "'a b'"),
        ("it's", '"it\'s"'),
        ("a\nb", r"'a\nb'"),
        ("x" * 80, f"'{'x' * 80}'"),
        ("x" * 81, f"'{'x' * 79}…'"),
    ],
)
def test_quoted(text: str, expected: str) -> None:
    assert quoted(text) == expected


@given(st.text())
def test_quoted_text_is_printable(text: str) -> None:
    assert quoted(text).isprintable()


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("", ""),
        ("a", "a"),
        ("abcdefgh", "a, b, c, d, e, f, g, h"),
        ("abcdefghij", "a, b, c, d, e, f, g, h and 2 more"),
    ],
)
def test_join_limited(items: str, expected: str) -> None:
    assert join_limited(list(items)) == expected


def test_join_limited_with_separator() -> None:
    assert join_limited(["a", "b"], "; ") == "a; b"
