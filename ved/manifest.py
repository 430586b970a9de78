"""The manifest: pairs.yaml to typed values, or to every problem in it as file:line:column.

The types below are also the source of ``schema/pairs.schema.json``, by which editors complete and
check a manifest, so their descriptions speak to the manifest's author.
"""

import json
import re
from collections.abc import Iterable, Iterator
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
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ved.errors import RequestError
from ved.manifest_problems import problems_in
from ved.yamlfile import MAX_BYTES, Location, Node, Problem, Scalar, quoted, read

Dtype = Literal["source", "float32", "bfloat16", "float16"]
WeightFormat = Literal["flax", "safetensors"]

__all__ = [
    "ConfigRef",
    "Defaults",
    "Dtype",
    "Location",
    "Manifest",
    "ManifestError",
    "Pair",
    "Problem",
    "SourceRef",
    "TokenIds",
    "WeightFormat",
    "json_schema",
    "load",
    "loads",
    "write_schema",
]

# Patterns are whole-string and mean the same to Python and to ECMA 262, for the JSON Schema.
# Repo ids follow huggingface_hub.utils.validate_repo_id, in ASCII.
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPO = rf"(?![^@]*(?:--|\.\.))(?![^@]*\.git(?:@|$))(?:{_NAME}/)?{_NAME}"
# The part of git-check-ref-format(1) that needs no quoting anywhere.
_REVISION = (
    r"(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)))[A-Za-z0-9_](?:[A-Za-z0-9._/+-]{0,253}[A-Za-z0-9_+-])?"
)
_Item = TypeVar("_Item")
_DIRECTORY = r"\.\.?|\.{0,2}/[^\r\n\t]*"


@dataclass(frozen=True)
class _Context:
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
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}


def _text(value: object) -> object:
    """Where text is expected, 1e3 and 0123456 are what was written, not numbers."""
    return value.text if isinstance(value, Scalar) and value.kind != "null" else value


def _value(value: object) -> object:
    return value.value if isinstance(value, Scalar) else value


def _listed(value: object) -> object:
    return [value] if isinstance(_text(value), str) else value


