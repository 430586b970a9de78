"""The decoder of mBART: that of BART, with the norms in other places.

The norms come before attention and feed-forward, and one more after the last layer. mBART was
trained on many languages. `ved.modeling.bart` explains the rest.

Source: https://arxiv.org/abs/2001.08210, and MBartForCausalLM of transformers.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from ved.modeling.bart_settings import BartSettings
from ved.modeling.settings import Only


@dataclass(frozen=True, kw_only=True)
class MBartSettings(BartSettings):
    """The settings of the decoder of mBART."""

    norm_first: ClassVar[bool] = True

    ONLY: ClassVar[Only] = MappingProxyType(
        {
            "add_bias_logits": (False,),
            "add_final_layer_norm": (True,),
            "do_blenderbot_90_layernorm": (False,),
            "normalize_before": (True,),
            "static_position_embeddings": (False,),
            "normalize_embedding": (True,),
            "extra_pos_embeddings": (2,),
        }
    )
