"""The models of a grid: its lists of sources, and the entries that select some of its cells.

A cell is one encoder with one decoder.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from ved.manifest.fields import RevisionField, TemplateField, needs_one_of, required_unless
from ved.manifest.pair_models import ConfigRef, ManifestModel, PairSettings, SourceRef


class SourceName(ConfigRef):
    """The name of a source in the grid's lists."""

    revision: RevisionField | None = Field(
        default=None,
        description="Revision that it has in the list. If omitted: any.",
        examples=["main"],
    )


class Selector(ManifestModel):
    """A selection of cells: those with this encoder, this decoder, or both."""

    model_config = ConfigDict(json_schema_extra=needs_one_of("encoder", "decoder"))

    encoder: SourceName | None = Field(
        default=None,
        description="Encoder of the cells. If omitted: every encoder.",
        examples=["facebook/dinov2-base"],
    )
    decoder: Annotated[SourceName | None, required_unless("encoder")] = Field(
        default=None,
        validate_default=True,
        description="Decoder of the cells. If omitted: every decoder.",
        examples=["openai-community/gpt2"],
    )


class Override(PairSettings, Selector):
    """Values for a selection of cells. They replace the grid's own values."""

    repo: TemplateField | None = Field(
        default=None,
        description="Repo to publish to. It may contain {encoder} and {decoder}, as the grid's.",
        examples=["dino-{decoder}"],
    )


class Grid(PairSettings):
    """Every encoder with every decoder, each a pair. The other keys are those of all pairs."""

    encoders: tuple[SourceRef, ...] = Field(
        min_length=1,
        description="Pretrained vision encoders.",
        examples=[["google/vit-base-patch16-224-in21k", "facebook/dinov2-base"]],
    )
    decoders: tuple[SourceRef, ...] = Field(
        min_length=1,
        description="Pretrained text decoders.",
        examples=[["openai-community/gpt2", "google-bert/bert-base-uncased"]],
    )
    repo: TemplateField = Field(
        default="{encoder}-{decoder}",
        description="Repos to publish to: owner/name or name. {encoder} and {decoder} are replaced"
        " by the last part of the source's id or path.",
        examples=["{encoder}-{decoder}", "my-org/{encoder}-{decoder}"],
    )
    exclude: tuple[Selector, ...] = Field(
        default=(),
        description="Cells to omit.",
        examples=[[{"encoder": "facebook/dinov2-base", "decoder": "openai-community/gpt2"}]],
    )
    overrides: tuple[Override, ...] = Field(
        default=(),
        description="Other values for some cells. If several entries set a key for a cell, the"
        " last one wins.",
        examples=[[{"encoder": "facebook/dinov2-base", "seed": 1}]],
    )
