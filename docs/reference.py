"""Generate docs/manifest.md, the reference of the manifest, from the manifest's JSON Schema."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from docs.levels import LEVELS, Level
from docs.tables import code, table
from ved.manifest import json_schema

_Schema = Mapping[str, Any]

SCHEMA = json_schema()
HEAD = """\
<!-- Generated from ved/manifest and docs/levels.py by `make docs`. -->

# The manifest

This page explains every key of `pairs.yaml`. A manifest can have single pairs, a grid, or both:

```yaml
# yaml-language-server: $schema=https://raw.githubusercontent.com/ved-action/ved/main/schema/pairs.schema.json
namespace: my-org # owner of repos without an owner
defaults: {private: false, license: apache-2.0, language: en}
pairs:
  - repo: vit-gpt2 # my-org/vit-gpt2
    encoder: google/vit-base-patch16-224-in21k
    decoder: openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e # at one commit
    description: Two sentences for the model card.
    tags: [captioning]
  - repo: other-org/beit-roberta
    encoder: {model: microsoft/beit-base-patch16-224-pt22k-ft22k, config: my-org/beit-config}
    decoder: ./checkpoints/roberta # a local directory
    token_ids: {decoder_start: 0, pad: 1, eos: 2}
    seed: 1 # for randomly initialized parameters
grid: # every encoder with every decoder
  encoders: [google/vit-base-patch16-224-in21k, facebook/dinov2-base]
  decoders: [openai-community/gpt2, google-bert/bert-base-uncased]
  exclude: [{encoder: google/vit-base-patch16-224-in21k, decoder: openai-community/gpt2}]
```

`ved validate pairs.yaml` reports all errors of a manifest at once, each as
`file:line:column: message`. The first line of the example lets editors complete keys and find most
of the same errors. A [hook of pre-commit](recipes.md#check-manifests-before-each-commit) does
that before each commit.

## Keys
"""
FOOT = """\
## Text values

Text needs no quotes, even if YAML would read it as a number or a truth value. If a key takes text,
`no`, `1e3` and `0123` are text.
"""

MOST_VALUES = 20
"""A longer list of values is left to editors, which know the schema."""


def manifest() -> str:
    """Return the page, in Markdown."""
    index = "\n".join(f"- [{each.heading}](#{each.anchor})" for each in LEVELS.values())
    sections = "\n".join(_section(name, level) for name, level in LEVELS.items())
    rules = {rule for name in LEVELS for rule in _text_rules(_mapping_schema(name))}
    return f"{HEAD}\n{index}\n\n{sections}\n{FOOT}\n{table(('value', ''), sorted(rules))}"


def _mapping_schema(name: str) -> _Schema:
    """Return the schema of a level as a mapping, without its short form."""
    schema: _Schema = SCHEMA if name == "File" else SCHEMA["definitions"][name]
    if "properties" in schema:
        return schema
    (mapping,) = (form for form in schema["anyOf"] if "properties" in form)
    return dict(mapping)


def _section(name: str, level: Level) -> str:
    schema = _mapping_schema(name)
    alike = _mapping_schema(level.alike)["properties"] if level.alike else {}
    own = {key: value for key, value in schema["properties"].items() if value != alike.get(key)}
    shared = [code(key) for key in schema["properties"] if key not in own]
    required = schema.get("required", ())
    # Required keys come first.
    rows = [
        (code(key), _describe(value), _default(value, key in required), _description(value))
        for key, value in sorted(own.items(), key=lambda item: item[0] not in required)
    ]
    parts = [f"## {level.heading}\n", f"{level.text}\n"]
    if rows:
        parts.append(table(("key", "value", "default", ""), rows))
    if shared:
        keys = "It also has these keys" if rows else "It has these keys"
        parts.append(f"{keys} of [a pair](#a-pair): {', '.join(shared)}.\n")
    return "\n".join((*parts, f"```yaml\n{level.example}```\n"))


def _referenced_name(schema: _Schema) -> str:
    """Return the name of the definition that a schema refers to, or nothing."""
    (reference,) = schema.get("allOf", [schema])
    return str(reference.get("$ref", "")).rpartition("/")[2]


def _description(schema: _Schema) -> str:
    if "description" not in schema and _referenced_name(schema):
        return _description(SCHEMA["definitions"][_referenced_name(schema)])
    return str(schema.get("description", ""))


def _default(schema: _Schema, required: bool) -> str:
    if required:
        return "*required*"
    value = schema.get("default")
    if isinstance(value, list):
        return code(f"[{', '.join(value)}]" if value else "")
    return code("" if value is None else str(value).lower())


def _describe(schema: _Schema, ending: str = "") -> str:
    """Describe the values that a schema accepts, in Markdown.

    Args:
        schema: the schema of the value.
        ending: "s" for the plural.
    """
    if name := _referenced_name(schema):
        level = LEVELS[name]
        return f"[{level.noun}{ending}](#{level.anchor})"
    if "anyOf" in schema:
        return ", or ".join(_describe(form, ending) for form in schema["anyOf"])
    if len(schema.get("enum", ())) in range(1, MOST_VALUES):
        return ", ".join(map(code, schema["enum"]))
    if schema["type"] == "array":
        return f"list of {_describe(schema['items'], 's')}"
    if schema["type"] == "integer":
        last = f" to {schema['exclusiveMaximum'] - 1}" if "exclusiveMaximum" in schema else ""
        return f"whole number from {schema['minimum']}{last}"
    if schema["type"] == "boolean":
        return "`true` or `false`"
    rule = _text_rule(schema)
    return f"{rule[0]}{ending}" if rule else "text"


def _text_rule(schema: _Schema) -> tuple[str, str] | None:
    """Return the name of a text with a pattern, and the rule that it follows."""
    message = schema.get("patternErrorMessage", "")
    match = re.fullmatch(r"is not an? (.*?): (.*)", message)
    return (match[1], f"{match[2][0].upper()}{match[2][1:]}.") if match else None


def _text_rules(schema: Any) -> Iterator[tuple[str, str]]:
    """Yield the rules of all texts in a schema."""
    if isinstance(schema, Mapping):
        rule = _text_rule(schema)
        if rule:
            yield rule
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _text_rules(part)
