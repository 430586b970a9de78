"""Explain PyYAML's errors to people who do not know YAML: the place to correct, and what to write.

PyYAML names the tokens of its grammar, and often a place after the mistake. Each rule here knows
one of its messages, and searches the lines around the place for the usual mistake.
"""

import re
from collections.abc import Callable

import yaml

from ved.text import MAX_QUOTED, quoted

_Explanation = tuple[int, str]
"""A place, as an offset in characters, and a message."""

_Rule = Callable[["_SyntaxError", str], _Explanation]

SPACE_AFTER_COLON = "write a space after the ':'"
SPACE_AFTER_DASH = "write a space after the '-'"
_COLUMNS = "keys of one entry begin in the same column, and so do the '-' of one list"
KEY_WITHOUT_SPACE = re.compile(r"\s*(?:- +)*[A-Za-z_]\w*:(?=[^\s/])")
_DASH_WITHOUT_SPACE = re.compile(r"\s*-(?=[A-Za-z_\"'{])")


def explain_syntax_error(error: yaml.MarkedYAMLError, text: str, index: int) -> _Explanation:
    """Return the place of a syntax error, as an offset in characters, and a message.

    Args:
        error: the error.
        text: the file.
        index: the place to report if the error has none.
    """
    found = _SyntaxError(error, text, index)
    for pattern, explain in _RULES.items():
        match = re.match(pattern, f"{found.context}: {found.problem}", re.DOTALL)
        if match:
            where, message = explain(found, match.groupdict().get("found") or "")
            return where, f"not valid YAML: {message}"
    return found.index, f"not valid YAML: {found.problem[:MAX_QUOTED]}"


class _SyntaxError:
    """An error of PyYAML.

    Attributes:
        problem: what is wrong.
        context: what PyYAML was doing.
        text: the file.
        index: the offset of the problem.
        start: the offset where PyYAML began with what it was doing.
    """

    def __init__(self, error: yaml.MarkedYAMLError, text: str, index: int) -> None:
        self.problem = error.problem or ""
        self.context = error.context or ""
        self.text = text
        self.index = error.problem_mark.index if error.problem_mark else index
        self.start = error.context_mark.index if error.context_mark else self.index

    def line_start(self, index: int) -> int:
        """Return the offset of the line at an offset."""
        return max(self.text.rfind("\n", 0, index), self.text.rfind("\r", 0, index)) + 1

    def before(self, index: int) -> str:
        """Return the text of a line before an offset."""
        return self.text[self.line_start(index) : index]

    def line(self, index: int) -> str:
        """Return the line at an offset, from its beginning to its end."""
        return re.split(r"[\r\n]", self.text[self.line_start(index) :], maxsplit=1)[0]

    def line_number(self, index: int) -> int:
        """Return the number of the line at an offset, counted from 1."""
        return len(re.findall(r"\r\n|\r|\n", self.text[:index])) + 1


def _missing_space(error: _SyntaxError, index: int) -> _Explanation | None:
    """Return the mistake of a line without a space after its '-' or ':', if there is one."""
    line, start = error.line(index), error.line_start(index)
    for pattern, message in (
        (_DASH_WITHOUT_SPACE, SPACE_AFTER_DASH),
        (KEY_WITHOUT_SPACE, SPACE_AFTER_COLON),
    ):
        if match := pattern.match(line):
            return start + match.end() - 1, message
    return None


def _explain_tab(error: _SyntaxError, _: str) -> _Explanation:
    if error.before(error.index).strip():
        return error.index, "a tab cannot be here: write spaces"
    return error.index, "a tab cannot be here: indent with spaces"


def _explain_first_character(error: _SyntaxError, found: str) -> _Explanation:
    return error.index, f"text cannot begin with {found}: put it in quotes"


def _explain_anchor(error: _SyntaxError, _: str) -> _Explanation:
    sign = quoted(error.text[error.start])
    return error.start, f"text cannot begin with {sign}: put it in quotes"


def _explain_colon(error: _SyntaxError, _: str) -> _Explanation:
    """Explain a ':' that makes no key."""
    before = error.before(error.index)
    previous = len(error.text[: error.line_start(error.index)].rstrip())  # end of the line above
    if re.search(r":\s", before):
        return error.index, "a ':' cannot be here: put text that contains ': ' in quotes"
    above = error.line(previous)
    if previous and (missing := _missing_space(error, previous)):
        return missing
    if previous and not re.search(r":(?:\s|$)", above):
        indent = len(above) - len(above.lstrip())
        return error.line_start(previous) + indent, "expected ':' after this key"
    key = error.line_start(error.index) + len(before) - len(before.lstrip())
    return key, f"this line has another indentation than the lines around it: {_COLUMNS}"


def _explain_missing_colon(error: _SyntaxError, _: str) -> _Explanation:
    return _missing_space(error, error.start) or (error.start, "expected ':' after this key")


