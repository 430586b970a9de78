"""The configuration class of each family; see `ved.families.config_class`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ved.families.config_class import ConfigClass, Settings

_Computed = Mapping[str, Callable[[Settings], Any]]

# Encoders


def _stage_names(settings: Settings) -> list[str]:
    stages = len(settings["depths"]) if "depths" in settings else settings["num_hidden_layers"]
    return ["stem", *(f"stage{number}" for number in range(1, stages + 1))]


# The classes that return feature maps. By default they return the last one.
_BACKBONE: _Computed = {
    "stage_names": _stage_names,
    "out_features": lambda settings: settings["stage_names"][-1:],
    "out_indices": lambda settings: [len(settings["stage_names"]) - 1],
}
_POOLER: _Computed = {
    "pooler_output_size": lambda each: each["pooler_output_size"] or each["hidden_size"]
}

VIT = ConfigClass("vit", defaults={"encoder_stride": 16}, computed=_POOLER)
IJEPA = ConfigClass("ijepa", computed=_POOLER)
DEIT = ConfigClass("deit", defaults={"encoder_stride": 16}, computed=_POOLER)

BEIT = ConfigClass(
    "beit",
    defaults={
        "vocab_size": 8192,
        "pool_scales": [1, 2, 3, 6],
        "use_auxiliary_head": True,
        "auxiliary_loss_weight": 0.4,
        "auxiliary_channels": 256,
        "auxiliary_num_convs": 1,
        "auxiliary_concat_input": False,
        "semantic_loss_ignore_index": 255,
        "add_fpn": False,
        "reshape_hidden_states": True,
    },
    computed=_BACKBONE,
)

_OF_DINOV2: Settings = {"mlp_ratio": 4, "apply_layernorm": True, "reshape_hidden_states": True}
DINOV2 = ConfigClass("dinov2", defaults=_OF_DINOV2, computed=_BACKBONE)
DINOV2_WITH_REGISTERS = ConfigClass(
    "dinov2_with_registers",
    defaults=_OF_DINOV2,
    without=("use_mask_token",),
    computed=_BACKBONE,
)

_ONE_DROPOUT = MappingProxyType({"attention_probs_dropout_prob": "attention_dropout"})
DINOV3_VIT = ConfigClass("dinov3_vit", names=_ONE_DROPOUT, without=("hidden_dropout_prob",))
CLIP_VISION = ConfigClass(
    "clip_vision_model",
    defaults={"projection_dim": 512, "initializer_factor": 1.0},
    names=_ONE_DROPOUT,
    without=("hidden_dropout_prob",),
)
SIGLIP_VISION = ConfigClass(
    "siglip_vision_model",
    names=_ONE_DROPOUT,
    without=("hidden_dropout_prob", "initializer_range", "vision_use_head"),
)

_STAGES: _Computed = {
    "num_layers": lambda settings: len(settings["depths"]),
    "hidden_size": lambda settings: settings["embed_dim"] * 2 ** (len(settings["depths"]) - 1),
}
_OF_SWIN: Settings = {"use_absolute_embeddings": False, "encoder_stride": 32}
SWIN = ConfigClass("swin", defaults=_OF_SWIN, computed={**_STAGES, **_BACKBONE})
SWINV2 = ConfigClass("swinv2", defaults=_OF_SWIN, computed={**_STAGES, **_BACKBONE})
DONUT_SWIN = ConfigClass(
    "donut-swin", defaults={"use_absolute_embeddings": False}, computed=_STAGES
)

# Decoders

GPT2 = ConfigClass(
    "gpt2",
    defaults={
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "summary_activation": None,
        "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True,
        "use_cache": True,
        "reorder_and_upcast_attn": False,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
    },
    other_names={
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    },
)

_OF_BERT: Settings = {
    "position_embedding_type": "absolute",
    "use_cache": True,
    "classifier_dropout": None,
}
_OF_ROBERTA: Settings = {**_OF_BERT, "bos_token_id": 0, "eos_token_id": 2}
BERT = ConfigClass("bert", defaults={**_OF_BERT, "pad_token_id": 0})
ROBERTA = ConfigClass("roberta", defaults=_OF_ROBERTA)
XLM_ROBERTA = ConfigClass("xlm-roberta", defaults=_OF_ROBERTA)
ROBERTA_PRELAYERNORM = ConfigClass("roberta-prelayernorm", defaults=_OF_ROBERTA)
ELECTRA = ConfigClass(
    "electra",
    defaults={
        **_OF_BERT,
        "pad_token_id": 0,
        "summary_type": "first",
        "summary_use_proj": True,
        "summary_activation": "gelu",
        "summary_last_dropout": 0.1,
    },
)
BERT_GENERATION = ConfigClass(
    "bert-generation",
    defaults={
        "position_embedding_type": "absolute",
        "use_cache": True,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 1,
    },
    without=("type_vocab_size",),
)

_BOTH_HALVES: Settings = {
    "use_cache": True,
    "encoder_layers": 12,
    "encoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "encoder_layerdrop": 0.0,
    "is_encoder_decoder": True,
}
_TOKENS: Settings = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
_WITHOUT_RANGE = ("initializer_range",)
_OF_ENCODER: Mapping[str, str] = {
    "hidden_size": "d_model",
    "num_attention_heads": "encoder_attention_heads",
}
_LAYERS: _Computed = {
    "num_hidden_layers": lambda each: each.get("num_hidden_layers", each["encoder_layers"])
}


def _forced_bos(settings: Settings) -> Any:
    """Return the setting of which `force_bos_token_to_be_generated` is an older form."""
    forced = settings["forced_bos_token_id"]
    is_forced = forced is None and settings.get("force_bos_token_to_be_generated")
    return settings["bos_token_id"] if is_forced else forced


_OF_BART: Settings = {
    **_BOTH_HALVES,
    **_TOKENS,
    "classifier_dropout": 0.0,
    "forced_eos_token_id": 2,
}
BART = ConfigClass(
    "bart",
    defaults={**_OF_BART, "decoder_start_token_id": 2},
    without=_WITHOUT_RANGE,
    other_names=_OF_ENCODER,
    computed={**_LAYERS, "forced_bos_token_id": _forced_bos},
    num_labels=3,
)
MBART = ConfigClass(
    "mbart",
    defaults=_OF_BART,
    without=_WITHOUT_RANGE,
    other_names=_OF_ENCODER,
    computed=_LAYERS,
)
PEGASUS = ConfigClass(
    "pegasus",
    defaults={
        **_BOTH_HALVES,
        "eos_token_id": 1,
        "forced_eos_token_id": 1,
        "decoder_start_token_id": 0,
    },
    without=_WITHOUT_RANGE,
    other_names=_OF_ENCODER,
    computed=_LAYERS,
)
TROCR = ConfigClass(
    "trocr",
    defaults={"use_cache": True, **_TOKENS, "decoder_start_token_id": 2},
    without=_WITHOUT_RANGE,
    other_names={
        "hidden_size": "d_model",
        "num_attention_heads": "decoder_attention_heads",
        "num_hidden_layers": "decoder_layers",
    },
)
XGLM = ConfigClass(
    "xglm",
    defaults={
        "use_cache": True,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
    },
    names={
        "decoder_layers": "num_layers",
        "decoder_attention_heads": "attention_heads",
        "decoder_ffn_dim": "ffn_dim",
        "decoder_layerdrop": "layerdrop",
    },
    without=_WITHOUT_RANGE,
    other_names={
        "hidden_size": "d_model",
        "num_attention_heads": "attention_heads",
        "num_hidden_layers": "num_layers",
    },
)
