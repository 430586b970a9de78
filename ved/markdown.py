"""Escape untrusted text for Markdown, so that it is displayed and never interpreted."""

import re
import string

_MATH = re.compile(r"(?<=\$)\$|(?<=\\\\)\(")
"""The last character of what begins a formula in the Hub's cards: `$$`, or two backslashes and
`(`. The Hub replaces formulas before it reads Markdown, so code does not protect from it. Source:
https://huggingface.co/docs/hub/model-cards#can-i-write-latex-in-my-model-card"""

_ENTITIES = {ord(char): f"&#{ord(char)};" for char in string.punctuation}


def code_span(text: str) -> str:
    """Return a text as a code span that is safe anywhere in a line, and in a table's cell."""
    visible = "".join(char if char.isprintable() else _escaped(char) for char in text)
    visible = _MATH.sub(lambda match: f"\\x{ord(match[0]):02x}", visible)
    ticks = max((len(run) for run in re.findall("`+", visible)), default=0) + 1
    fence, space = "`" * ticks, " " if "`" in visible or not visible.strip() else ""
    return f"{fence}{space}{visible}{space}{fence}".replace("|", r"\|")


def plain_text(text: str) -> str:
    """Return a text without any effect in a paragraph: no markup, HTML, line break or mention."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text.translate(_ENTITIES)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
