"""Untrusted text in Markdown: displayed, never interpreted."""

import html
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it.token import Token

from tests.support.publishing import markdown, tables
from ved.markdown import code_span, plain_text

PIECES = st.sampled_from(
    [
        *("`", "``", "|", "\\", "\n", "\r\n", "*", "_", "[", "](https://example.org)", "![", "<"),
        *("<img src=x>", "<!--", "-->", "&lt;", "&#10;", "@someone", "#1", "~~", "    ", "- "),
        *("https://example.org", "$x$", "\u2028", "\u202e", "\x00", "\ud800", " ", "word", "é"),
    ]
)
PARAGRAPH = ("paragraph_open", "inline", "paragraph_close")
TEXTS = st.lists(PIECES | st.characters(), max_size=12).map("".join)


def visible(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def spans(text: str) -> list[Token]:
    """Return the inline tokens of a text, which is one paragraph."""
    return [token for token in markdown(text) if token.type not in PARAGRAPH]


@given(TEXTS)
def test_code_span_is_one_span_in_a_table(text: str) -> None:
    (row,) = tables(f"| a | b |\n| - | - |\n| {code_span(text)} | x |\n")["a", "b"]
    cell, other = row
    expected = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    for math, shown in (("$$", r"$\x24"), (r"\\(", r"\\\x28")):
        assert math not in code_span(text)
        cell, expected = (each.replace(shown, math) for each in (cell, expected))
    assert (cell.strip(), other) == (expected.strip(), "x")


@given(TEXTS)
def test_code_span_is_one_span_in_a_paragraph(text: str) -> None:
    before, span, after = spans(f"before {code_span(text)} after")
    assert (before.content, span.type, after.content) == ("before ", "code_inline", " after")


@given(TEXTS)
def test_plain_text_has_no_markup(text: str) -> None:
    for span in spans(f"x{plain_text(text)}x"):
        assert span.type in ("text", "text_special")
    content = "".join(span.content for span in spans(f"x{plain_text(text)}x"))
    assert content == f"x{visible(text)}x"


@given(TEXTS)
def test_plain_text_is_one_cell_of_a_table(text: str) -> None:
    (row,) = tables(f"| a | b |\n| - | - |\n| x{plain_text(text)}x | y |\n")["a", "b"]
    assert row == [f"x{visible(text)}x", "y"]


@given(TEXTS)
def test_plain_text_has_no_punctuation(text: str) -> None:
    escaped = plain_text(text)
    assert not set(string.punctuation) & set(re.sub(r"&#\d+;", "", escaped))
    assert html.unescape(escaped) == visible(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("team/vit", "`team/vit`"),
        ("<|endoftext|>", r"`<\|endoftext\|>`"),
        ("a`b", "`` a`b ``"),
        ("``", "``` `` ```"),
        ("a\nb", r"`a\nb`"),
        ("", "`  `"),
    ],
)
def test_code_span_has_no_more_marks_than_it_needs(text: str, expected: str) -> None:
    assert code_span(text) == expected
