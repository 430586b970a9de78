"""YAML read with the place of every value kept, and safe to read from strangers.

The rules are those of YAML 1.2's core schema (https://yaml.org/spec/1.2.2/, chapter 10.3), so that
``no`` is text, not false. They are narrowed to what a manifest needs: one UTF-8 document of at most
1 MiB, no tags but the core ones, and no floating-point numbers, dates or other guesses: those stay
text. Anchors, aliases and merge keys (``<<``) work; what they expand to counts towards
``MAX_NODES``, so that an alias bomb ends as a message.
"""

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml
from yaml.reader import Reader, ReaderError

from ved.text import quoted

MAX_BYTES = 2**20
MAX_DEPTH = 32
MAX_NODES = 100_000

_TAG_PREFIX = "tag:yaml.org,2002:"
# The first that matches a plain scalar names its kind. Python refuses to read longer integers.
_KINDS = {
    "null": re.compile(r"null|Null|NULL|~|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]{1,4000}|0o[0-7]+|0x[0-9a-fA-F]+"),
    "str": re.compile(r".*", re.DOTALL),
}


@dataclass(frozen=True, order=True)
class Location:
    """A place in a file; line and column count from 1, the column in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Problem(Location):
    """One thing that is wrong in a file, and where."""

    message: str

    @classmethod
    def at(cls, where: Location, message: str) -> "Problem":
        """Return the problem at a place."""
        return cls(where.file, where.line, where.column, message)

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.message}"


@dataclass(frozen=True)
class Scalar:
    """A single value: its text as written, and its kind: null, bool, int or str."""

    text: str
    kind: str

    @property
    def value(self) -> bool | int | str | None:
        """The value that the core schema gives the text."""
        match self.kind:
            case "null":
                return None
            case "bool":
                return self.text.lower() == "true"
            case "int":
                # Not base 0: in the core schema 0123 is a decimal number.
                return int(self.text, {"0o": 8, "0x": 16}.get(self.text[:2], 10))
            case _:
                return self.text


Value: TypeAlias = "Scalar | list[Value] | dict[str, Value]"


@dataclass(frozen=True)
class Node:
    """A value with its place, and its parts with theirs: by key in a mapping, by index in a list.

    An alias shares its anchor's node, so problems inside are reported where they can be mended.
    """

    where: Location
    value: Value
    children: dict[str | int, "Node"] = field(default_factory=dict)
    keys: dict[str, Location] = field(default_factory=dict)

    def find(self, path: Sequence[str | int]) -> "Node":
        """Return the node at a path of keys and indices, or the last on the way that exists.

        What is no list counts as a list of itself, as it does where one of a list may stand alone.
        """
        node = self
        for part in path:
            if part == 0 and not isinstance(node.value, list):
                continue
            if part not in node.children:
                break
            node = node.children[part]
        return node


@dataclass(frozen=True)
class Document:
    """A file as read: its root, None where it is not YAML at all, and what is wrong with it."""

    root: Node | None
    problems: tuple[Problem, ...]


def items_of(root: Node, key: str) -> list[Node]:
    """Return the nodes of a list; of one that stands alone, itself."""
    node = root.children.get(key)
    if node is None:
        return []
    return list(node.children.values()) if isinstance(node.value, list) else [node]


def describe_value(value: Value) -> str:
    """Say what was found: quoted text, a number, ``nothing``, a list or a mapping."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value.kind == "null":
        return "nothing"
    return quoted(value.text) if value.kind == "str" or len(value.text) > 80 else value.text


def read_document(data: bytes, name: str) -> Document:
    """Read one YAML document from a file's bytes; ``name`` is what locations call the file.

    Text that is not YAML stops the reading at its first problem; keys that are given twice, or that
    are not text, are collected. An empty file reads as null. Nothing is raised.
    """
    # Replacing keeps every place before the first wrong byte, which is the one to report.
    text = data[:MAX_BYTES].decode(errors="replace").removeprefix("\ufeff")
    composer = _Composer(text, _Places(name, text))
    try:
        _check_bytes(data)
        return Document(composer.document(), tuple(composer.problems))
    except _UnreadableError as error:
        index, message = error.index, error.message
    except ReaderError as error:
        index = error.position
        message = f"character U+{error.character:04X} is not allowed in YAML"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        index = mark.index if mark else composer.index
        context = f" ({error.context})" if error.context else ""
        message = f"not valid YAML: {error.problem}{context}"
    except (ValueError, OverflowError):
        # PyYAML lets these through from an escape such as "\UFFFFFFFF" or an endless version.
        index, message = composer.index, "a number or an escape after this is out of range"
    return Document(None, (Problem.at(composer.places.at(index), message),))