def _each_once(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    return tuple(dict.fromkeys(values))


def _or_one_of_them(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [schema["items"], {"type": schema.pop("type"), "items": schema.pop("items")}]


def _existing(value: str, info: ValidationInfo) -> str:
    context = info.context
    if isinstance(context, _Context) and context.check_directories and _is_local(value):
        try:
            exists = (context.folder / value).is_dir()
        except OSError:  # such as a name that is too long
            exists = False
        if not exists:
            _refuse(value, "is not a directory: paths start from the manifest's own folder")
    return value


def _is_local(model: str) -> bool:
    return re.fullmatch(_DIRECTORY, model) is not None


_Text = Annotated[str, Strict(), BeforeValidator(_text)]
_Flag = Annotated[bool, Strict(), BeforeValidator(_value)]
_TokenId = Annotated[int, Strict(), Field(ge=0), BeforeValidator(_value)]
_Dtype = Annotated[Dtype, BeforeValidator(_text)]
_WeightFormat = Annotated[WeightFormat, BeforeValidator(_text)]
_Seed = Annotated[int, Strict(), Field(ge=0, lt=2**32), BeforeValidator(_value)]
_Owner = Annotated[
    _Text,
    _Matches(
        rf"(?!.*(?:--|\.\.)){_NAME}",
        "is not a user or organization: use letters, digits, '-', '_' and '.'",
    ),
]
_Repo = Annotated[
    _Text,
    _Matches(
        _REPO,
        "is not a repo name: use letters, digits, '_' and, between them, single '-' and '.',"
        " as in 'owner/name', without '.git' at the end",
    ),
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
        r"[a-z0-9](?:[a-z0-9.+-]{0,98}[a-z0-9+])?",
        "is not a license id: use the Hub's, such as 'apache-2.0', 'mit' or 'other'",
    ),
]
_Language = Annotated[
    _Text,
    _Matches(
        r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*|multilingual|code",
        "is not a language code: use ISO 639's, such as 'en' or 'no'",
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
        folder = context.folder if isinstance(context, _Context) else Path()
        self._directory = folder / self.model if _is_local(self.model) else None

    @property
    def directory(self) -> Path | None:
        """The local directory, from the manifest's own folder; None for a repo."""
        return self._directory

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        text = _text(value)
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
        default=None, description="License id on the Hub, such as apache-2.0."
    )
    language: Annotated[tuple[_Language, ...], BeforeValidator(_listed)] = Field(
        default=(),
        description="Language of the text, as an ISO 639 code such as en, or a list of them.",
        json_schema_extra=_or_one_of_them,
    )
    tags: tuple[_Tag, ...] = Field(default=(), description="Further tags of the model card.")
    seed: _Seed = Field(
        default=0,
        description="Seed of the parameters that no source has, such as cross-attention.",
    )
    dtype: _Dtype = Field(
        default="source",
        description="Type of all parameters; source leaves each as its source stores it.",
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


class Defaults(_Shared):
    """What holds for every pair that does not say otherwise; a pair's own value replaces it."""


class Pair(_Shared):
    """One checkpoint to publish, and what it is made of."""

    repo: _Repo = Field(
        description="Repo to publish to: owner/name, or a name alone for one of the namespace's."
    )
    encoder: SourceRef = Field(description="Pretrained vision encoder.")
    decoder: SourceRef = Field(description="Pretrained text decoder.")
    token_ids: TokenIds = Field(
        default_factory=TokenIds, description="Special token ids that differ from the decoder's."
    )
    description: _Text = Field(default="", description="Markdown that the model card begins with.")
    adopt: _Flag = Field(
        default=False,
        description="Publish to a repo that exists and that VED did not make.",
    )
    _where: Location = PrivateAttr(default=Location("pairs.yaml", 1, 1))
    _locations: dict[str, Location] = PrivateAttr(default_factory=dict)

    @property
    def where(self) -> Location:
        """The place of the pair's own entry."""
        return self._where

    def location(self, key: str) -> Location:
        """Return the place of a key's value, also if a default; the pair's if it was not given."""
        return self._locations.get(key, self._where)


class _File(_Model):
    """Pairs of a vision encoder and a text decoder, for VED to assemble and publish."""

    model_config = ConfigDict(title="VED manifest")

    namespace: _Owner | None = Field(
        default=None, description="Owner of the repos that are named without one."
    )
    defaults: Defaults = Field(default_factory=Defaults)
    pairs: tuple[Pair, ...] = Field(min_length=1, description="The checkpoints to publish.")


@dataclass(frozen=True)
class Manifest:
    """A manifest without a problem: its file's name as given, and its pairs, defaults merged in."""

    name: str
    pairs: tuple[Pair, ...]


class ManifestError(RequestError):
    """The manifest is wrong; ``problems`` has everything that is, in the file's order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        # A set, because what is wrong under an anchor is found again under each alias.
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def load(path: Path) -> Manifest:
    """Read a manifest and check that the local directories it names exist.

    Raises ManifestError, with every problem, also for a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise ManifestError([Problem(str(path), 1, 1, message)]) from error
    return _parse(data, str(path), _Context(path.parent, check_directories=True))


def loads(text: bytes, name: str = "pairs.yaml", folder: Path = Path()) -> Manifest:
    """Read a manifest from its bytes, without looking at the file system.

    Local directories are relative to ``folder``. Raises ManifestError, with every problem.
    """
    return _parse(text, name, _Context(folder))


def _parse(data: bytes, name: str, context: _Context) -> Manifest:
    document = read(data, name)
    root = document.root
    if root is None:
        raise ManifestError(document.problems)
    problems = [*document.problems, *_repo_problems(root)]
    try:
        file = _File.model_validate(root.value, context=context)
    except ValidationError as error:
        raise ManifestError([*problems, *problems_in(error, root, _File)]) from None
    if problems:
        raise ManifestError(problems)
    entries = root.find(["pairs"]).children.values()
    pairs = (
        _merged(pair, file, entry, root) for pair, entry in zip(file.pairs, entries, strict=True)
    )
    return Manifest(name, tuple(pairs))


def _merged(pair: Pair, file: _File, entry: Node, root: Node) -> Pair:
    """Return the pair with its owner, the defaults it does not override, and its places."""
    inherited = file.defaults.model_fields_set - pair.model_fields_set
    update: dict[str, Any] = {key: getattr(file.defaults, key) for key in inherited}
    update["repo"] = _full_name(pair.repo, file.namespace)
    merged = pair.model_copy(update=update)
    shared = root.children.get("defaults")
    children = {**(shared.children if shared else {}), **entry.children}
    merged._where = entry.where
    merged._locations = {str(key): child.where for key, child in children.items()}
    return merged


def _full_name(repo: str, namespace: object) -> str:
    return repo if "/" in repo or namespace is None else f"{namespace}/{repo}"


def _repo_problems(root: Node) -> Iterator[Problem]:
    """Find repos without an owner and repos named twice, also among pairs with other problems."""
    pairs = root.children.get("pairs")
    owner = root.children.get("namespace")
    namespace = _text(owner.value) if owner else None
    first: dict[str, Location] = {}
    for pair in pairs.children.values() if pairs and isinstance(pairs.value, list) else ():
        node = pair.children.get("repo")
        repo = _text(node.value) if node else None
        if node is None or not isinstance(repo, str) or not re.fullmatch(_REPO, repo):
            continue
        if "/" not in repo and namespace is None:
            message = f"{quoted(repo)} has no owner: write owner/{repo}, or set 'namespace'"
            yield Problem.at(node.where, message)
        full_name = _full_name(repo, namespace)
        # The Hub takes names that differ only in case for the same.
        key = full_name.lower()
        if key in first:
            message = f"{quoted(full_name)} is published twice, first on line {first[key].line}"
            yield Problem.at(node.where, message)
        first.setdefault(key, node.where)


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
    schema = _File.model_json_schema(schema_generator=_SchemaWriter)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def write_schema(path: Path) -> None:
    """Write the JSON Schema to a file."""
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
