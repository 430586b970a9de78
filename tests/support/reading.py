"""The reading grade of a text: how many years of school in English its readers need."""

import re
from collections.abc import Iterable, Iterator

import pyphen  # type: ignore[import-untyped]
from markdown_it import MarkdownIt

_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
_DICTIONARY = pyphen.Pyphen(lang="en_US")
# A label or the cell of a table is not a sentence, and would lower the grade.
_FEWEST_WORDS = 4


def reading_grade(texts: Iterable[str]) -> float:
    """Return the grade of Flesch and Kincaid for some texts.

    The formula is from Kincaid and others, Derivation of new readability formulas, 1975. A syllable
    ends wherever a word can be hyphenated, so some are missed: the grade is about one too low.

    Args:
        texts: plain texts, each with one or more sentences.
    """
    sentences = [words for text in texts for words in _sentences(text)]
    words = [word for sentence in sentences for word in sentence]
    syllables = sum(len(_DICTIONARY.positions(word)) + 1 for word in words)
    return 0.39 * len(words) / len(sentences) + 11.8 * syllables / len(words) - 15.59


def _sentences(text: str) -> Iterator[list[str]]:
    for sentence in re.split(r"(?<=[.!?:;])\s+", text):
        words = _WORD.findall(sentence)
        if len(words) >= _FEWEST_WORDS:
            yield words


def paragraphs(page: str) -> Iterator[str]:
    """Yield the texts of a page in Markdown, without code; code in a line is one word."""
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        if token.type == "inline":
            yield "".join(
                "code" if child.type == "code_inline" else child.content or " "
                for child in token.children or ()
            )
