"""Writes docs/manifest.md, the reference of the manifest, from the manifest's JSON Schema."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from docs.levels import LEVELS, Level
from docs.tables import code, table
from ved.manifest.schema import json_schema

_Schema = Mapping[str, Any]

SCHEMA = json_schema()
HEAD = """\
<!-- Written from ved/manifest_types.py by `make docs`. -->

# The manifest

Every key of `pairs.yaml`. A key that is not here, a value that does not fit and a repo that is
named twice are errors, each with its line and column: `ved validate pairs.yaml` lists them. This
first line gives editors completion and most of the same checks:

```yaml
# yaml-language-server: $schema=https://raw.githubusercontent.com/ved-action/ved/main/schema/pairs.schema.json
```
"""
FOOT = """\
## What values look like

Where text is expected, what YAML would take for a number or a truth value, such as `no`, `1e3` or
`0123`, is the text that you wrote.
"""


def manifest() -> str:
    """Return the page."""
    index = "\n".join(f"- [{each.heading}](#{each.anchor})" for each in LEVELS.values())
    sections = "\n".join(_section(name, level) for name, level in LEVELS.items())
    rules = table(("value", ""), sorted({rule for name in LEVELS for rule in _rules(_of(name))}))
    return f"{HEAD}\n{index}\n\n{sections}\n{FOOT}\n{rules}"


def _of(name: str) -> _Schema:
    """Return the schema of a level as a mapping, without its short form."""
    schema: _Schema = SCHEMA if name == "File" else SCHEMA["$defs"][name]
    if "properties" in schema:
        return schema
    (mapping,) = (form for form in schema["anyOf"] if "properties" in form)
    return dict(mapping)


def _section(name: str, level: Level) -> str:
    schema = _of(name)
    alike = _of(level.alike)["properties"] if level.alike else {}
    own = {key: value for key, value in schema["properties"].items() if value != alike.get(key)}
    shared = [code(key) for key in schema["properties"] if key not in own]
    required = schema.get("required", ())
    # What has to be there comes first.
    rows = [
        (code(key), _words(value), _default(value, key in required), _description(value))
        for key, value in sorted(own.items(), key=lambda item: item[0] not in required)
    ]
    parts = [f"## {level.heading}\n", f"{level.text}\n"]
    if rows:
        parts.append(table(("key", "value", "default", ""), rows))
    if shared:
        also = "Also these" if rows else "These"
        parts.append(f"{also}, as in [a pair](#a-pair): {', '.join(shared)}.\n")
    return "\n".join((*parts, f"```yaml\n{level.example}```\n"))


def _referred(schema: _Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _description(schema: _Schema) -> str:
    if "description" not in schema and "$ref" in schema:
        return _description(SCHEMA["$defs"][_referred(schema)])
    return str(schema.get("description", ""))


def _default(schema: _Schema, required: bool) -> str:
    if required:
        return "*needed*"
    value = schema.get("default")
    if isinstance(value, list):
        return code(f"[{', '.join(value)}]" if value else "")
    return code("" if value is None else str(value).lower())


def _words(schema: _Schema, ending: str = "") -> str:
    """Say what a value has to be; the ending makes it plural."""
    if "$ref" in schema:
        level = LEVELS[_referred(schema)]
        return f"[{level.noun}{ending}](#{level.anchor})"
    if "anyOf" in schema:
        return ", or ".join(_words(form, ending) for form in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(code, schema["enum"]))
    if schema["type"] == "array":
        return f"list of {_words(schema['items'], 's')}"
    if schema["type"] == "integer":
        last = f" to {schema['exclusiveMaximum'] - 1}" if "exclusiveMaximum" in schema else ""
        return f"whole number from {schema['minimum']}{last}"
    if schema["type"] == "boolean":
        return "`true` or `false`"
    rule = _rule(schema)
    return f"{rule[0]}{ending}" if rule else "text"


def _rule(schema: _Schema) -> tuple[str, str] | None:
    """Return what a text is called that fits a pattern, and what it looks like."""
    message = schema.get("patternErrorMessage", "")
    match = re.fullmatch(r"is not an? (.*?): (.*)", message)
    return (match[1], f"{match[2][0].upper()}{match[2][1:]}.") if match else None


def _rules(schema: Any) -> Iterator[tuple[str, str]]:
    """Yield the rules of all texts in a schema."""
    if isinstance(schema, Mapping):
        rule = _rule(schema)
        if rule:
            yield rule
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _rules(part)
