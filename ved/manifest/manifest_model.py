"""The model of a whole manifest: the keys at the top of pairs.yaml."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from ved.manifest.fields import (
    MAX_PAIRS,
    OwnerField,
    mapping_as_list,
    needs_one_of,
    or_one_item,
    required_unless,
)
from ved.manifest.grid_models import Grid
from ved.manifest.pair_models import Defaults, ManifestModel, Pair

_PAIR = {
    "repo": "vit-gpt2",
    "encoder": "google/vit-base-patch16-224-in21k",
    "decoder": "openai-community/gpt2",
}
_GRID = {"encoders": [_PAIR["encoder"], "facebook/dinov2-base"], "decoders": [_PAIR["decoder"]]}


class File(ManifestModel):
    """Pairs of a vision encoder and a text decoder that VED assembles and publishes."""

    model_config = ConfigDict(title="VED manifest", json_schema_extra=needs_one_of("pairs", "grid"))

    namespace: OwnerField | None = Field(
        default=None,
        description="Owner of the repos whose names have no owner.",
        examples=["my-org"],
    )
    defaults: Defaults = Field(
        default_factory=Defaults, examples=[{"private": False, "license": "apache-2.0"}]
    )
    pairs: Annotated[tuple[Pair, ...], Field(min_length=1, max_length=MAX_PAIRS)] | None = Field(
        default=None, description="The checkpoints to publish.", examples=[[_PAIR]]
    )
    grid: Annotated[
        Annotated[tuple[Grid, ...], Field(min_length=1)] | None,
        BeforeValidator(mapping_as_list),
        required_unless("pairs"),
    ] = Field(
        default=None,
        validate_default=True,
        description="More checkpoints to publish: every encoder with every decoder. One grid, or a"
        " list of grids.",
        examples=[_GRID],
        json_schema_extra=or_one_item,
    )
