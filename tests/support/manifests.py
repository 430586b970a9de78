"""Helpers for the tests of the manifest: its problems, and what editors accept."""

import jsonschema
import pytest

from ved.manifest import ManifestError, Pair, Problem, json_schema, loads
from ved.manifest.yaml_nodes import Value
from ved.manifest.yaml_reader import read_document


def problems_of(text: str | bytes) -> tuple[Problem, ...]:
    """Return the problems of a manifest; fail if it has none."""
    with pytest.raises(ManifestError) as caught:
        loads(text if isinstance(text, bytes) else text.encode())
    return caught.value.problems


def places_of(text: str | bytes) -> list[str]:
    """Return the problems of a manifest, each as `line:column code`."""
    return [f"{each.line}:{each.column} {each.code}" for each in problems_of(text)]


def schema_accepts(text: bytes) -> bool:
    """Return whether the JSON Schema, with which editors check, accepts a manifest."""
    root = read_document(text, "").root
    assert root is not None
    return bool(jsonschema.Draft7Validator(json_schema()).is_valid(_as_json(root.value)))


def _as_json(value: Value) -> object:
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, list) else value.value


def one_pair(**keys: str) -> bytes:
    """Return a manifest of one pair.

    Args:
        keys: keys with their values in YAML. They come first, from the third column of line 2, so
            that a value begins in column 5 + the length of its key.
    """
    written = keys | {"repo": "o/r", "encoder": "e/e", "decoder": "d/d"} | keys
    lines = [f"  {key}: {value}" for key, value in written.items()]
    return "\n".join(["pairs:", *lines]).replace("  ", "- ", 1).encode()


def load_one(**keys: str) -> Pair:
    """Return the pair of `one_pair`."""
    (pair,) = loads(one_pair(**keys)).pairs
    return pair
