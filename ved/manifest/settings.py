"""What a manifest may say of a checkpoint's content."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ved.manifest.fields import Dtype, WeightFormat
from ved.manifest.models import Pair


@dataclass(frozen=True)
class CheckpointSettings:
    """What a manifest may say of a checkpoint's content.

    Attributes:
        token_ids: ids that come before those of the decoder's config, by role.
        seed: what fresh parameters are drawn with; 0 is what transformers uses.
        dtype: of all parameters; "source" leaves each as its source has it, and makes fresh ones
            what most of the decoder is stored in.
        weights: the files to write: flax_model.msgpack, model.safetensors in PyTorch's layout.
    """

    token_ids: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    dtype: Dtype = "source"
    weights: tuple[WeightFormat, ...] = ("flax", "safetensors")

    @classmethod
    def of(cls, pair: Pair) -> "CheckpointSettings":
        """Return what a manifest's entry says."""
        return cls(
            token_ids=pair.token_ids.model_dump(exclude_none=True),
            seed=pair.seed,
            dtype=pair.dtype,
            # Their order says nothing.
            weights=tuple(sorted(pair.weights)),
        )
