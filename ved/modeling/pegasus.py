"""The decoder of PEGASUS: that of mBART with sinusoids as positions.

PyTorch stores the sinusoids as if they were parameters. `ved.modeling.bart` explains the rest.

Source: https://arxiv.org/abs/1912.08777, and PegasusForCausalLM of transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from numpy.typing import NDArray

from ved.modeling.bart_settings import BartSettings
from ved.modeling.layers import Dtype
from ved.modeling.settings import Only
from ved.modeling.sinusoids import sinusoid_table


@dataclass(frozen=True, kw_only=True)
class PegasusSettings(BartSettings):
    """The settings of the decoder of PEGASUS."""

    pad_token_id: int = 0

    norm_first: ClassVar[bool] = True
    ONLY: ClassVar[Only] = MappingProxyType(
        {
            "add_bias_logits": (False,),
            "add_final_layer_norm": (True,),
            "normalize_before": (True,),
            "normalize_embedding": (False,),
            "static_position_embeddings": (True,),
            "extra_pos_embeddings": (0, 1, 2),
        }
    )

    @property
    def untrained_token(self) -> int | None:
        """See `BartSettings`: texts begin with the pad token, which PyTorch does not train."""
        return self.pad_token_id

    @property
    def norms_embeddings(self) -> bool:
        """See `BartSettings`."""
        return False

    @property
    def buffers(self) -> Mapping[str, NDArray[Any]]:
        """The sinusoids: float32 (positions, width), by the name of the only buffer."""
        table = sinusoid_table(self.max_position_embeddings, self.d_model)
        return {"model.decoder.embed_positions.weight": table}

    def position_states(self, position_ids: jax.Array, dtype: Dtype) -> jax.Array:
        """Return the embeddings of positions: (batch, tokens, width)."""
        table = sinusoid_table(self.max_position_embeddings, self.d_model)
        return jnp.asarray(table, dtype)[position_ids]
