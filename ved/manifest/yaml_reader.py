"""Parse YAML with the place of every value, safely for files from strangers.

The rules are those of YAML 1.2's core schema (https://yaml.org/spec/1.2.2/, chapter 10.3), so that
``no`` is text, not false. A manifest needs less than YAML offers: one UTF-8 document of at most
1 MiB, with the core schema's tags only. Floating-point numbers and dates stay text.

PyYAML has two parsers: libyaml, and one in Python, which takes 15 times as long. The one in Python
explains syntax errors better, so it decides what is valid. libyaml reads the same from most texts;
`_is_read_alike` and `_events_of_libyaml` know the exceptions, and a test compares both.

Anchors, aliases and merge keys (``<<``) work. Their expanded values count towards ``MAX_NODES``, so
that an alias bomb (https://en.wikipedia.org/wiki/Billion_laughs_attack) is refused.
"""

import bisect
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import cast, get_args

import yaml
from yaml.reader import Reader, ReaderError

from ved.errors import ErrorCode
from ved.manifest.problems import Location, Problem
from ved.manifest.yaml_messages import explain_syntax_error
from ved.manifest.yaml_nodes import Document, Node, Scalar, Tag, describe_value
from ved.text import quoted

MAX_BYTES = 2**20
MAX_DEPTH = 32
MAX_NODES = 100_000

# libyaml may read these differently: tabs, tags, byte order marks, and a comment right behind the
# sign of a block of text.
_READ_DIFFERENTLY = re.compile(r"[\t\ufeff]|(?<!\w)!|[|>]\S*#")

_TAG_PREFIX = "tag:yaml.org,2002:"
# The group that matches a plain scalar is its tag. Python refuses to read integers of more than
# 4300 digits.
_PLAIN = re.compile(
    r"(?P<null>null|Null|NULL|~|)|(?P<bool>true|True|TRUE|false|False|FALSE)"
    r"|(?P<int>[-+]?[0-9]{1,4000}|0o[0-7]+|0x[0-9a-fA-F]+)|(?P<str>.*)",
    re.DOTALL,
)


def read_document(data: bytes, name: str) -> Document:
    """Parse one YAML document. Raise nothing: mistakes are the document's problems.

    The first syntax error ends the parsing. Keys that are not text or are given twice are
    collected. An empty file is parsed as null.

    Args:
        data: the content of the file.
        name: the file's name, for places.
    """
    # Replacing keeps every place before the first wrong byte, which is the one to report.
    text = data[:MAX_BYTES].decode(errors="replace").removeprefix("\ufeff")
    lines = _LineIndex(name, text)
    if yaml.__with_libyaml__ and _is_read_alike(text):
        with suppress(*_ERRORS):  # the parser in Python finds the mistake, too, and explains it
            _check_bytes(data)
            return _Composer(_events_of_libyaml(text), lines).document()
    composer = _Composer(yaml.parse(text, Loader=yaml.SafeLoader), lines)
    code = ErrorCode.YAML_SYNTAX
    try:
        _check_bytes(data)
        return composer.document()
    except _DocumentError as error:
        index, message, code = error.index, error.message, error.code
    except ReaderError as error:
        index = error.position
        message = f"character U+{error.character:04X} is not allowed in YAML"
    except yaml.MarkedYAMLError as error:
        index, message = explain_syntax_error(error, text, composer.index)
    except (ValueError, OverflowError):
        index, message = composer.index, "a number or an escape after this is out of range"
    return Document(None, (Problem.at(composer.lines.location(index), message, code),))


def _is_read_alike(text: str) -> bool:
    """Return whether both parsers read a text alike, but for `_events_of_libyaml`."""
    has_brackets = "[" in text or "{" in text
    return not _READ_DIFFERENTLY.search(text) and not (has_brackets and "?" in text)


def _events_of_libyaml(text: str) -> Iterator[yaml.Event]:
    """Yield the events of a text, and raise an error if the parser in Python may differ."""
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.ScalarEvent) and not event.value and event.implicit[0]:
            raise yaml.YAMLError  # within brackets, an empty value has another place
        yield event


class _DocumentError(Exception):
    """A mistake that ends the parsing.

    Args:
        index: its offset in the text, in characters.
        message: the problem's message.
        code: the problem's code.
    """

    def __init__(self, index: int, message: str, code: ErrorCode) -> None:
        super().__init__(index, message)
        self.index = index
        self.message = message
        self.code = code


