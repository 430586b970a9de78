"""The JSON Schema of a manifest: current, valid, and with the same opinion as `loads`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.manifest import mistakes
from tests.manifest.mistakes import Mistake
from tests.manifest.test_grid import EXAMPLE as GRID_EXAMPLE
from tests.manifest.test_grid import GRID
from tests.manifest.test_pair_models import EXAMPLE
from tests.support.manifests import one_pair, schema_accepts
from ved.manifest import json_schema, loads
from ved.manifest.grid_models import Grid, Override, Selector, SourceName
from ved.manifest.manifest_model import File
from ved.manifest.pair_models import ConfigRef, Defaults, Pair, SourceRef, TokenIds

SCHEMA = Path(__file__).parents[2] / "schema" / "pairs.schema.json"
MODELS = (
    *(File, Defaults, Pair, TokenIds, SourceRef, ConfigRef),
    *(Grid, Selector, SourceName, Override),
)


def test_schema_file_is_current() -> None:
    written = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert written == json_schema(), "run `make schema` to write schema/pairs.schema.json again"


def test_schema_is_valid_and_describes_every_key() -> None:
    schema = json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    assert {"$id", "title", "description"} <= schema.keys()
    described = {}
    for key, value in properties(schema):
        (reference,) = value.get("allOf", [value])
        target = schema["definitions"].get(reference.get("$ref", "").rpartition("/")[2], value)
        described[key] = value.get("description") or target["description"]
    assert described.keys() == {key for model in MODELS for key in model.model_fields}
    assert all(description.endswith(".") for description in described.values())


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each key of a manifest with its schema, for every kind of mapping."""
    definitions = schema["definitions"].values()
    forms = [form for each in definitions for form in [each, *each.get("anyOf", [])]]
    for form in [schema, *forms]:
        yield from form.get("properties", {}).items()


def test_schema_has_valid_examples_of_every_key() -> None:
    schema = json_schema()
    for key, value in properties(schema):
        validator = jsonschema.Draft7Validator({**value, "definitions": schema["definitions"]})
        assert value["examples"], key
        for example in value["examples"]:
            validator.validate(example)


def test_schema_has_nothing_beside_a_reference() -> None:
    # Draft 7 ignores what is there, such as the description of a key.
    text = json.dumps(json_schema())
    assert not re.search(r'[{,] ?"\$ref": "[^"]*",|, "\$ref"', text)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"encoder": "{model: ./a b, config: c@v1, allow_pickle: true}", "decoder": "../d"},
        {"encoder": "{model: a.b/c_d, revision: refs/pr/1, config: {model: c, revision: v1}}"},
        {"token_ids": "{decoder_start: 0, eos: 50256}", "seed": "4294967295", "adopt": "true"},
        {"language": "no", "license": "cc-by-4.0", "tags": "[image captioning, arxiv:1706.03762]"},
        {"language": "[en, zh, yue, multilingual]", "tags": "[]", "description": '"two\\nlines"'},
    ],
)
def test_schema_accepts_valid_pairs(keys: dict[str, str]) -> None:
    assert loads(one_pair(**keys))
    assert schema_accepts(one_pair(**keys))


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE.decode(),
        GRID_EXAMPLE,
        f"{GRID}  overrides: [{{encoder: b/beit, repo: 'p/{{decoder}}', token_ids: {{eos: 2}}}}]",
        "grid: [{encoders: [./a], decoders: [b], repo: o/r, tags: [x], language: en}]",
    ],
)
def test_schema_accepts_valid_manifests(text: str) -> None:
    assert loads(text.encode()).pairs
    assert schema_accepts(text.encode())


@pytest.mark.parametrize("mistake", [*mistakes.PAIR_SHAPE, *mistakes.GRID_SHAPE], ids=str)
def test_schema_refuses_mistakes_of_shape(mistake: Mistake) -> None:
    assert not schema_accepts(mistake.text)


@pytest.mark.parametrize("text", [b"", b"- a", b"pairs: []", b"pairs:", b"namespace: a", b"[]"])
def test_schema_refuses_files_that_are_not_manifests(text: bytes) -> None:
    assert not schema_accepts(text)