def _explain_end_of_block(error: _SyntaxError, found: str) -> _Explanation:
    """Explain a token that does not continue the lines above it."""
    before = error.before(error.index).rstrip()
    if found in ("]", "}"):
        return error.index, f"this '{found}' closes nothing"
    if found in ("<anchor>", "<tag>", "<alias>"):
        return error.index, "a value has at most one anchor, one tag or one alias"
    if before.endswith(("'", '"')):
        return error.index, (
            "a quotation ends before this text: close it at the end of the text, and write a quote "
            "inside it twice, as in 'it''s'"
        )
    if before.endswith(("]", "}")):
        bracket = "{" if before.endswith("}") else "["
        return error.index, (
            f"a value that begins with '{bracket}' ends before this text: put the text in quotes"
        )
    return (
        error.index,
        f"this line has another indentation than the lines above it: {_COLUMNS}",
    )


def _explain_open_quote(error: _SyntaxError, _: str) -> _Explanation:
    return error.start, "this quote is not closed"


def _explain_brackets(error: _SyntaxError, found: str) -> _Explanation:
    """Explain a list in [] or a mapping in {} that does not go on as one."""
    bracket = error.text[error.start]
    closing = {"[": "]", "{": "}"}.get(bracket, "]")
    line = error.line_number(error.index)
    if found == "<stream end>":
        return error.start, f"this '{bracket}' is not closed"
    if found in ("]", "}"):
        return error.index, f"expected ',' or '{closing}', found '{found}'"
    if line != error.line_number(error.start):
        return (
            error.start,
            f"this '{bracket}' is not closed, or a ',' is missing before line {line}",
        )
    return error.index, f"expected ',' or '{closing}' before this"


def _explain_missing_value(error: _SyntaxError, found: str) -> _Explanation:
    if found == "<stream end>":
        return error.index, "the file ends here, but a '[' or '{' is not closed"
    if found in ("?", ":", "-"):  # PyYAML's names of a key, of its value and of a list's entry
        return error.index, f"this line has another indentation than the lines above it: {_COLUMNS}"
    if error.context == "while parsing a block node" and len(found) == 1:
        return error.index, f"text cannot begin with '{found}': put it in quotes"
    return error.index, f"expected a value, found {quoted(found)}"


def _explain_dash(error: _SyntaxError, _: str) -> _Explanation:
    return error.index, (
        "a list cannot begin here: begin it on the next line, and put text that begins with '- ' "
        "in quotes"
    )


def _explain_question_mark(error: _SyntaxError, _: str) -> _Explanation:
    return error.index, "text cannot begin with '? ': put it in quotes"


def _explain_block_text(error: _SyntaxError, _: str) -> _Explanation:
    sign = error.text[error.start]
    return error.index, f"after '{sign}', the text begins on the next line"


def _explain_escape(error: _SyntaxError, _: str) -> _Explanation:
    return error.index, (
        r"this is not an escape: write '\\' for a backslash, or put the text in single quotes"
    )


def _explain_directive(error: _SyntaxError, found: str) -> _Explanation:
    if found in ("]", "}"):
        return error.index, f"this '{found}' closes nothing"
    if not re.search(r"^%", error.text, re.MULTILINE):
        return error.index, "nothing can follow here: the document has ended"
    return error.index, "a line that begins with '%' is a directive of YAML: leave it out"


def _explain_tag(error: _SyntaxError, _: str) -> _Explanation:
    return error.index, "text cannot begin with '!': put it in quotes"


# By a pattern for PyYAML's context and problem. The first one that matches is used.
_RULES: dict[str, _Rule] = {
    r".*: found character '\\t'": _explain_tab,
    r".*: found character (?P<found>'.'|\"'\") that cannot start": _explain_first_character,
    r".*: mapping values are not allowed here": _explain_colon,
    r".*: could not find expected ':'": _explain_missing_colon,
    r".*: expected <block end>, but found '(?P<found>.*)'": _explain_end_of_block,
    r".*quoted scalar: found unexpected": _explain_open_quote,
    r".*: expected ',' or '.', but got '(?P<found>.*)'": _explain_brackets,
    r".*: expected the node content, but found '(?P<found>.*)'": _explain_missing_value,
    r".*: sequence entries are not allowed here": _explain_dash,
    r".*: mapping keys are not allowed here": _explain_question_mark,
    r"while scanning an (alias|anchor)": _explain_anchor,
    r"while scanning a block scalar": _explain_block_text,
    r"while scanning a double-quoted scalar": _explain_escape,
    r"while (scanning|parsing) a tag|.*tag handle": _explain_tag,
    r"while scanning a directive|.*YAML directive|.*incompatible YAML": _explain_directive,
    r".*: expected '<document start>', but found '(?P<found>.*)'": _explain_directive,
}
