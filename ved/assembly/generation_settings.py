"""Leave out the generation settings of a source: they belong to the task that it was trained for.

A summarizer's `min_length` or `num_beams` would decide how captions are generated. Some settings
contradict one another, and transformers then refuses to save the checkpoint. VED keeps token ids,
and the settings that name tokens which a vocabulary should never generate.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

NEUTRAL: Mapping[str, object] = {
    # In all configs of transformers 4, with these defaults. Source:
    # PretrainedConfig._get_global_generation_defaults.
    "bad_words_ids": None,
    "begin_suppress_tokens": None,
    "diversity_penalty": 0.0,
    "do_sample": False,
    "early_stopping": False,
    "encoder_no_repeat_ngram_size": 0,
    "exponential_decay_length_penalty": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "length_penalty": 1.0,
    "max_length": 20,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "output_scores": False,
    "remove_invalid_values": False,
    "repetition_penalty": 1.0,
    "return_dict_in_generate": False,
    "suppress_tokens": None,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    # In all configs, and not about generation alone: a text before each input, settings of named
    # tasks, and the width of the encoder that a decoder had before.
    "cross_attention_hidden_size": None,
    "prefix": None,
    "task_specific_params": None,
}
"""The settings that every config has and a checkpoint should not take over, with neutral values."""

_FURTHER = frozenset(
    (
        *("assistant_confidence_threshold", "assistant_early_exit", "assistant_lookbehind"),
        *("cache_config", "cache_implementation", "constraints", "decoder_input_ids"),
        *("disable_compile", "dola_layers", "encoder_repetition_penalty", "epsilon_cutoff"),
        *("eta_cutoff", "force_words_ids", "forced_decoder_ids", "generation_config"),
        *("guidance_scale", "is_assistant", "low_memory", "max_matching_ngram_size"),
        *("max_new_tokens", "max_time", "min_new_tokens", "min_p", "num_assistant_tokens"),
        *("num_assistant_tokens_schedule", "output_logits", "penalty_alpha", "prefill_chunk_size"),
        *("prompt_lookup_num_tokens", "renormalize_logits", "return_legacy_cache"),
        *("sequence_bias", "stop_strings", "target_lookbehind", "token_healing"),
        *("assistant_ensemble_weight", "compile_config", "continuous_batching_config"),
        *("max_cache_len", "speculation_type", "top_h", "use_mtp", "watermarking_config"),
    )
)
"""Generation settings that a config has only if its file has them. Source: GenerationConfig of
transformers up to 5.24."""

_NOT_TASK = frozenset(
    (
        *("bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id"),
        *("_from_model_config", "transformers_version", "use_cache"),
    )
)
"""The members of generation_config.json that are not about a task."""

_MAX_IDS = 10_000
_SETTING = re.compile("[a-z][a-z0-9_]{0,59}")


def without_task(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with neutral generation settings.

    The settings stay in the config. Without them, the defaults of its class would return: BART's
    has a `forced_eos_token_id`.

    Args:
        config: the content of a config.json.
    """
    kept = {name: value for name, value in config.items() if name not in _FURTHER}
    return {**kept, **NEUTRAL}


def kept_settings(
    config: Mapping[str, Any], generation: Mapping[str, Any], vocab_size: int
) -> dict[str, Any]:
    """Return the settings that name tokens which the decoder should never generate.

    Args:
        config: the content of the decoder's config.json.
        generation: the content of its generation_config.json, which takes precedence.
        vocab_size: the number of rows of its embedding.
    """
    kept: dict[str, Any] = {}
    for content in (config, generation):
        suppressed, bad_words = content.get("suppress_tokens"), content.get("bad_words_ids")
        if _are_ids(suppressed, vocab_size):
            kept["suppress_tokens"] = suppressed
        if _is_short_list(bad_words) and all(_are_ids(each, vocab_size) for each in bad_words):
            kept["bad_words_ids"] = bad_words
    return kept


def _are_ids(value: Any, vocab_size: int) -> bool:
    return _is_short_list(value) and all(
        type(each) is int and 0 <= each < vocab_size for each in value
    )


def _is_short_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and 0 < len(value) <= _MAX_IDS


def left_out(
    config: Mapping[str, Any], generation: Mapping[str, Any], vocab_size: int | None
) -> tuple[str, ...]:
    """Return the names of the settings of a source that the checkpoint does not have, sorted.

    Args:
        config: the content of config.json.
        generation: the content of generation_config.json; empty if there is none.
        vocab_size: the number of rows of the embedding; None for an encoder.
    """
    kept = {} if vocab_size is None else kept_settings(config, generation, vocab_size)
    found = {*_task_settings(config), *_unknown_settings(generation), *_task_settings(generation)}
    return tuple(sorted(found - kept.keys()))


def _task_settings(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the known settings that have another value than the neutral one."""
    for name, value in content.items():
        known = name in NEUTRAL or name in _FURTHER
        if known and value is not None and value != NEUTRAL.get(name):
            yield name


def _unknown_settings(generation: Mapping[str, Any]) -> Iterator[str]:
    """Yield the other settings of generation_config.json. Other names than words are ignored."""
    for name, value in generation.items():
        is_other = name not in NEUTRAL and name not in _FURTHER and name not in _NOT_TASK
        if is_other and value is not None and _SETTING.fullmatch(name):
            yield name
