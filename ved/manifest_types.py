"""The types of a manifest: what each key of pairs.yaml may hold.

They are also the source of ``schema/pairs.schema.json``, by which editors complete and check a
manifest, so their descriptions speak to the manifest's author.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PrivateAttr,
    Strict,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ved import licenses, stated
from ved.yamlfile import Location, Scalar, quoted

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
_PLACEHOLDERS = ("{encoder}", "{decoder}")
_TEMPLATE_PART = rf"(?:[A-Za-z0-9._-]|{'|'.join(map(re.escape, _PLACEHOLDERS))}){{1,96}}"


@dataclass(frozen=True)
class Context:
    """What validation needs to know of the manifest's surroundings."""

    folder: Path
    check_directories: bool = False


def _refuse(value: str, why: str) -> NoReturn:
    raise PydanticCustomError("refused", "{refused} {why}", {"refused": quoted(value), "why": why})


@dataclass(frozen=True)
class _Matches:
    """Holds text to a pattern, in validation and in the JSON Schema alike."""

    pattern: str
    why: str

    def _check(self, value: str) -> str:
        return value if re.fullmatch(self.pattern, value) else _refuse(value, self.why)

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


def _listed(value: object) -> object:
    return [value] if isinstance(text_of(value), str) else value


def _listed_mapping(value: object) -> object:
    return value if isinstance(value, list) or value is None else [value]


