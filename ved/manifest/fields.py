"""The fields of a manifest: what the values of pairs.yaml may be, as types with their checks."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    ValidationInfo,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ved.manifest.yaml_nodes import Scalar
from ved.text import quoted

if TYPE_CHECKING:
    # Importing it takes long, and a manifest is checked without the Hub.
    pass


Dtype = Literal["source", "float32", "bfloat16", "float16"]
WeightFormat = Literal["flax", "safetensors"]
Check = Literal["none", "load", "generate"]

# Of one manifest, with its grids expanded.
MAX_PAIRS = 10_000

_Item = TypeVar("_Item")

# Patterns are whole-string and mean the same to Python and to ECMA 262, for the JSON Schema.
# Repo ids follow huggingface_hub.utils.validate_repo_id, in ASCII.
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPO = rf"(?![^@]*(?:--|\.\.))(?![^@]*\.git(?:@|$))(?:{_NAME}/)?{_NAME}"
# The part of git-check-ref-format(1) that needs no quoting anywhere.
_REVISION = (
    r"(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)))[A-Za-z0-9_](?:[A-Za-z0-9._/+-]{0,253}[A-Za-z0-9_+-])?"
)
_DIRECTORY = r"\.\.?|\.{0,2}/[^\r\n\t]*"
REPO_RULE = (
    "is not a repo name: use up to 96 letters, digits, '_' and, between them, single '-' and '.',"
    " as in 'owner/name', without '.git' at the end"
)
# An owner and a title, which may have a slash then; or a title alone. The Hub takes 60 characters.
_TITLE_LENGTH = r"(?=.{1,60}$)"
_TITLE = rf"{_NAME}/{_TITLE_LENGTH}\S+(?: \S+)*|{_TITLE_LENGTH}[^\s/]+(?: [^\s/]+)*"
LANGUAGE_PATTERN = r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*|multilingual|code"
"""What a language's code looks like: ISO 639's, or what the Hub has for many and for none."""

LICENSE_PATTERN = r"[a-z0-9](?:[a-z0-9.+-]{0,98}[a-z0-9+])?"
"""What a licence's id looks like."""
_PLACEHOLDERS = ("{encoder}", "{decoder}")
_TEMPLATE_PART = rf"(?:[A-Za-z0-9._-]|{'|'.join(map(re.escape, _PLACEHOLDERS))}){{1,96}}"


@dataclass(frozen=True)
class Context:
    """What validation needs to know of the manifest's surroundings."""

    folder: Path
    check_directories: bool = False


def refuse(value: str, why: str) -> NoReturn:
    """Raise the validation error that a value is refused, and why."""
    raise PydanticCustomError("refused", "{refused} {why}", {"refused": quoted(value), "why": why})


@dataclass(frozen=True)
class _Matches:
    """Holds text to a pattern, in validation and in the JSON Schema alike."""

    pattern: str
    why: str

    def _check(self, value: str) -> str:
        return value if re.fullmatch(self.pattern, value) else refuse(value, self.why)

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # The last is no word of the standard: editors say it in place of the pattern.
        text = {"pattern": f"^(?:{self.pattern})$", "patternErrorMessage": self.why}
        return {**handler(schema), **text}


def text_of(value: object) -> object:
    """Where text is expected, 1e3 and 0123456 are what was written, not numbers."""
    return value.text if isinstance(value, Scalar) and value.kind != "null" else value


def _value(value: object) -> object:
    return value.value if isinstance(value, Scalar) else value


def _as_list(value: object) -> object:
    return [value] if isinstance(text_of(value), str) else value


def mapping_as_list(value: object) -> object:
    """Return a single mapping as a list of one."""
    return value if isinstance(value, list) or value is None else [value]


