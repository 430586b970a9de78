"""The values that the keys of pairs.yaml take, as annotated types for pydantic's models.

Each type converts what the file has and checks it. Text is checked against a pattern, which the
JSON Schema contains as well, so patterns match the whole text and mean the same to Python and to
ECMA 262.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

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

from ved.errors import ErrorCode
from ved.manifest import hub_ids
from ved.manifest.pasted_urls import Subject, advice_for_url, without_credentials
from ved.manifest.yaml_nodes import Scalar
from ved.text import quoted

Dtype = Literal["source", "float32", "bfloat16", "float16"]
WeightFormat = Literal["flax", "safetensors"]
Check = Literal["none", "load", "download", "generate"]

MAX_PAIRS = 10_000
"""The most pairs of one manifest, with its grids expanded."""

_Item = TypeVar("_Item")

# Patterns

# Repo ids follow huggingface_hub.utils.validate_repo_id, limited to ASCII.
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
REPO_PATTERN = rf"(?![^@]*(?:--|\.\.))(?![^@]*\.git(?:@|$))(?:{_NAME}/)?{_NAME}"
REPO_RULE = (
    "is not a repo name: write owner/name, with letters, digits, '_', and single '-' or '.' between"
    " them, at most 96 characters each, without '.git' at the end"
)
# The names of git-check-ref-format(1) that need no quoting anywhere.
REVISION_PATTERN = (
    r"(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)))[A-Za-z0-9_](?:[A-Za-z0-9._/+-]{0,253}[A-Za-z0-9_+-])?"
)
DIRECTORY_PATTERN = r"\.\.?|\.{0,2}/[^\r\n\t]*"
# After an owner, a title may contain a slash. The Hub accepts titles of 60 characters.
_TITLE_LENGTH = r"(?=.{1,60}$)"
_TITLE = rf"{_NAME}/{_TITLE_LENGTH}\S+(?: \S+)*|{_TITLE_LENGTH}[^\s/]+(?: [^\s/]+)*"
LANGUAGE_PATTERN = r"[a-z]{2,3}|multilingual|code"
"""Matches language codes: those of ISO 639, and two that the Hub adds."""
LICENSE_PATTERN = r"[a-z0-9](?:[a-z0-9.+-]{0,98}[a-z0-9+])?"
"""Matches license ids; `ved.manifest.hub_ids` knows which of them exist."""
_PLACEHOLDERS = ("{encoder}", "{decoder}")
_TEMPLATE_PART = rf"(?:[A-Za-z0-9._-]|{'|'.join(map(re.escape, _PLACEHOLDERS))}){{1,96}}"


def is_repo_id(name: str) -> bool:
    """Return whether a text is a repo's name, with or without its owner."""
    # The length comes first: grids ask this for every cell, of names as long as the file.
    return len(name) <= 2 * 96 + 1 and re.fullmatch(REPO_PATTERN, name) is not None


def is_local(model: str) -> bool:
    """Return whether a reference is a local directory."""
    return re.fullmatch(DIRECTORY_PATTERN, model) is not None


# Validators


@dataclass(frozen=True)
class ValidationContext:
    """The manifest's surroundings, for validators.

    Attributes:
        folder: where relative paths start.
        check_directories: whether local directories have to exist.
    """

    folder: Path
    check_directories: bool = False


def refuse(value: str, why: str, code: ErrorCode = ErrorCode.VALUE_NOT_ALLOWED) -> NoReturn:
    """Raise the validation error for a value.

    Args:
        value: the refused text.
        why: the rest of a sentence that begins with the text.
        code: the problem's code.
    """
    context = {"refused": quoted(value), "why": why, "code": code}
    raise PydanticCustomError("refused", "{refused} {why}", context)


@dataclass(frozen=True)
class _Matches:
    """Checks text against a pattern, in validation and in the JSON Schema.

    Attributes:
        pattern: a regular expression for the whole text.
        rule: what the text is not, and what to write: "is not a tag: use ...".
        subject: what the text names, if people paste URLs in its place.
    """

    pattern: str
    rule: str
    subject: Subject | None = None

    def _check(self, value: str) -> str:
        # The pattern of a repo id matches hf.co/gpt2.
        if self.subject and (advice := advice_for_url(value, self.subject)):
            refuse(without_credentials(value), advice)
        return value if re.fullmatch(self.pattern, value) else refuse(value, self.rule)

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # patternErrorMessage is not in the standard: editors display it instead of the pattern.
        text = {"pattern": f"^(?:{self.pattern})$", "patternErrorMessage": self.rule}
        return {**handler(schema), **text}


def text_of(value: object) -> object:
    """Return a scalar's text as the file has it: 1e3 and 0123456 are not numbers here."""
    return value.text if isinstance(value, Scalar) and value.tag != "null" else value


def _value_of(value: object) -> object:
    return value.value if isinstance(value, Scalar) else value


def text_as_list(value: object) -> object:
    """Return a single text as a list of one."""
    return [value] if isinstance(text_of(value), str) else value


def mapping_as_list(value: object) -> object:
    """Return a single mapping as a list of one."""
    return value if isinstance(value, list) or value is None else [value]


