"""The settings of the families in `ved.families.vision`; see `ved.families.settings`."""

from types import MappingProxyType

from ved.families.setting import FLAG, HARMLESS, NUMBER, RATE
from ved.families.settings import VIT, Settings

_ONLY_VIT = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "qkv_bias", "encoder_stride"),
    *("pooler_act", "pooler_output_size"),
)

# The encoder of images of a dual model has no pooler, and dropout in attention only.
_DUAL: Settings = {
    **{name: setting for name, setting in VIT.items() if name not in _ONLY_VIT},
    "attention_dropout": RATE,
}

CLIP_VISION: Settings = MappingProxyType(
    {
        **_DUAL,
        # The text half of the model, its initialization, and a relic of older classes
        "projection_dim": HARMLESS,
        "initializer_factor": NUMBER,
        "dropout": HARMLESS,
    }
)

SIGLIP_VISION: Settings = MappingProxyType({**_DUAL, "vision_use_head": FLAG})
