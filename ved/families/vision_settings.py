"""The settings of the families in `ved.families.vision`; see `ved.families.settings`."""

from types import MappingProxyType

from ved.families.setting import (
    FLAG,
    HARMLESS,
    INITIAL_VALUE,
    NUMBER,
    OPTIONAL_NUMBER,
    OPTIONAL_POSITIVE_NUMBER,
    POSITIVE_NUMBER,
    RATE,
    SIZE,
    SQUARE,
)
from ved.families.settings import DINOV2, VIT, Settings

_ONLY_VIT = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "qkv_bias", "encoder_stride"),
    *("pooler_act", "pooler_output_size"),
)

# The encoder of images of a dual model has no pooler, and dropout in attention only.
_DUAL: Settings = {
    **{name: setting for name, setting in VIT.items() if name not in _ONLY_VIT},
    **dict.fromkeys(("image_size", "patch_size"), SQUARE),
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

DINOV2_WITH_REGISTERS: Settings = MappingProxyType(
    {
        # Its class always has a mask token.
        **{name: setting for name, setting in DINOV2.items() if name != "use_mask_token"},
        "num_register_tokens": SIZE,
    }
)

_BACKBONE = ("apply_layernorm", "reshape_hidden_states", "out_features", "out_indices")

DINOV3: Settings = MappingProxyType(
    {
        **_DUAL,
        **{name: DINOV2[name] for name in (*_BACKBONE, "stage_names")},
        "num_register_tokens": SIZE,
        "rope_theta": POSITIVE_NUMBER,
        **dict.fromkeys(("query_bias", "key_bias", "value_bias", "proj_bias", "mlp_bias"), FLAG),
        "use_gated_mlp": FLAG,
        "layerscale_value": INITIAL_VALUE,
        "drop_path_rate": RATE,
        # Training moves positions at random.
        "pos_embed_shift": OPTIONAL_NUMBER,
        "pos_embed_jitter": OPTIONAL_POSITIVE_NUMBER,
        "pos_embed_rescale": OPTIONAL_POSITIVE_NUMBER,
    }
)