def unique(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    """Return the values without repetitions, in order."""
    return tuple(dict.fromkeys(values))


def _existing(value: str, info: ValidationInfo) -> str:
    context = info.context
    if (
        isinstance(context, ValidationContext)
        and context.check_directories
        and is_local(value)
        and not _is_directory(context.folder / value)
    ):
        why = "is not a directory: paths start from the manifest's own folder"
        refuse(value, why, ErrorCode.NO_SUCH_DIRECTORY)
    return value


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long
        return False


def _known_placeholders(template: str) -> str:
    for found in re.findall(r"\{[^{}]*\}|[{}]", template):
        if found not in _PLACEHOLDERS:
            refuse(found, f"is not a placeholder: write {' or '.join(_PLACEHOLDERS)}")
    return template


def _known_license(value: str) -> str:
    if value in hub_ids.licenses():
        return value
    near = hub_ids.nearest_license(value)
    advice = f"did you mean '{near}'?" if near else "use one such as 'apache-2.0' or 'mit'."
    refuse(value, f"is not a license id of the Hub: {advice} For any other license, write 'other'.")


def _known_language(value: str) -> str:
    if value in hub_ids.languages():
        return value
    near = hub_ids.nearest_language(value)
    name = hub_ids.languages().get(near or "")
    meant = f"'{near}' ({name})" if name else f"'{near}'"
    advice = f"did you mean {meant}?" if near else "use one of ISO 639, such as 'en' or 'no'"
    refuse(value, f"is not a language code of the Hub: {advice}")


def required_unless(other: str) -> AfterValidator:
    """Return a validator that requires a key unless an earlier key has a value or is wrong."""

    def check(value: _Item, info: ValidationInfo) -> _Item:
        if value is None and info.data.get(other, other) is None:
            keys = {"keys": (other, info.field_name)}
            raise PydanticCustomError("neither", "one of two keys is missing", keys)
        return value

    return AfterValidator(check)


# Parts of the JSON Schema


def or_one_item(schema: dict[str, Any]) -> None:
    """Change the JSON Schema of a list so that it also accepts a single item."""
    keys = [key for key in ("type", "items", "minItems") if key in schema]
    array = {key: schema.pop(key) for key in keys}
    schema["anyOf"] = [array["items"], array]


def needs_one_of(*keys: str) -> dict[str, Any]:
    """Return a JSON Schema that requires one of several keys."""
    return {"anyOf": [{"required": [key]} for key in keys]}


# Annotated types

TextField = Annotated[str, Strict(), BeforeValidator(text_of)]
FlagField = Annotated[bool, Strict(), Field(examples=[True]), BeforeValidator(_value_of)]
TokenIdField = Annotated[int, Strict(), Field(ge=0, examples=[50256]), BeforeValidator(_value_of)]
DtypeField = Annotated[Dtype, BeforeValidator(text_of)]
WeightFormatField = Annotated[WeightFormat, BeforeValidator(text_of)]
CheckField = Annotated[Check, BeforeValidator(text_of)]
SeedField = Annotated[int, Strict(), Field(ge=0, lt=2**32), BeforeValidator(_value_of)]
OwnerField = Annotated[
    TextField,
    _Matches(
        rf"(?!.*(?:--|\.\.)){_NAME}",
        "is not a user or organization: use letters, digits, '-', '_' and '.'",
        "owner",
    ),
]
RepoField = Annotated[TextField, _Matches(REPO_PATTERN, REPO_RULE, "repo")]
TemplateField = Annotated[
    TextField,
    AfterValidator(_known_placeholders),
    _Matches(f"(?:{_TEMPLATE_PART}/)?{_TEMPLATE_PART}", REPO_RULE, "repo"),
]
RepoOrDirectoryField = Annotated[
    TextField,
    _Matches(
        f"{DIRECTORY_PATTERN}|{REPO_PATTERN}",
        "is not a repo id or a local directory: write owner/name,"
        " or a path that starts with ./, ../ or /",
        "source",
    ),
    AfterValidator(_existing),
]
RevisionField = Annotated[
    TextField,
    _Matches(REVISION_PATTERN, "is not a git revision: use a branch, a tag or a commit hash"),
]
LicenseField = Annotated[
    TextField,
    Field(json_schema_extra={"enum": [*hub_ids.licenses()]}),
    AfterValidator(_known_license),
    _Matches(
        LICENSE_PATTERN,
        "is not a license id: use one of the Hub's, such as 'apache-2.0', 'mit' or 'other'",
    ),
]
LanguageField = Annotated[
    TextField,
    AfterValidator(_known_language),
    _Matches(LANGUAGE_PATTERN, "is not a language code: use one of ISO 639, such as 'en' or 'no'"),
]
CollectionField = Annotated[
    TextField,
    _Matches(
        _TITLE,
        "is not a collection: write its title, or owner/title, with single spaces between words,"
        " at most 60 characters",
        "collection",
    ),
]
TagField = Annotated[
    TextField,
    _Matches(
        r"(?=.{1,100}$)\S+(?: \S+)*",
        "is not a tag: use words with single spaces between them, at most 100 characters",
    ),
]
