"""Model cards: the YAML metadata of a README.md, its validation and the tags of the Hub.

Format: https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

import json
import re
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from ved.manifest import hub_ids

_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """YAML as the Hub reads it: `no` is a text (Norwegian), not False."""


_Loader.yaml_implicit_resolvers = {
    first: [entry for entry in resolvers if entry[0] != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


_LicenseId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.+-]*$")]
_ModelId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")]


class _ModelMetadata(BaseModel):
    """The keys that the Hub checks in a model card. Other keys are free."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    license: Annotated[list[_LicenseId], BeforeValidator(_as_list)] = []
    base_model: Annotated[list[_ModelId], BeforeValidator(_as_list)] = []
    language: Annotated[list[str], BeforeValidator(_as_list)] = []
    datasets: Annotated[list[str], BeforeValidator(_as_list)] = []
    tags: list[str] = []
    library_name: str = ""
    pipeline_tag: str = ""


def validate(
    content: str, kind: str, *, known_metadata: bool = False
) -> tuple[list[str], list[str]]:
    """Check the metadata of a card.

    Args:
        content: the content of README.md.
        kind: models, datasets or spaces.
        known_metadata: whether license and languages have to be in the lists of the real Hub.

    Returns:
        The errors and the warnings.
    """
    try:
        metadata = _metadata(content)
        if metadata is None:
            return [], ["empty or missing yaml metadata in repo card"]
        if not isinstance(metadata, dict):
            return ["the metadata must be a mapping"], []
        if kind == "models":
            checked = _ModelMetadata.model_validate(metadata)
            if known_metadata:
                return _unknown_ids(checked), []
    except yaml.YAMLError as error:
        return [f"the metadata is not YAML: {error}"], []
    except ValidationError as error:
        problems = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        return [f'"{key}" is wrong: {message}' for key, message in problems], []
    return [], []


def _unknown_ids(card: _ModelMetadata) -> list[str]:
    """Return an error for each license and language that the real Hub does not know."""
    found = []
    if any(each not in hub_ids.licenses() for each in card.license):
        found.append(f'"license" must be one of [{", ".join(hub_ids.licenses())}]')
    for number, each in enumerate(card.language):
        if each not in hub_ids.languages():
            found.append(
                f'"language[{number}]" with value "{each}" is not valid. It must be an ISO 639-1, '
                '639-2 or 639-3 code (two/three letters), or a special value like "code", '
                '"multilingual". If you want to use BCP-47 identifiers, you can specify them in '
                "language_bcp47."
            )
    return found


def card_data(content: str) -> dict[str, Any]:
    """Return the metadata of a card in JSON types. It is empty if it is missing or wrong."""
    try:
        metadata = _metadata(content)
        _ModelMetadata.model_validate(metadata)
        # YAML has dates, keys that are not strings, and numbers such as NaN; JSON has none of them.
        text = json.dumps(metadata, default=str, skipkeys=True)
        data: dict[str, Any] = json.loads(text, parse_constant=str)
    except (yaml.YAMLError, ValueError):
        return {}
    return data


def derived_tags(data: dict[str, Any]) -> list[str]:
    """Return the tags of a model with this metadata, each of them once."""
    card = _ModelMetadata.model_validate(data)
    relation = data.get("base_model_relation")
    tags = [card.library_name, card.pipeline_tag, *card.tags, *card.language]
    tags += [f"dataset:{name}" for name in card.datasets]
    for name in card.base_model:
        tags.append(f"base_model:{name}")
        if isinstance(relation, str):
            tags.append(f"base_model:{relation}:{name}")
    tags += [f"license:{name}" for name in card.license]
    return list(dict.fromkeys(tag for tag in tags if tag))


def _metadata(content: str) -> Any:
    match = _FRONT_MATTER.match(content)
    return yaml.load(match[1], _Loader) if match else None  # noqa: S506 (a SafeLoader)
