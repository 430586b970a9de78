"""The settings of a pair that decide the content of its checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ved.manifest.fields import Dtype, WeightFormat
from ved.manifest.pair_models import Pair


@dataclass(frozen=True)
class CheckpointSettings:
    """The settings that decide the content of a checkpoint.

    Attributes:
        token_ids: special token ids by role. They replace those of the decoder's config.
        seed: seed of the randomly initialized parameters. transformers uses 0.
        dtype: data type of all parameters. With "source", a parameter keeps the type of its source,
            and an initialized parameter gets the type of most of the decoder's parameters.
        weights: the weight files: "flax" for flax_model.msgpack, "safetensors" for
            model.safetensors in PyTorch's layout. The default is that of `ved assemble`, which
            replaces transformers' script; a pair of a manifest has a default of its own.
    """

    token_ids: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    dtype: Dtype = "source"
    weights: tuple[WeightFormat, ...] = ("flax", "safetensors")

    @classmethod
    def of(cls, pair: Pair) -> "CheckpointSettings":
        """Return the settings of a manifest's pair."""
        return cls(
            token_ids=pair.token_ids.model_dump(exclude_none=True),
            seed=pair.seed,
            dtype=pair.dtype,
            # Sorted, because their order in the manifest has no meaning.
            weights=tuple(sorted(pair.weights)),
        )
