"""Settings of text generation: what the user asks for, what the checkpoint says, and defaults.

Names, defaults and meanings are those of `GenerationConfig` in transformers 5.23. A setting that is
not computed here is refused by its name, unless its value has no effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ved.modeling.errors import ModelingError

_DEFAULT_NEW_TOKENS = 20

_WITHOUT_EFFECT_ON_TOKENS = frozenset(
    {
        *("cache_config", "cache_implementation", "compile_config", "disable_compile"),
        *("low_memory", "max_cache_len", "prefill_chunk_size", "return_dict_in_generate"),
        *("transformers_version", "use_cache", "is_assistant"),
        # Settings of an assistant, which takes another setting to exist.
        *("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_lookbehind"),
        *("assistant_confidence_threshold", "target_lookbehind", "max_matching_ngram_size"),
    }
)

_NOT_COMPUTED: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        (
            *("assistant_early_exit", "assistant_ensemble_weight", "constraints"),
            *("continuous_batching_config", "dola_layers", "force_words_ids", "max_time"),
            *("prompt_lookup_num_tokens", "speculation_type", "stop_strings", "top_h"),
            "watermarking_config",
        ),
        (),
    ),
    **dict.fromkeys(
        (
            *("output_attentions", "output_hidden_states", "output_logits", "output_scores"),
            *("token_healing", "use_mtp"),
        ),
        (False,),
    ),
    "diversity_penalty": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "guidance_scale": (1,),
    "num_beam_groups": (1,),
    "penalty_alpha": (0,),
}
"""Settings that are refused, with the values (and None) that have no effect."""

_FOR_SAMPLING = frozenset(
    {"temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"}
)
_FOR_BEAMS = frozenset({"early_stopping", "length_penalty"})

_INPUTS = frozenset(
    {
        *("max_length", "max_new_tokens", "min_length", "min_new_tokens"),
        *("bos_token_id", "decoder_start_token_id", "eos_token_id", "forced_eos_token_id"),
    }
)
"""Settings that `resolve` turns into others."""


@dataclass(frozen=True)
class GenerationSettings:
    """All settings of one generation. Equal settings share a compiled program.

    Attributes:
        max_length: the most tokens of a text, with the prompt.
        prompt_length: how many tokens of a text are the prompt.
        min_length: how many tokens a text has at least before it may end, with the prompt.
        pad_token_id: the token after the end of a text.
        eos_token_ids: the tokens that end a text; none: texts end at `max_length` only.
        forced_eos_token_ids: the tokens of which one must be the last token at `max_length`.

    The others have the names and meanings of transformers' `GenerationConfig`.
    """

    max_length: int
    prompt_length: int = 1
    min_length: int = 0
    pad_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    forced_bos_token_id: int | None = None
    forced_eos_token_ids: tuple[int, ...] = ()
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    min_p: float | None = None
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...] = ()
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    exponential_decay_length_penalty: tuple[int, float] | None = None
    remove_invalid_values: bool = False
    renormalize_logits: bool = False

    @property
    def begin_index(self) -> int:
        """The length of a text at which `begin_suppress_tokens` are forbidden."""
        after_forced = self.prompt_length == 1 and self.forced_bos_token_id is not None
        return self.prompt_length + int(after_forced)

    @property
    def padding(self) -> int:
        """The token after the end of a text."""
        if self.pad_token_id is not None:
            return self.pad_token_id
        return self.eos_token_ids[0] if self.eos_token_ids else 0


_COMPUTED = frozenset(field.name for field in fields(GenerationSettings)) - {
    *("prompt_length", "eos_token_ids", "forced_eos_token_ids")
}
KNOWN = _COMPUTED | _INPUTS | _WITHOUT_EFFECT_ON_TOKENS | _NOT_COMPUTED.keys()


def resolve(
    checkpoint: Mapping[str, Any], asked: Mapping[str, Any], prompt_length: int = 1
) -> GenerationSettings:
    """Return the settings of a generation.

    Args:
        checkpoint: the settings of the checkpoint: the content of generation_config.json.
        asked: the settings that the user passes. They take precedence; None means that the user
            does not want the checkpoint's value.
        prompt_length: how many tokens the prompt has, with the start token.

    Raises:
        ModelingError: a setting is unknown, not computed here, or has no valid value.
    """
    named = {
        name: value
        for name, value in checkpoint.items()
        # transformers writes names with a leading underscore for itself.
        if not name.startswith("_") and name not in asked
    }
    _refuse_unknown({name: asked[name] for name in asked if name not in checkpoint})
    given = {name: _plain(value) for name, value in {**named, **asked}.items()}
    given = {name: value for name, value in given.items() if value is not None}
    _refuse_unknown(given)
    computed = {name: _hashable(given[name]) for name in _COMPUTED & given.keys()}
    computed |= _lengths(given, prompt_length)
    computed["eos_token_ids"] = _ids(given.get("eos_token_id"))
    computed["forced_eos_token_ids"] = _ids(given.get("forced_eos_token_id"))
    if "sequence_bias" in given:
        bias = given["sequence_bias"]
        pairs = bias.items() if isinstance(bias, Mapping) else bias
        computed["sequence_bias"] = tuple((tuple(ids), float(value)) for ids, value in pairs)
    if "bad_words_ids" in given:
        ends = [(end,) for end in computed["eos_token_ids"]]
        words = [word for word in computed["bad_words_ids"] if word not in ends]
        computed["bad_words_ids"] = tuple(dict.fromkeys(words))
    settings = GenerationSettings(prompt_length=prompt_length, **computed)
    defaults = GenerationSettings(max_length=settings.max_length)
    _check(settings, {name for name in asked if _differs(name, settings, defaults)})
    return settings


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in KNOWN:
            raise ModelingError(
                f"{name} is not a setting of generation that is known here. If it comes from "
                f"generation_config.json, pass {name}=None to generate without it."
            )
        neutral = _NOT_COMPUTED.get(name)
        if neutral is not None and value is not None and value not in neutral:
            raise ModelingError(
                f"{name}={value!r} is not supported. Pass {name}=None to generate without it."
            )


def _lengths(values: Mapping[str, Any], prompt_length: int) -> dict[str, int]:
    """Return the most and the fewest tokens of a text, with the prompt."""
    most = values.get("max_length", prompt_length + _DEFAULT_NEW_TOKENS)
    if "max_new_tokens" in values:
        most = prompt_length + values["max_new_tokens"]
    fewest = values.get("min_length", 0)
    if "min_new_tokens" in values:
        fewest = prompt_length + values["min_new_tokens"]
    if most <= prompt_length:
        raise ModelingError(
            f"The prompt has {prompt_length} tokens, and max_length is {most}. "
            "Pass max_new_tokens, which does not count the prompt."
        )
    return {"max_length": int(most), "min_length": int(fewest)}


def _check(settings: GenerationSettings, asked: set[str]) -> None:
    """Refuse values that make no sense, and what has no effect although the user asks for it."""
    if not settings.do_sample and asked & _FOR_SAMPLING:
        raise ModelingError(f"{min(asked & _FOR_SAMPLING)} has no effect without do_sample=True.")
    if settings.num_beams == 1 and asked & _FOR_BEAMS:
        raise ModelingError(f"{min(asked & _FOR_BEAMS)} has no effect without num_beams above 1.")
    returned = settings.num_return_sequences
    most = settings.num_beams if settings.num_beams > 1 else 1
    if returned > most and (settings.num_beams > 1 or not settings.do_sample):
        raise ModelingError(
            f"num_return_sequences={returned} needs do_sample=True or num_beams={returned} or more."
        )
    if settings.exponential_decay_length_penalty and not settings.eos_token_ids:
        raise ModelingError("exponential_decay_length_penalty needs eos_token_id.")
    valid = {
        "num_beams": settings.num_beams >= 1,
        "num_return_sequences": returned >= 1,
        "min_length": settings.min_length >= 0,
        "temperature": settings.temperature > 0,
        "top_k": settings.top_k >= 0,
        "top_p": 0 <= settings.top_p <= 1,
        "min_p": settings.min_p is None or 0 <= settings.min_p <= 1,
        "typical_p": 0 < settings.typical_p <= 1,
        "epsilon_cutoff": 0 <= settings.epsilon_cutoff < 1,
        "eta_cutoff": 0 <= settings.eta_cutoff < 1,
        "repetition_penalty": settings.repetition_penalty > 0,
        "no_repeat_ngram_size": settings.no_repeat_ngram_size >= 0,
        "early_stopping": settings.early_stopping in (False, True, "never"),
        "sequence_bias": all(ids and min(ids) >= 0 for ids, _ in settings.sequence_bias),
        "bad_words_ids": all(ids and min(ids) >= 0 for ids in settings.bad_words_ids),
    }
    for name, is_valid in valid.items():
        if not is_valid:
            raise ModelingError(f"{name}={getattr(settings, name)!r} is not a valid value.")


def _differs(name: str, settings: GenerationSettings, defaults: GenerationSettings) -> bool:
    """Return whether a setting has another value than its default."""
    return getattr(settings, name, None) != getattr(defaults, name, None)


def _plain(value: Any) -> Any:
    """Return an array as a number or a list."""
    return value.tolist() if hasattr(value, "tolist") else value


def _ids(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    return (int(value),) if isinstance(value, int) else tuple(int(token) for token in value)


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value