def _check_bytes(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // 2**20} MiB"
        raise _DocumentError(0, message, ErrorCode.MANIFEST_TOO_LARGE)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        index = len(data[: error.start].decode().removeprefix("\ufeff"))
        message = f"byte {error.start} of the file is not UTF-8: save the file as UTF-8"
        raise _DocumentError(index, message, ErrorCode.YAML_SYNTAX) from None


# PyYAML lets the last two through for an escape such as "\UFFFFFFFF" or an endless version.
_ERRORS = (_DocumentError, yaml.YAMLError, ValueError, OverflowError)


class _LineIndex:
    """Converts offsets in a text to lines and columns, as editors count them.

    PyYAML's own line numbers also count Unicode's line separators, which editors do not.
    """

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
        # An unexpected end of the file is reported on the last line that is not empty.
        self._end = len(text.rstrip("\r\n"))

    def location(self, index: int) -> Location:
        """Return the place of an offset, in characters."""
        index = min(index, self._end)
        line = bisect.bisect_right(self._starts, index)
        return Location(self._name, line, index - self._starts[line - 1] + 1)


class _Composer:
    """Builds nodes from PyYAML's events.

    PyYAML's grammar guarantees the order of the events.
    """

    def __init__(self, events: Iterator[yaml.Event], lines: _LineIndex) -> None:
        self.problems: list[Problem] = []
        self.lines = lines
        self.index = 0  # of the latest event
        self._events = events
        self._anchors: dict[str, tuple[Node, int]] = {}  # node, and its number of nodes
        self._count = 0

    def document(self) -> Document:
        """Return the only document."""
        return Document(self._root(), tuple(self.problems))

    def _root(self) -> Node:
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return Node(self.lines.location(0), Scalar("", "null"))
        root = self._node(self._next(), 0)
        self._next()  # the document's end
        if not isinstance(self._next(), yaml.StreamEndEvent):
            raise self._error("a second document starts here: keep one document in the file")
        return root

    def _next(self) -> yaml.Event:
        event = next(self._events)
        assert event.start_mark is not None
        self.index = event.start_mark.index
        return event

    def _error(self, message: str, code: ErrorCode = ErrorCode.YAML_SYNTAX) -> _DocumentError:
        return _DocumentError(self.index, message, code)

    def _report(self, where: Location, message: str, code: ErrorCode) -> None:
        self.problems.append(Problem.at(where, message, code))

    def _node(self, event: yaml.Event, depth: int) -> Node:
        assert isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH:
            raise self._error(
                f"more than {MAX_DEPTH} levels of nesting", ErrorCode.MANIFEST_TOO_LARGE
            )
        before = self._count
        self._count += 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                alias = quoted(f"*{event.anchor}")
                message = f"no anchor before alias {alias}: put text that begins with '*' in quotes"
                raise self._error(message)
            node, size = self._anchors[event.anchor]
            self._count += size
        else:
            node = self._compose(event, depth)
            # Registered only now, so that an anchor cannot contain itself.
            if event.anchor is not None:
                self._anchors[event.anchor] = node, self._count - before
        if self._count > MAX_NODES:
            raise self._error(
                f"more than {MAX_NODES} values, with aliases expanded", ErrorCode.MANIFEST_TOO_LARGE
            )
        return node

    def _compose(self, event: yaml.NodeEvent, depth: int) -> Node:
        where = self.lines.location(self.index)
        if isinstance(event, yaml.ScalarEvent):
            return Node(where, self._scalar(event))
        if isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event.tag, "seq")
            items: list[Node] = []
            while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                items.append(self._node(item, depth + 1))
            return Node(where, [item.value for item in items], dict(enumerate(items)))
        assert isinstance(event, yaml.MappingStartEvent)
        self._check_tag(event.tag, "map")
        return self._mapping(where, depth)

    def _mapping(self, where: Location, depth: int) -> Node:
        children: dict[str | int, Node] = {}
        keys: dict[str, Location] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            # Not the node's place: for an alias, that would be the place of its anchor.
            place = self.lines.location(self.index)
            key = self._node(event, depth + 1)
            child = self._node(self._next(), depth + 1)
            if not isinstance(key.value, Scalar):
                message = f"expected a key, found {describe_value(key.value)}"
                self._report(place, message, ErrorCode.WRONG_TYPE)
            elif (text := key.value.text) in keys:
                message = f"key {quoted(text)} is given twice, first on line {keys[text].line}"
                if text == next(iter(keys)):
                    message += ". If a list's next entry begins here, write '- ' before it"
                self._report(place, message, ErrorCode.DUPLICATE_KEY)
            else:
                keys[text] = place
                children[text] = child
        if "<<" in children:
            self._merge(children, keys)
        return Node(where, {key: children[key].value for key in keys}, children, keys)

    def _merge(self, children: dict[str | int, Node], keys: dict[str, Location]) -> None:
        """Replace the merge key by the keys of its mappings.

        The mapping's own keys win, then those of earlier mappings. The format is that of
        https://yaml.org/type/merge.html.
        """
        merge = children.pop("<<")
        del keys["<<"]
        for base in merge.children.values() if isinstance(merge.value, list) else [merge]:
            if not isinstance(base.value, dict):
                found = describe_value(base.value)
                message = f"'<<' takes a mapping or a list of mappings, found {found}"
                self._report(base.where, message, ErrorCode.WRONG_TYPE)
                continue
            for key, where in base.keys.items():
                children.setdefault(key, base.children[key])
                keys.setdefault(key, where)

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        # Escapes can produce characters that YAML forbids: control characters and half surrogates.
        if Reader.NON_PRINTABLE.search(event.value):
            raise self._error("an escape stands for a character that is not allowed here")
        if event.tag is None:
            return Scalar(event.value, _tag_of(event.value) if event.implicit[0] else "str")
        self._check_tag(event.tag, _tag_of(event.value), "str")
        (tag,) = (tag for tag in get_args(Tag) if event.tag == _TAG_PREFIX + tag)
        return Scalar(event.value, tag)

    def _check_tag(self, tag: str | None, *allowed: str) -> None:
        if tag is not None and tag not in [_TAG_PREFIX + name for name in allowed]:
            written = quoted(tag.replace(_TAG_PREFIX, "!!"))
            raise self._error(
                f"tag {written} is not supported here: leave it out, or quote the text"
            )


def _tag_of(text: str) -> Tag:
    """Return the tag that the core schema gives to a plain scalar."""
    match = _PLAIN.fullmatch(text)
    assert match
    return cast(Tag, match.lastgroup)
