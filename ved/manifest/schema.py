"""Generate the manifest's JSON Schema, with which editors complete and check pairs.yaml."""

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ved.manifest.manifest_model import File

ADDRESS = "https://raw.githubusercontent.com/ved-action/ved/main/schema/pairs.schema.json"


class _SchemaGenerator(GenerateJsonSchema):
    """Omits the parts that only pydantic needs: null for omitted keys, and generated titles."""

    # Editors know this draft best, and SchemaStore asks for it.
    schema_dialect = "http://json-schema.org/draft-07/schema#"

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        generated = super().default_schema(schema)
        return {key: value for key, value in generated.items() if (key, value) != ("default", None)}

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a manifest, in draft 7."""
    schema = File.model_json_schema(
        schema_generator=_SchemaGenerator, ref_template="#/definitions/{model}"
    )
    definitions = schema.pop("$defs")
    head = {"$schema": _SchemaGenerator.schema_dialect, "$id": ADDRESS}
    return {**head, **_without_siblings(schema), "definitions": _without_siblings(definitions)}


def _without_siblings(schema: Any) -> Any:
    """Return a schema where nothing is beside a `$ref`: draft 7 ignores its siblings."""
    if isinstance(schema, list):
        return [_without_siblings(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: _without_siblings(value) for key, value in schema.items()}
    if "$ref" in parts and len(parts) > 1:
        parts = {"allOf": [{"$ref": parts.pop("$ref")}], **parts}
    return parts


def write_schema(path: Path) -> None:
    """Write the JSON Schema to a file."""
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