class _UnreadableError(Exception):
    """What ends the reading, at an offset in the text."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(index, message)
        self.index = index
        self.message = message


def _check_bytes(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise _UnreadableError(0, f"the file is larger than {MAX_BYTES} bytes")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        index = len(data[: error.start].decode().removeprefix("\ufeff"))
        message = f"byte {error.start} of the file is not UTF-8: save the file as UTF-8"
        raise _UnreadableError(index, message) from None


class _Places:
    """Offsets in a text to lines and columns, as editors count them.

    PyYAML's own line numbers also count Unicode's line separators, which editors do not.
    """

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
        # What is missing at the end of a file is reported on the last line that has something.
        self._end = len(text.rstrip("\r\n"))

    def at(self, index: int) -> Location:
        index = min(index, self._end)
        line = bisect.bisect_right(self._starts, index)
        return Location(self._name, line, index - self._starts[line - 1] + 1)


class _Composer:
    """Builds nodes from PyYAML's events, whose order its grammar guarantees."""

    def __init__(self, text: str, places: _Places) -> None:
        self.problems: list[Problem] = []
        self.places = places
        self.index = 0  # of the latest event
        self._events = yaml.parse(text, Loader=yaml.SafeLoader)
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0

    def document(self) -> Node:
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return Node(self.places.at(0), Scalar("", "null"))
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

    def _error(self, message: str) -> _UnreadableError:
        return _UnreadableError(self.index, message)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        assert isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} levels of nesting")
        before = self._count
        self._count += 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise self._error(f"no anchor before alias {quoted(f'*{event.anchor}')}")
            node, size = self._anchors[event.anchor]
            self._count += size
        else:
            node = self._composed(event, depth)
            # Only now, so that an anchor cannot contain itself.
            if event.anchor is not None:
                self._anchors[event.anchor] = node, self._count - before
        if self._count > MAX_NODES:
            raise self._error(f"more than {MAX_NODES} values, with aliases expanded")
        return node

    def _composed(self, event: yaml.NodeEvent, depth: int) -> Node:
        where = self.places.at(self.index)
        if isinstance(event, yaml.ScalarEvent):
            return Node(where, self._scalar(event))
        if isinstance(event, yaml.SequenceStartEvent):
            self._refuse_tag(event.tag, "seq")
            items: list[Node] = []
            while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                items.append(self._node(item, depth + 1))
            return Node(where, [item.value for item in items], dict(enumerate(items)))
        assert isinstance(event, yaml.MappingStartEvent)
        self._refuse_tag(event.tag, "map")
        return self._mapping(where, depth)

    def _mapping(self, where: Location, depth: int) -> Node:
        children: dict[str | int, Node] = {}
        keys: dict[str, Location] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            # Not the node's own place: an alias as a key stands elsewhere than its anchor.
            place = self.places.at(self.index)
            key = self._node(event, depth + 1)
            child = self._node(self._next(), depth + 1)
            if not isinstance(key.value, Scalar):
                message = f"expected a key, found {describe_value(key.value)}"
                self.problems.append(Problem.at(place, message))
            elif key.value.text in keys:
                first = keys[key.value.text].line
                message = f"key {quoted(key.value.text)} is given twice, first on line {first}"
                self.problems.append(Problem.at(place, message))
            else:
                keys[key.value.text] = place
                children[key.value.text] = child
        if "<<" in children:
            self._merge(children, keys)
        return Node(where, {key: children[key].value for key in keys}, children, keys)

    def _merge(self, children: dict[str | int, Node], keys: dict[str, Location]) -> None:
        """Replace the merge key by what it brings: a mapping's own keys win, then earlier ones."""
        merge = children.pop("<<")
        del keys["<<"]
        for base in merge.children.values() if isinstance(merge.value, list) else [merge]:
            if not isinstance(base.value, dict):
                message = (
                    f"'<<' takes a mapping or a list of them, found {describe_value(base.value)}"
                )
                self.problems.append(Problem.at(base.where, message))
                continue
            for key, where in base.keys.items():
                children.setdefault(key, base.children[key])
                keys.setdefault(key, where)

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        # Escapes can spell what YAML does not allow as characters: controls and half surrogates.
        if Reader.NON_PRINTABLE.search(event.value):
            raise self._error("an escape stands for a character that is not allowed here")
        fitting = [kind for kind, pattern in _KINDS.items() if pattern.fullmatch(event.value)]
        if event.tag is None:
            return Scalar(event.value, fitting[0] if event.implicit[0] else "str")
        self._refuse_tag(event.tag, *fitting)
        return Scalar(event.value, event.tag.removeprefix(_TAG_PREFIX))

    def _refuse_tag(self, tag: str | None, *allowed: str) -> None:
        if tag is not None and tag not in [_TAG_PREFIX + kind for kind in allowed]:
            shown = quoted(tag.replace(_TAG_PREFIX, "!!"))
            raise self._error(f"tag {shown} cannot be read here: leave it out")
