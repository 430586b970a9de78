"""The settings of each family's config that VED knows: one table.

Each setting is computed, refused, or does not change what the model computes. Others are unknown:
they are not published, and a plan warns of them. Source: the configuration classes of transformers
4.57 and 5 for the family, and its PyTorch and Flax classes in 4.57.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ved.families.setting import (
    ACTIVATION,
    ADAPTERS,
    FIRST_POSITION,
    FLAG,
    HARMLESS,
    INITIAL_VALUE,
    LABELS,
    LAYER_RATE,
    MAPPING,
    NUMBER,
    OPTIONAL_SIZE,
    RATE,
    RATIO,
    REMOVED,
    SIDES,
    SIZE,
    SIZE_LIST,
    SQUARE,
    TOKEN_TYPES,
    WHOLE_RATIO,
    Setting,
    flag,
    one_of,
    only,
)

Settings = Mapping[str, Setting]

_DTYPE = one_of(None, "float32", "float16", "bfloat16", "float64")
NO_CODE = "current transformers has no code for it"


def _all(setting: Setting, *names: str) -> Settings:
    return dict.fromkeys(names, setting)


GENERATION: Settings = {
    **_all(HARMLESS, "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "use_cache"),
    **_all(HARMLESS, "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id"),
    **_all(HARMLESS, "max_length", "min_length", "do_sample", "early_stopping", "num_beams"),
    **_all(HARMLESS, "num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p"),
    **_all(HARMLESS, "typical_p", "repetition_penalty", "length_penalty", "bad_words_ids"),
    **_all(HARMLESS, "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"),
    **_all(HARMLESS, "num_return_sequences", "output_scores", "return_dict_in_generate"),
    **_all(HARMLESS, "remove_invalid_values", "exponential_decay_length_penalty"),
    **_all(HARMLESS, "suppress_tokens", "begin_suppress_tokens", "forced_decoder_ids"),
    **_all(HARMLESS, "max_new_tokens", "min_new_tokens", "max_time", "min_p", "stop_strings"),
    **_all(HARMLESS, "epsilon_cutoff", "eta_cutoff", "penalty_alpha", "guidance_scale"),
    **_all(HARMLESS, "encoder_repetition_penalty", "renormalize_logits", "force_words_ids"),
    **_all(HARMLESS, "sequence_bias", "constraints", "low_memory", "cache_implementation"),
    **_all(HARMLESS, "assistant_confidence_threshold", "assistant_early_exit", "cache_config"),
    **_all(HARMLESS, "assistant_lookbehind", "target_lookbehind", "is_assistant"),
    **_all(HARMLESS, "decoder_input_ids", "disable_compile", "dola_layers", "generation_config"),
    **_all(HARMLESS, "max_matching_ngram_size", "num_assistant_tokens", "output_logits"),
    **_all(HARMLESS, "num_assistant_tokens_schedule", "prefill_chunk_size"),
    **_all(HARMLESS, "prompt_lookup_num_tokens", "return_legacy_cache", "token_healing"),
    **_all(HARMLESS, "assistant_ensemble_weight", "compile_config", "continuous_batching_config"),
    **_all(HARMLESS, "max_cache_len", "speculation_type", "top_h", "use_mtp"),
    "watermarking_config": HARMLESS,
}
"""The settings of generation. Source: `_get_global_generation_defaults` of PretrainedConfig in
transformers 4.57, and GenerationConfig of releases up to 5.24."""

_COMMON: Settings = {
    **_all(HARMLESS, "model_type", "architectures", "transformers_version", "tokenizer_class"),
    **_all(HARMLESS, "image_processor_type", "feature_extractor_type"),
    "dtype": _DTYPE,
    "torch_dtype": _DTYPE,
    # The classes for other tasks
    "id2label": LABELS,
    "label2id": MAPPING,
    "num_labels": HARMLESS,
    "problem_type": one_of(
        None, "regression", "single_label_classification", "multi_label_classification"
    ),
    **_all(HARMLESS, "finetuning_task", "task_specific_params", "prefix"),
    # Training
    **_all(HARMLESS, "gradient_checkpointing", "tf_legacy_loss", "use_bfloat16", "xla_device"),
    # The outputs of a class, loading and memory
    **_all(REMOVED, "return_dict", "output_attentions", "output_hidden_states", "torchscript"),
    **_all(REMOVED, "attn_implementation", "chunk_size_feed_forward", "output_past"),
    **_all(REMOVED, "name_or_path", "custom_pipelines", "quantization_config"),
    # VED sets these for the checkpoint.
    **_all(REMOVED, "is_decoder", "is_encoder_decoder", "add_cross_attention"),
    "cross_attention_hidden_size": HARMLESS,
    "tie_encoder_decoder": REMOVED,
    "pruned_heads": Setting(
        lambda value: not value, "an empty mapping", "Flax cannot prune heads", published=False
    ),
    "adapters": ADAPTERS,
    "tie_word_embeddings": FLAG,
    **GENERATION,
}

_SIZES = _all(SIZE, "hidden_size", "num_hidden_layers", "num_attention_heads")

_VISION: Settings = {
    **_COMMON,
    **_SIZES,
    "num_channels": SIZE,
    "image_size": SQUARE,
    "patch_size": SQUARE,
    "hidden_act": ACTIVATION,
    "layer_norm_eps": NUMBER,
    "initializer_range": NUMBER,
    **_all(RATE, "hidden_dropout_prob", "attention_probs_dropout_prob"),
}

# The classes that return feature maps
_BACKBONE = {
    **_all(HARMLESS, "reshape_hidden_states"),
    **_all(REMOVED, "out_features", "out_indices", "segmentation_indices", "stage_names"),
}

VIT: Settings = MappingProxyType(
    {
        **_VISION,
        **_all(SIDES, "image_size", "patch_size"),
        "intermediate_size": SIZE,
        "qkv_bias": FLAG,
        "pooler_act": ACTIVATION,
        "pooler_output_size": OPTIONAL_SIZE,
        "encoder_stride": HARMLESS,
    }
)

BEIT: Settings = MappingProxyType(
    {
        **_VISION,
        **_BACKBONE,
        "intermediate_size": SIZE,
        "layer_scale_init_value": NUMBER,
        "drop_path_rate": RATE,
        **_all(FLAG, "use_mask_token", "use_mean_pooling", "use_absolute_position_embeddings"),
        **_all(FLAG, "use_relative_position_bias", "use_shared_relative_position_bias"),
        **_all(HARMLESS, "vocab_size", "pool_scales", "use_auxiliary_head", "add_fpn"),
        **_all(HARMLESS, "auxiliary_loss_weight", "auxiliary_channels", "auxiliary_num_convs"),
        **_all(HARMLESS, "auxiliary_concat_input", "semantic_loss_ignore_index"),
    }
)

DINOV2: Settings = MappingProxyType(
    {
        **_VISION,
        **_BACKBONE,
        "mlp_ratio": WHOLE_RATIO,
        "layerscale_value": INITIAL_VALUE,
        "drop_path_rate": RATE,
        **_all(FLAG, "qkv_bias", "use_swiglu_ffn", "use_mask_token"),
        "apply_layernorm": HARMLESS,
    }
)

SWIN: Settings = MappingProxyType(
    {
        **{name: _VISION[name] for name in _VISION if name not in _SIZES},
        **_BACKBONE,
        **_all(SIDES, "image_size", "patch_size"),
        **_all(SIZE, "embed_dim", "window_size"),
        **_all(SIZE_LIST, "depths", "num_heads"),
        "mlp_ratio": RATIO,
        "drop_path_rate": RATE,
        "qkv_bias": FLAG,
        "use_absolute_embeddings": only(
            False, "PyTorch with transformers 4.57 fails to add these positions"
        ),
        **_all(
            only(True, "transformers has no code for it", published=False),
            *("path_norm", "patch_norm"),
        ),
        "encoder_stride": HARMLESS,
        # The class computes them from the others.
        **_all(REMOVED, *_SIZES, "num_layers"),
    }
)

SWINV2: Settings = MappingProxyType({**SWIN, "pretrained_window_sizes": SIZE_LIST})

GPT2: Settings = MappingProxyType(
    {
        **_COMMON,
        # The class has two names for each of these sizes.
        **_SIZES,
        **_all(SIZE, "vocab_size", "n_embd", "n_layer", "n_head", "n_positions"),
        "max_position_embeddings": SIZE,
        "n_inner": OPTIONAL_SIZE,
        "activation_function": ACTIVATION,
        "layer_norm_epsilon": NUMBER,
        "initializer_range": NUMBER,
        **_all(RATE, "resid_pdrop", "embd_pdrop", "attn_pdrop"),
        "scale_attn_weights": flag(flax_class_computes=lambda value: value),
        "scale_attn_by_inverse_layer_idx": flag(flax_class_computes=lambda value: not value),
        # PyTorch multiplies in another order and in float32, which Flax does, too.
        "reorder_and_upcast_attn": FLAG,
        **_all(HARMLESS, "summary_type", "summary_use_proj", "summary_activation"),
        **_all(HARMLESS, "summary_proj_to_labels", "summary_first_dropout"),
        # Relics of older classes, and of the training of GPT-SW3
        **_all(HARMLESS, "n_ctx", "n_special", "predict_special_tokens"),
        **_all(HARMLESS, "apply_query_key_layer_scaling"),
        "normalize_attention_scores": only(True, NO_CODE),
    }
)

BART: Settings = MappingProxyType(
    {
        **_COMMON,
        **_all(SIZE, "vocab_size", "max_position_embeddings", "d_model", "hidden_size"),
        **_all(SIZE, "decoder_layers", "decoder_attention_heads", "decoder_ffn_dim"),
        # The other half of the source
        **_all(SIZE, "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim"),
        **_all(SIZE, "num_hidden_layers", "num_attention_heads"),
        "encoder_layerdrop": LAYER_RATE,
        "activation_function": ACTIVATION,
        "init_std": NUMBER,
        "scale_embedding": FLAG,
        **_all(RATE, "dropout", "attention_dropout", "activation_dropout"),
        "decoder_layerdrop": LAYER_RATE,
        **_all(HARMLESS, "classifier_dropout", "classif_dropout", "save_step"),
        "force_bos_token_to_be_generated": HARMLESS,
        # Relics of older classes
        **_all(
            only(False, NO_CODE),
            *("add_bias_logits", "static_position_embeddings", "do_blenderbot_90_layernorm"),
        ),
        "normalize_embedding": only(True, NO_CODE),
        "extra_pos_embeddings": only(2, NO_CODE),
        **_all(only(False, NO_CODE), "normalize_before", "add_final_layer_norm"),
    }
)

BERT: Settings = MappingProxyType(
    {
        **_COMMON,
        **_SIZES,
        **_all(SIZE, "vocab_size", "intermediate_size", "max_position_embeddings"),
        "type_vocab_size": TOKEN_TYPES,
        "hidden_act": ACTIVATION,
        "layer_norm_eps": NUMBER,
        "initializer_range": NUMBER,
        **_all(RATE, "hidden_dropout_prob", "attention_probs_dropout_prob"),
        "classifier_dropout": HARMLESS,
        "position_embedding_type": only("absolute", "transformers 5 has no relative positions"),
        # The pooler of BERT in Chinese and of multilingual BERT
        **_all(HARMLESS, "directionality", "pooler_fc_size", "pooler_num_attention_heads"),
        **_all(HARMLESS, "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"),
    }
)

ROBERTA: Settings = MappingProxyType({**BERT, "pad_token_id": FIRST_POSITION})
