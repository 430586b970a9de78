"""What the tests of the manifest share: its problems, and what editors make of it."""

import jsonschema
import pytest

from ved.manifest.loading import ManifestError, loads
from ved.manifest.schema import json_schema
from ved.manifest.yaml_nodes import Value, read_document


def problems_of(text: str | bytes) -> list[str]:
    """What is wrong with a manifest, as line:column: message."""
    with pytest.raises(ManifestError) as caught:
        loads(text if isinstance(text, bytes) else text.encode())
    return [str(problem).removeprefix("pairs.yaml:") for problem in caught.value.problems]


def schema_accepts(text: bytes) -> bool:
    """Whether the JSON Schema, by which editors check, accepts a manifest."""
    root = read_document(text, "").root
    assert root is not None
    return bool(jsonschema.Draft202012Validator(json_schema()).is_valid(_as_json(root.value)))


def _as_json(value: Value) -> object:
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, list) else value.value
