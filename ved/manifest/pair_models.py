"""The models of a pair: the keys of a pair, of its sources and of the defaults.

The JSON Schema and docs/manifest.md are generated from the models, so the descriptions of keys are
written for the manifest's author.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ved.manifest.fields import (
    DIRECTORY_PATTERN,
    REPO_PATTERN,
    REVISION_PATTERN,
    CheckField,
    CollectionField,
    DtypeField,
    FlagField,
    LanguageField,
    LicenseField,
    RepoField,
    RepoOrDirectoryField,
    RevisionField,
    SeedField,
    TagField,
    TextField,
    TokenIdField,
    ValidationContext,
    WeightFormatField,
    is_local,
    or_one_item,
    refuse,
    text_as_list,
    text_of,
    unique,
)
from ved.manifest.pasted_urls import advice_for_url
from ved.manifest.problems import Location


class ManifestModel(BaseModel):
    """The base of all models: immutable, and without keys that it does not declare."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    forms: ClassVar[str] = "a mapping"
    """The forms that a value may have, for messages."""


class ConfigRef(ManifestModel):
    """A repo, at a revision, or a local directory whose config is used."""

    forms: ClassVar[str] = "a repo id, a local directory or a mapping"

    model: RepoOrDirectoryField = Field(
        description="Repo id, such as google/vit-base-patch16-224-in21k, or a local directory"
        " that starts with ./, ../ or /, relative to the manifest's own folder.",
        examples=["google/vit-base-patch16-224-in21k", "./my-vit"],
    )
    revision: RevisionField | None = Field(
        default=None,
        description="Branch, tag or commit of the repo. If omitted: main.",
        examples=["main", "607a30d783dfa663caf39e06633721c8d4cfcd7e"],
    )
    _directory: Path | None = PrivateAttr(default=None)

    def model_post_init(self, context: object) -> None:
        """Set the local directory."""
        folder = context.folder if isinstance(context, ValidationContext) else Path()
        self._directory = folder / self.model if is_local(self.model) else None

    @property
    def directory(self) -> Path | None:
        """The local directory, relative to the manifest's own folder; None for a repo."""
        return self._directory

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        text = text_of(value)
        if not isinstance(text, str):
            return text
        if "@" not in text or is_local(text) or advice_for_url(text, "source"):
            return {"model": text}
        model, _, revision = text.partition("@")
        return {"model": model, "revision": revision}

    @field_validator("revision")
    @classmethod
    def _refuse_revision_of_directory(
        cls, revision: str | None, info: ValidationInfo
    ) -> str | None:
        if revision is not None and is_local(info.data.get("model", "")):
            refuse(revision, "cannot be here: a local directory has no revision")
        return revision

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Accept the short form as well: one text."""
        short = {
            "type": "string",
            "description": "Repo id, repo id@revision, or a local directory that starts with"
            " ./, ../ or /.",
            "pattern": f"^(?:{DIRECTORY_PATTERN}|{REPO_PATTERN}(?:@{REVISION_PATTERN})?)$",
            "examples": ["openai-community/gpt2", "openai-community/gpt2@main", "./my-gpt2"],
        }
        return {"anyOf": [short, handler(schema)]}


class SourceRef(ConfigRef):
    """A pretrained checkpoint: a repo, at a revision, or a local directory."""

    config: ConfigRef | None = Field(
        default=None,
        description="Another repo or local directory whose config replaces the checkpoint's own.",
        examples=["my-org/vit-config", {"model": "my-org/vit-config", "revision": "main"}],
    )
    allow_pickle: FlagField = Field(
        default=False,
        description="Read pickled weights (pytorch_model.bin) if the source has no others.",
    )
    weights_from: WeightFormatField | None = Field(
        default=None,
        description="Weight files of the source to read, if it has several: safetensors"
        " (model.safetensors) or flax (flax_model.msgpack). If omitted, the first of these that the"
        " source has.",
        examples=["flax"],
    )


class TokenIds(ManifestModel):
    """Special token ids of the checkpoint. An omitted id comes from the decoder."""

    decoder_start: TokenIdField | None = Field(
        default=None, description="Token that decoding starts with."
    )
    pad: TokenIdField | None = Field(default=None, description="Token that pads short sequences.")
    eos: TokenIdField | None = Field(default=None, description="Token that ends a sequence.")


class _Shared(ManifestModel):
    """The keys that pairs, grids, overrides and the defaults have in common."""

    private: FlagField | None = Field(
        default=None,
        description="Whether the repo is private. If omitted, an existing repo keeps its"
        " visibility, and a new one gets its owner's default.",
    )
    license: LicenseField | None = Field(
        default=None,
        description="License id on the Hub, such as apache-2.0. If omitted, the card states no"
        " license; VED does not guess one from the sources.",
        examples=["apache-2.0", "mit"],
    )
    language: Annotated[tuple[LanguageField, ...], BeforeValidator(text_as_list)] = Field(
        default=(),
        description="Language of the text as an ISO 639 code, such as en, or a list of codes. If"
        " omitted, the languages on which the sources' cards agree.",
        examples=["en", ["en", "de"]],
        json_schema_extra=or_one_item,
    )
    tags: tuple[TagField, ...] = Field(
        default=(),
        description="More tags for the model card, in addition to those that both sources have.",
        examples=[["captioning"]],
    )
    seed: SeedField = Field(
        default=0,
        description="Seed of the randomly initialized parameters, such as cross-attention."
        " transformers uses 0.",
        examples=[1],
    )
    dtype: DtypeField = Field(
        default="source",
        description="Data type of all parameters. With source, each parameter keeps the type that"
        " its source has.",
        examples=["float32"],
    )
    weights: Annotated[
        tuple[WeightFormatField, ...], BeforeValidator(text_as_list), AfterValidator(unique)
    ] = Field(
        default=("safetensors",),
        min_length=1,
        description="Weight files to publish: safetensors (model.safetensors, which PyTorch and"
        " Flax load), flax (flax_model.msgpack, which only Flax loads), or both.",
        examples=["safetensors", ["flax", "safetensors"]],
        json_schema_extra=or_one_item,
    )
    check: CheckField = Field(
        default="load",
        description="How a published checkpoint is checked. none: not at all. load: VED downloads"
        " and compares the files, and loads config, image processor and tokenizer. If the Hub"
        " stores a weight file by Xet, VED compares its Xet hash and samples, and does not download"
        " all of it. download: as load, but VED downloads every file completely. generate: as"
        " download, and VED runs the Flax code of the card. This needs memory for the whole model.",
        examples=["generate"],
    )
    collection: CollectionField | None = Field(
        default=None,
        description="Collection on the Hub to add the repo to: owner/title, or a title alone. A"
        " title alone belongs to the namespace or, without a namespace, to the repo's owner. A"
        " missing collection is created. It is private if all pairs that name it have private:"
        " true.",
        examples=["Warm starts", "my-org/Warm starts"],
    )


class Defaults(_Shared):
    """Values for all pairs. A pair's own value replaces the default."""