def _each_once(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    return tuple(dict.fromkeys(values))


def _or_one_of_them(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [schema["items"], {"type": schema.pop("type"), "items": schema.pop("items")}]


def is_repo(name: str) -> bool:
    """Tell whether text is a repo's name, with or without an owner."""
    # Length first: a grid asks this of every cell, and the parts may be as long as the file.
    return len(name) <= 2 * 96 + 1 and re.fullmatch(_REPO, name) is not None


def _existing(value: str, info: ValidationInfo) -> str:
    context = info.context
    if isinstance(context, Context) and context.check_directories and _is_local(value):
        try:
            exists = (context.folder / value).is_dir()
        except OSError:  # such as a name that is too long
            exists = False
        if not exists:
            _refuse(value, "is not a directory: paths start from the manifest's own folder")
    return value


def _is_local(model: str) -> bool:
    return re.fullmatch(_DIRECTORY, model) is not None


def _known_placeholders(template: str) -> str:
    for found in re.findall(r"\{[^{}]*\}|[{}]", template):
        if found not in _PLACEHOLDERS:
            _refuse(found, f"is not a placeholder: write {' or '.join(_PLACEHOLDERS)}")
    return template


def _unless(other: str) -> AfterValidator:
    """Require a value where another key, declared before, has none and is not wrong itself."""

    def check(value: _Item, info: ValidationInfo) -> _Item:
        if value is None and info.data.get(other, other) is None:
            keys = {"keys": (other, info.field_name)}
            raise PydanticCustomError("neither", "one of two keys is missing", keys)
        return value

    return AfterValidator(check)


def _needs_one_of(*keys: str) -> dict[str, Any]:
    return {"anyOf": [{"required": [key]} for key in keys]}


_Text = Annotated[str, Strict(), BeforeValidator(text_of)]
_Flag = Annotated[bool, Strict(), BeforeValidator(_value)]
_TokenId = Annotated[int, Strict(), Field(ge=0), BeforeValidator(_value)]
_Dtype = Annotated[Dtype, BeforeValidator(text_of)]
_WeightFormat = Annotated[WeightFormat, BeforeValidator(text_of)]
_Check = Annotated[Check, BeforeValidator(text_of)]
_Seed = Annotated[int, Strict(), Field(ge=0, lt=2**32), BeforeValidator(_value)]
_Owner = Annotated[
    _Text,
    _Matches(
        rf"(?!.*(?:--|\.\.)){_NAME}",
        "is not a user or organization: use letters, digits, '-', '_' and '.'",
    ),
]
_Repo = Annotated[_Text, _Matches(_REPO, REPO_RULE)]
_Template = Annotated[
    _Text,
    AfterValidator(_known_placeholders),
    _Matches(f"(?:{_TEMPLATE_PART}/)?{_TEMPLATE_PART}", REPO_RULE),
]
_RepoOrDirectory = Annotated[
    _Text,
    _Matches(
        f"{_DIRECTORY}|{_REPO}",
        "is not a repo id or a local directory: write owner/name,"
        " or a path that starts with ./, ../ or /",
    ),
    AfterValidator(_existing),
]
_Revision = Annotated[
    _Text,
    _Matches(_REVISION, "is not a git revision: use a branch, a tag or a commit hash"),
]
_License = Annotated[
    _Text,
    _Matches(
        licenses.ID,
        "is not a license id: use the Hub's, such as 'apache-2.0', 'mit' or 'other'",
    ),
]
_Language = Annotated[
    _Text,
    _Matches(
        stated.LANGUAGE,
        "is not a language code: use ISO 639's, such as 'en' or 'no'",
    ),
]
_Collection = Annotated[
    _Text,
    _Matches(
        _TITLE,
        "is not a collection: write its title, or owner/title, with single spaces between words,"
        " at most 60 characters",
    ),
]
_Tag = Annotated[
    _Text,
    _Matches(
        r"(?=.{1,100}$)\S+(?: \S+)*",
        "is not a tag: use words with single spaces between them, at most 100 characters",
    ),
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    # What messages call the value that is expected.
    form: ClassVar[str] = "a mapping"


class ConfigRef(_Model):
    """A repo, at a revision, or a local directory whose config is used."""

    form: ClassVar[str] = "a repo id, a local directory or a mapping"

    model: _RepoOrDirectory = Field(
        description="Repo id, such as google/vit-base-patch16-224-in21k, or a local directory"
        " that starts with ./, ../ or /, relative to the manifest's own folder."
    )
    revision: _Revision | None = Field(
        default=None, description="Branch, tag or commit of the repo; main if left out."
    )
    _directory: Path | None = PrivateAttr(default=None)

    def model_post_init(self, context: object) -> None:
        """Work out the local directory, if it is one."""
        folder = context.folder if isinstance(context, Context) else Path()
        self._directory = folder / self.model if _is_local(self.model) else None

    @property
    def directory(self) -> Path | None:
        """The local directory, from the manifest's own folder; None for a repo."""
        return self._directory

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        text = text_of(value)
        if not isinstance(text, str):
            return text
        if _is_local(text):
            return {"model": text}
        model, at, revision = text.partition("@")
        return {"model": model, "revision": revision} if at else {"model": model}

    @field_validator("revision")
    @classmethod
    def _only_of_a_repo(cls, revision: str | None, info: ValidationInfo) -> str | None:
        if revision is not None and _is_local(info.data.get("model", "")):
            _refuse(revision, "is out of place: a local directory has no revision")
        return revision

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Allow the short form as well: one string."""
        short = {
            "type": "string",
            "description": "Repo id, repo id@revision, or a local directory that starts with"
            " ./, ../ or /.",
            "pattern": f"^(?:{_DIRECTORY}|{_REPO}(?:@{_REVISION})?)$",
        }
        return {"anyOf": [short, handler(schema)]}


class SourceRef(ConfigRef):
    """A pretrained checkpoint: a repo, at a revision, or a local directory."""

    config: ConfigRef | None = Field(
        default=None,
        description="Another repo or local directory whose config replaces the checkpoint's own.",
    )
    allow_pickle: _Flag = Field(
        default=False,
        description="Read pickled weights (pytorch_model.bin) when the source has nothing else.",
    )


class TokenIds(_Model):
    """Special token ids of the checkpoint; one left out comes from the decoder."""

    decoder_start: _TokenId | None = Field(
        default=None, description="Token that decoding starts with."
    )
    pad: _TokenId | None = Field(default=None, description="Token that fills short sequences up.")
    eos: _TokenId | None = Field(default=None, description="Token that ends a sequence.")


class _Shared(_Model):
    private: _Flag | None = Field(
        default=None,
        description="Whether the repo is private; if left out, one that is there stays as it is,"
        " and a new one follows its owner's setting on the Hub.",
    )
    license: _License | None = Field(
        default=None,
        description="License id on the Hub, such as apache-2.0; if left out, the card states none:"
        " it is never guessed from the sources'.",
    )
    language: Annotated[tuple[_Language, ...], BeforeValidator(_listed)] = Field(
        default=(),
        description="Language of the text, as an ISO 639 code such as en, or a list of them; if"
        " left out, the languages that the sources' cards agree on.",
        json_schema_extra=_or_one_of_them,
    )
    tags: tuple[_Tag, ...] = Field(
        default=(),
        description="Further tags of the model card, besides those that both sources have.",
    )
    seed: _Seed = Field(
        default=0,
        description="Seed of the parameters that no source has, such as cross-attention;"
        " 0 is what transformers uses.",
    )
    dtype: _Dtype = Field(
        default="source",
        description="Type of all parameters: float32, bfloat16 or float16; source leaves each as"
        " its source stores it.",
    )
    weights: Annotated[
        tuple[_WeightFormat, ...], BeforeValidator(_listed), AfterValidator(_each_once)
    ] = Field(
        default=("flax", "safetensors"),
        min_length=1,
        description="Weight files to publish: flax (flax_model.msgpack), safetensors (PyTorch's"
        " layout, which PyTorch and Flax read), or both.",
        json_schema_extra=_or_one_of_them,
    )
    check: _Check = Field(
        default="load",
        description="What is done with a checkpoint once it is published: none; load downloads it"
        " again, compares every file, and loads its config, image processor and tokenizer;"
        " generate also runs the Flax code of its card, which takes memory for the whole model.",
    )
    collection: _Collection | None = Field(
        default=None,
        description="Collection on the Hub to put the repo into: owner/title, or a title alone for"
        " one of the namespace's or, without a namespace, of the repo's owner. If it is not there,"
        " it is made, private if all pairs that name it say private: true.",
    )


class Defaults(_Shared):
    """What holds for every pair that does not say otherwise; a pair's own value replaces it."""


class PairSettings(_Shared):
    """All keys of a pair but its name and its sources."""

    token_ids: TokenIds = Field(
        default_factory=TokenIds,
        description="Special token ids that differ from those of the decoder's config or tokenizer:"
        " decoder_start, pad, eos.",
    )
    description: _Text = Field(
        default="", description="Markdown for the model card, put there as it is."
    )
    adopt: _Flag = Field(
        default=False,
        description="Publish to a repo that exists and that VED did not make.",
    )
    overwrite: _Flag = Field(
        default=False,
        description="Publish again although somebody changed what VED published there.",
    )


class Pair(PairSettings):
    """One checkpoint to publish, and what it is made of."""

    repo: _Repo = Field(
        description="Repo to publish to: owner/name, or a name alone for one of the namespace's."
    )
    encoder: SourceRef = Field(
        description="Pretrained vision encoder: a repo id, id@revision, a local directory or a"
        " mapping."
    )
    decoder: SourceRef = Field(description="Pretrained text decoder, likewise.")
    _where: Location = PrivateAttr(default=Location("pairs.yaml", 1, 1))
    _locations: dict[str, Location] = PrivateAttr(default_factory=dict)

    @property
    def where(self) -> Location:
        """The place of the pair's own entry; of a grid's pair, that of what names its repo."""
        return self._where

    def location(self, key: str) -> Location:
        """Return the place of a key's value, also if a default; the pair's if it was not given."""
        return self._locations.get(key, self._where)

    def placed(self, where: Location, locations: dict[str, Location]) -> "Pair":
        """Return the pair at a place, with the places of its keys' values."""
        pair = self.model_copy()
        pair._where = where
        pair._locations = locations
        return pair

    def inheriting(self, defaults: Defaults, locations: dict[str, Location]) -> "Pair":
        """Return the pair with the defaults that it does not override, and with their places."""
        keys = defaults.model_fields_set - self.model_fields_set
        pair = self.model_copy(update={key: getattr(defaults, key) for key in keys})
        return pair.placed(self._where, {**locations, **self._locations})


class SourceName(ConfigRef):
    """A source of the grid, by the name that it has there."""

    revision: _Revision | None = Field(
        default=None, description="Revision that it has there; if left out, whichever it has."
    )


class Selector(_Model):
    """Cells of the grid: all that have what is named here."""

    model_config = ConfigDict(json_schema_extra=_needs_one_of("encoder", "decoder"))

    encoder: SourceName | None = Field(
        default=None, description="Encoder of the cells; if left out, every one."
    )
    decoder: Annotated[SourceName | None, _unless("encoder")] = Field(
        default=None,
        validate_default=True,
        description="Decoder of the cells; if left out, every one.",
    )


class Override(PairSettings, Selector):
    """What holds for some of the grid's cells, in place of what holds for all."""

    repo: _Template | None = Field(
        default=None, description="Repo to publish to, in place of the grid's; may be a template."
    )


class Grid(PairSettings):
    """Every encoder with every decoder, each a pair to publish; other keys hold for all of them."""

    encoders: tuple[SourceRef, ...] = Field(min_length=1, description="Pretrained vision encoders.")
    decoders: tuple[SourceRef, ...] = Field(min_length=1, description="Pretrained text decoders.")
    repo: _Template = Field(
        default="{encoder}-{decoder}",
        description="Repos to publish to, owner/name or name, in which {encoder} and {decoder}"
        " stand for the last part of the source's id or path.",
    )
    exclude: tuple[Selector, ...] = Field(default=(), description="Cells to leave out.")
    overrides: tuple[Override, ...] = Field(
        default=(),
        description="What differs for some cells; of what several entries say, the last holds.",
    )


class File(_Model):
    """Pairs of a vision encoder and a text decoder, for VED to assemble and publish."""

    model_config = ConfigDict(
        title="VED manifest", json_schema_extra=_needs_one_of("pairs", "grid")
    )

    namespace: _Owner | None = Field(
        default=None, description="Owner of the repos that are named without one."
    )
    defaults: Defaults = Field(default_factory=Defaults)
    pairs: Annotated[tuple[Pair, ...], Field(min_length=1, max_length=MAX_PAIRS)] | None = Field(
        default=None, description="The checkpoints to publish."
    )
    grid: Annotated[
        Annotated[tuple[Grid, ...], Field(min_length=1)] | None,
        BeforeValidator(_listed_mapping),
        _unless("pairs"),
    ] = Field(
        default=None,
        validate_default=True,
        description="Checkpoints to publish, after the pairs: every encoder with every decoder;"
        " one grid, or a list of them.",
        json_schema_extra=_or_one_of_them,
    )
