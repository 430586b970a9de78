"""The models of a manifest: which keys each mapping of pairs.yaml has.

They are also the source of ``schema/pairs.schema.json``, so their descriptions are written for the
manifest's author.
"""

from pathlib import Path
from typing import Annotated, ClassVar

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
    _DIRECTORY,
    _REPO,
    _REVISION,
    MAX_PAIRS,
    CheckField,
    CollectionField,
    Context,
    DtypeField,
    FlagField,
    LanguageField,
    LicenseField,
    OwnerField,
    RepoField,
    RepoOrDirectoryField,
    RevisionField,
    SeedField,
    TagField,
    TemplateField,
    TextField,
    TokenIdField,
    WeightFormatField,
    _as_list,
    is_local,
    mapping_as_list,
    needs_one_of,
    or_one_item,
    refuse,
    required_unless,
    text_of,
    unique,
)
from ved.manifest.yaml_nodes import Location


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    # What messages call the value that is expected.
    form: ClassVar[str] = "a mapping"


class ConfigRef(_Model):
    """A repo, at a revision, or a local directory whose config is used."""

    form: ClassVar[str] = "a repo id, a local directory or a mapping"

    model: RepoOrDirectoryField = Field(
        description="Repo id, such as google/vit-base-patch16-224-in21k, or a local directory"
        " that starts with ./, ../ or /, relative to the manifest's own folder."
    )
    revision: RevisionField | None = Field(
        default=None, description="Branch, tag or commit of the repo; main if left out."
    )
    _directory: Path | None = PrivateAttr(default=None)

    def model_post_init(self, context: object) -> None:
        """Work out the local directory, if it is one."""
        folder = context.folder if isinstance(context, Context) else Path()
        self._directory = folder / self.model if is_local(self.model) else None

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
        if is_local(text):
            return {"model": text}
        model, at, revision = text.partition("@")
        return {"model": model, "revision": revision} if at else {"model": model}

    @field_validator("revision")
    @classmethod
    def _only_of_a_repo(cls, revision: str | None, info: ValidationInfo) -> str | None:
        if revision is not None and is_local(info.data.get("model", "")):
            refuse(revision, "is out of place: a local directory has no revision")
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
    allow_pickle: FlagField = Field(
        default=False,
        description="Read pickled weights (pytorch_model.bin) when the source has nothing else.",
    )


class TokenIds(_Model):
    """Special token ids of the checkpoint; one left out comes from the decoder."""

    decoder_start: TokenIdField | None = Field(
        default=None, description="Token that decoding starts with."
    )
    pad: TokenIdField | None = Field(
        default=None, description="Token that fills short sequences up."
    )
    eos: TokenIdField | None = Field(default=None, description="Token that ends a sequence.")


class _Shared(_Model):
    private: FlagField | None = Field(
        default=None,
        description="Whether the repo is private; if left out, one that is there stays as it is,"
        " and a new one follows its owner's setting on the Hub.",
    )
    license: LicenseField | None = Field(
        default=None,
        description="License id on the Hub, such as apache-2.0; if left out, the card states none:"
        " it is never guessed from the sources'.",
    )
    language: Annotated[tuple[LanguageField, ...], BeforeValidator(_as_list)] = Field(
        default=(),
        description="Language of the text, as an ISO 639 code such as en, or a list of them; if"
        " left out, the languages that the sources' cards agree on.",
        json_schema_extra=or_one_item,
    )
    tags: tuple[TagField, ...] = Field(
        default=(),
        description="Further tags of the model card, besides those that both sources have.",
    )
    seed: SeedField = Field(
        default=0,
        description="Seed of the parameters that no source has, such as cross-attention;"
        " 0 is what transformers uses.",
    )
    dtype: DtypeField = Field(
        default="source",
        description="Type of all parameters: float32, bfloat16 or float16; source leaves each as"
        " its source stores it.",
    )
    weights: Annotated[
        tuple[WeightFormatField, ...], BeforeValidator(_as_list), AfterValidator(unique)
    ] = Field(
        default=("flax", "safetensors"),
        min_length=1,
        description="Weight files to publish: flax (flax_model.msgpack), safetensors (PyTorch's"
        " layout, which PyTorch and Flax read), or both.",
        json_schema_extra=or_one_item,
    )
    check: CheckField = Field(
        default="load",
        description="What is done with a checkpoint once it is published: none; load downloads it"
        " again, compares every file, and loads its config, image processor and tokenizer;"
        " generate also runs the Flax code of its card, which takes memory for the whole model.",
    )
    collection: CollectionField | None = Field(
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
    description: TextField = Field(
        default="", description="Markdown for the model card, put there as it is."
    )
    adopt: FlagField = Field(
        default=False,
        description="Publish to a repo that exists and that VED did not make.",
    )
    overwrite: FlagField = Field(
        default=False,
        description="Publish again although somebody changed what VED published there.",
    )


class Pair(PairSettings):
    """One checkpoint to publish, and what it is made of."""

    repo: RepoField = Field(
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

    revision: RevisionField | None = Field(
        default=None, description="Revision that it has there; if left out, whichever it has."
    )


class Selector(_Model):
    """Cells of the grid: all that have what is named here."""

    model_config = ConfigDict(json_schema_extra=needs_one_of("encoder", "decoder"))

    encoder: SourceName | None = Field(
        default=None, description="Encoder of the cells; if left out, every one."
    )
    decoder: Annotated[SourceName | None, required_unless("encoder")] = Field(
        default=None,
        validate_default=True,
        description="Decoder of the cells; if left out, every one.",
    )


class Override(PairSettings, Selector):
    """What holds for some of the grid's cells, in place of what holds for all."""

    repo: TemplateField | None = Field(
        default=None, description="Repo to publish to, in place of the grid's; may be a template."
    )


class Grid(PairSettings):
    """Every encoder with every decoder, each a pair to publish; other keys hold for all of them."""

    encoders: tuple[SourceRef, ...] = Field(min_length=1, description="Pretrained vision encoders.")
    decoders: tuple[SourceRef, ...] = Field(min_length=1, description="Pretrained text decoders.")
    repo: TemplateField = Field(
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

    model_config = ConfigDict(title="VED manifest", json_schema_extra=needs_one_of("pairs", "grid"))

    namespace: OwnerField | None = Field(
        default=None, description="Owner of the repos that are named without one."
    )
    defaults: Defaults = Field(default_factory=Defaults)
    pairs: Annotated[tuple[Pair, ...], Field(min_length=1, max_length=MAX_PAIRS)] | None = Field(
        default=None, description="The checkpoints to publish."
    )
    grid: Annotated[
        Annotated[tuple[Grid, ...], Field(min_length=1)] | None,
        BeforeValidator(mapping_as_list),
        required_unless("pairs"),
    ] = Field(
        default=None,
        validate_default=True,
        description="Checkpoints to publish, after the pairs: every encoder with every decoder;"
        " one grid, or a list of them.",
        json_schema_extra=or_one_item,
    )