class PairSettings(_Shared):
    """All keys of a pair except its repo and its sources."""

    token_ids: TokenIds = Field(
        default_factory=TokenIds,
        description="Special token ids that differ from those of the decoder's config or tokenizer:"
        " decoder_start, pad, eos.",
        examples=[{"decoder_start": 0, "pad": 1, "eos": 2}],
    )
    description: TextField = Field(
        default="",
        description="Markdown for the model card, which contains it unchanged.",
        examples=["A starting point for captions of plants."],
    )
    adopt: FlagField = Field(
        default=False,
        description="Publish to an existing repo that was not created by VED.",
    )
    overwrite: FlagField = Field(
        default=False,
        description="Replace the repo's content even if someone has committed to it since VED's"
        " last build.",
    )


class Pair(PairSettings):
    """One checkpoint to publish, with its two sources."""

    repo: RepoField = Field(
        description="Repo to publish to: owner/name, or a name alone for a repo of the namespace.",
        examples=["vit-gpt2", "my-org/vit-gpt2"],
    )
    encoder: SourceRef = Field(
        description="Pretrained vision encoder: a repo id, id@revision, a local directory or a"
        " mapping.",
        examples=["google/vit-base-patch16-224-in21k", {"model": "./my-vit"}],
    )
    decoder: SourceRef = Field(
        description="Pretrained text decoder, in the same forms.",
        examples=["openai-community/gpt2", "openai-community/gpt2@main"],
    )
    _where: Location | None = PrivateAttr(default=None)
    _locations: Mapping[str, Location] = PrivateAttr(default_factory=dict)

    @property
    def where(self) -> Location:
        """The place of the pair's entry; for a grid's pair, of the value that names its repo."""
        return self._where or Location("pairs.yaml", 1, 1)

    def location(self, key: str) -> Location:
        """Return the place of a key's value or of its default, or else the pair's place."""
        return self._locations.get(key, self.where)

    def at(self, where: Location, locations: Mapping[str, Location]) -> "Pair":
        """Return a copy of the pair at a place, with the places of its keys' values."""
        pair = self.model_copy()
        pair._where, pair._locations = where, locations
        return pair

    def with_values(self, values: Mapping[str, Any], locations: Mapping[str, Location]) -> "Pair":
        """Return a copy of the pair with other values, at the same place.

        Args:
            values: the values by key.
            locations: the places of keys whose values have no place yet.
        """
        pair = self.model_copy(update=values)
        pair._locations = {**locations, **self._locations}
        return pair
