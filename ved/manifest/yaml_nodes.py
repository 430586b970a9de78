"""The parsed form of a YAML file: values, each with its place."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ved.manifest.problems import Location, Problem
from ved.text import MAX_QUOTED, quoted

Tag: TypeAlias = Literal["null", "bool", "int", "str"]
"""The type of a scalar in YAML's core schema, without the prefix ``tag:yaml.org,2002:``."""


@dataclass(frozen=True)
class Scalar:
    """A single value.

    Attributes:
        text: the value as the file has it, without quotes and with escapes replaced.
        tag: its type in YAML's core schema.
    """

    text: str
    tag: Tag

    @property
    def value(self) -> bool | int | str | None:
        """The value that the core schema gives to the text."""
        match self.tag:
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
    """A value with its place, and its children with theirs.

    An alias shares the node of its anchor, so a problem inside is reported at the anchor, once.

    Attributes:
        where: where the value begins.
        value: the value without places.
        children: the node of each value, by key in a mapping, by index in a list.
        keys: the place of each key of a mapping.
    """

    where: Location
    value: Value
    children: dict[str | int, "Node"] = field(default_factory=dict)
    keys: dict[str, Location] = field(default_factory=dict)

    def find(self, path: Sequence[str | int]) -> "Node":
        """Return the node at a path, or the last node on the way that exists.

        Args:
            path: keys and indices. Index 0 of a value that is not a list is the value itself,
                because a key that takes a list may have a single item instead.
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
    """A file after parsing.

    Attributes:
        root: the node of the whole document; None if the file is not valid YAML.
        problems: what is wrong with the file as YAML.
    """

    root: Node | None
    problems: tuple[Problem, ...]


def items_of(root: Node, key: str) -> list[Node]:
    """Return the nodes of the list under a key; a single value counts as a list of one."""
    node = root.children.get(key)
    if node is None:
        return []
    return list(node.children.values()) if isinstance(node.value, list) else [node]


def describe_value(value: Value) -> str:
    """Return a value for a message: quoted text, a number, `nothing`, `a list` or `a mapping`."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value.tag == "null":
        return "nothing"
    return quoted(value.text) if value.tag == "str" or len(value.text) > MAX_QUOTED else value.text
