"""Read the settings of a model from its config, and refuse what these models do not compute.

Each family has a dataclass of the settings that it computes, with the defaults of the format. A
config may also have settings that do not change what a model computes, such as the names of
labels. Any other setting is refused by name: a model that ignores a setting gives wrong numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from types import NoneType
from typing import Any, ClassVar, Self

from ved.modeling.activations import ACTIVATIONS
from ved.modeling.errors import ModelingError

_IGNORED = frozenset(
    (
        *("model_type", "architectures", "transformers_version", "torch_dtype", "dtype"),
        *("name_or_path", "auto_map", "tokenizer_class", "image_processor_type"),
        *("feature_extractor_type", "custom_pipelines", "id2label", "label2id", "num_labels"),
        *("problem_type", "finetuning_task", "task_specific_params", "prefix"),
        *("gradient_checkpointing", "tf_legacy_loss", "use_bfloat16", "xla_device", "torchscript"),
        *("return_dict", "output_attentions", "output_hidden_states", "attn_implementation"),
        *("output_past", "chunk_size_feed_forward", "is_decoder", "is_encoder_decoder"),
        *("add_cross_attention", "tie_encoder_decoder", "classifier_dropout", "bos_token_id"),
        *("eos_token_id", "pad_token_id", "sep_token_id", "mask_token_id", "use_cache"),
        *("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "max_length"),
        *("min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups"),
        *("diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty"),
        *("length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"),
        *("bad_words_ids", "num_return_sequences", "output_scores", "return_dict_in_generate"),
        *("remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens"),
        *("begin_suppress_tokens", "forced_decoder_ids", "max_new_tokens", "min_new_tokens"),
        *("max_time", "min_p", "stop_strings", "epsilon_cutoff", "eta_cutoff", "penalty_alpha"),
        *("guidance_scale", "encoder_repetition_penalty", "renormalize_logits", "force_words_ids"),
        *("sequence_bias", "constraints", "low_memory", "cache_implementation"),
        *("assistant_confidence_threshold", "assistant_early_exit", "cache_config"),
        *("assistant_lookbehind", "target_lookbehind", "is_assistant", "decoder_input_ids"),
        *("disable_compile", "dola_layers", "generation_config", "max_matching_ngram_size"),
        *("num_assistant_tokens", "output_logits", "num_assistant_tokens_schedule"),
        *("prefill_chunk_size", "prompt_lookup_num_tokens", "return_legacy_cache", "token_healing"),
        "watermarking_config",
    )
)
"""Settings of any config that do not change what a model computes."""

Only = Mapping[str, tuple[object, ...]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one family.

    The type of a field's default is the type of the setting: a bool is a flag, an int a size, a
    float a number, and a str an activation. None is optional. A pair of ints is a height and
    width, which a config may give as one number. A longer tuple is a list of any length.
    """

    ALIASES: ClassVar[Mapping[str, str]] = {}
    """Other names that a config may have for fields."""

    ONLY: ClassVar[Only] = {}
    """Settings with the values that are computed: other values are refused."""

    IGNORED: ClassVar[tuple[str, ...]] = ()
    """Settings of the family that do not change what the model computes."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the settings of a config.

        Args:
            config: the content of config.json, or one of its parts.

        Raises:
            ModelingError: the config has a setting or a value that the model does not compute.
        """
        known_fields = {field.name: field for field in fields(cls)}
        found: dict[str, Any] = {}
        for setting, value in config.items():
            name = cls.ALIASES.get(setting, setting)
            if name in known_fields:
                known = _read(setting, value, known_fields[name])
                if found.setdefault(name, known) != known:
                    raise ModelingError(
                        f"The config has two values for {name}: {found[name]!r} and {known!r}. "
                        "Remove one of them."
                    )
            elif setting in cls.ONLY or setting in _ONLY:
                _check(setting, value, cls.ONLY.get(setting) or _ONLY[setting])
            elif not (setting in _IGNORED or setting in cls.IGNORED or setting.startswith("_")):
                raise ModelingError(
                    f"{cls.__name__} has no setting {setting!r}, so the model would ignore it. "
                    "Remove it from the config if the model does not need it."
                )
        return cls(**found)

    def _divide(self, width: int, heads: int) -> None:
        """Check that the heads of an attention divide its width."""
        if width % heads:
            raise ModelingError(
                f"The width {width} is not a multiple of the {heads} attention heads. "
                "Check the config."
            )


_ONLY: Only = {
    "adapters": (None, {}),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
}


def _read(name: str, value: object, field: Field[Any]) -> Any:
    """Return the value of a setting, or refuse it."""
    if value is None and NoneType in getattr(field.type, "__args__", ()):
        return None  # the type is a union with None
    match field.default:
        case bool():
            valid = type(value) is bool
        case int():
            valid = type(value) is int and value >= 0
        case float():
            valid = type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
        case str():
            valid = isinstance(value, str) and value in ACTIVATIONS
        case tuple() as default if len(default) > 2:
            value = tuple(value) if isinstance(value, list) else value
            valid = isinstance(value, tuple) and bool(value)
            valid = valid and all(type(each) is int and each >= 0 for each in value)  # type: ignore[attr-defined]
        case tuple():
            sides = value if isinstance(value, list | tuple) else (value, value)
            value = tuple(sides)
            valid = len(value) == 2 and all(type(side) is int and side > 0 for side in value)
        case _:
            valid = isinstance(value, field.type) and type(value) is not bool  # type: ignore[arg-type]
    if not valid:
        raise ModelingError(
            f"The setting {name} is {value!r}, which these models do not compute. "
            f"Use a value such as {field.default!r}."
        )
    return value


def _check(name: str, value: object, computed: tuple[object, ...]) -> None:
    if not any(type(value) is type(one) and value == one for one in computed):
        raise ModelingError(
            f"The setting {name} is {value!r}, but these models compute only "
            f"{' or '.join(map(repr, computed))}. Use another checkpoint."
        )
