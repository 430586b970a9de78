"""Write the manifest's JSON Schema, from which editors complete and check pairs.yaml."""

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ved.manifest.models import File


class _SchemaWriter(GenerateJsonSchema):
    """Leaves out what only pydantic needs: null for a key that is not given, and made-up titles."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        written = super().default_schema(schema)
        return {key: value for key, value in written.items() if (key, value) != ("default", None)}

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema, draft 2020-12, of a manifest, for editors."""
    schema = File.model_json_schema(schema_generator=_SchemaWriter)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def write_schema(path: Path) -> None:
    """Write the JSON Schema to a file."""
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