def unique(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    """Return the values without repetitions, in order."""
    return tuple(dict.fromkeys(values))


def or_one_item(schema: dict[str, Any]) -> None:
    """Let the JSON Schema of a list also accept one item alone."""
    schema["anyOf"] = [schema["items"], {"type": schema.pop("type"), "items": schema.pop("items")}]


def is_repo(name: str) -> bool:
    """Tell whether text is a repo's name, with or without an owner."""
    # Length first: a grid asks this of every cell, and the parts may be as long as the file.
    return len(name) <= 2 * 96 + 1 and re.fullmatch(_REPO, name) is not None


def _existing(value: str, info: ValidationInfo) -> str:
    context = info.context
    if isinstance(context, Context) and context.check_directories and is_local(value):
        try:
            exists = (context.folder / value).is_dir()
        except OSError:  # such as a name that is too long
            exists = False
        if not exists:
            refuse(value, "is not a directory: paths start from the manifest's own folder")
    return value


def is_local(model: str) -> bool:
    """Return whether a reference is a local directory."""
    return re.fullmatch(_DIRECTORY, model) is not None


def _known_placeholders(template: str) -> str:
    for found in re.findall(r"\{[^{}]*\}|[{}]", template):
        if found not in _PLACEHOLDERS:
            refuse(found, f"is not a placeholder: write {' or '.join(_PLACEHOLDERS)}")
    return template


def required_unless(other: str) -> AfterValidator:
    """Require a value where another key, declared before, has none and is not wrong itself."""

    def check(value: _Item, info: ValidationInfo) -> _Item:
        if value is None and info.data.get(other, other) is None:
            keys = {"keys": (other, info.field_name)}
            raise PydanticCustomError("neither", "one of two keys is missing", keys)
        return value

    return AfterValidator(check)


def needs_one_of(*keys: str) -> dict[str, Any]:
    """Return the JSON Schema that requires one of some keys."""
    return {"anyOf": [{"required": [key]} for key in keys]}


TextField = Annotated[str, Strict(), BeforeValidator(text_of)]
FlagField = Annotated[bool, Strict(), BeforeValidator(_value)]
TokenIdField = Annotated[int, Strict(), Field(ge=0), BeforeValidator(_value)]
DtypeField = Annotated[Dtype, BeforeValidator(text_of)]
WeightFormatField = Annotated[WeightFormat, BeforeValidator(text_of)]
CheckField = Annotated[Check, BeforeValidator(text_of)]
SeedField = Annotated[int, Strict(), Field(ge=0, lt=2**32), BeforeValidator(_value)]
OwnerField = Annotated[
    TextField,
    _Matches(
        rf"(?!.*(?:--|\.\.)){_NAME}",
        "is not a user or organization: use letters, digits, '-', '_' and '.'",
    ),
]
RepoField = Annotated[TextField, _Matches(_REPO, REPO_RULE)]
TemplateField = Annotated[
    TextField,
    AfterValidator(_known_placeholders),
    _Matches(f"(?:{_TEMPLATE_PART}/)?{_TEMPLATE_PART}", REPO_RULE),
]
RepoOrDirectoryField = Annotated[
    TextField,
    _Matches(
        f"{_DIRECTORY}|{_REPO}",
        "is not a repo id or a local directory: write owner/name,"
        " or a path that starts with ./, ../ or /",
    ),
    AfterValidator(_existing),
]
RevisionField = Annotated[
    TextField,
    _Matches(_REVISION, "is not a git revision: use a branch, a tag or a commit hash"),
]
LicenseField = Annotated[
    TextField,
    _Matches(
        LICENSE_PATTERN,
        "is not a license id: use the Hub's, such as 'apache-2.0', 'mit' or 'other'",
    ),
]
LanguageField = Annotated[
    TextField,
    _Matches(
        LANGUAGE_PATTERN,
        "is not a language code: use ISO 639's, such as 'en' or 'no'",
    ),
]
CollectionField = Annotated[
    TextField,
    _Matches(
        _TITLE,
        "is not a collection: write its title, or owner/title, with single spaces between words,"
        " at most 60 characters",
    ),
]
TagField = Annotated[
    TextField,
    _Matches(
        r"(?=.{1,100}$)\S+(?: \S+)*",
        "is not a tag: use words with single spaces between them, at most 100 characters",
    ),
]
