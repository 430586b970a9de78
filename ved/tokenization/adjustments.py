"""The changes that a class of tokenizers makes by its settings, also to what tokenizer.json has."""

import json
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer, processors

from ved.tokenization.vocabulary_files import Texts, known_id


def state_of(component: Any) -> dict[str, Any]:
    """Return a part of a tokenizer as tokenizer.json has it; empty if there is none."""
    state = {} if component is None else json.loads(component.__getstate__())
    return state if isinstance(state, dict) else {}


def _change(component: Any, values: Mapping[str, Any]) -> Any:
    """Give a component those of the values that it has; return it."""
    state = state_of(component)
    changes = {name: value for name, value in values.items() if name in state}
    if changes and not state.items() >= changes.items():
        component.__setstate__(json.dumps(state | changes).encode())
    return component


def adjust_normalizer(tokenizer: Tokenizer, _: Texts, settings: Mapping[str, Any]) -> None:
    """Apply the settings of BERT's classes about letters and accents."""
    values = {
        "lowercase": settings.get("do_lower_case", True),
        "strip_accents": settings.get("strip_accents"),
        "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
    }
    if tokenizer.normalizer is not None:
        tokenizer.normalizer = _change(tokenizer.normalizer, values)


def adjust_offsets(tokenizer: Tokenizer, _: Texts, settings: Mapping[str, Any]) -> None:
    """Apply the settings of RoBERTa's classes about the offsets of tokens."""
    values = {
        "add_prefix_space": settings.get("add_prefix_space", False),
        "trim_offsets": settings.get("trim_offsets", True),
    }
    if tokenizer.post_processor is not None:
        tokenizer.post_processor = _change(tokenizer.post_processor, values)


def adjust_first_space(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Apply the setting of all classes about a space before a text."""
    values = {"add_prefix_space": settings.get("add_prefix_space", False)}
    if tokenizer.pre_tokenizer is not None:
        tokenizer.pre_tokenizer = _change(tokenizer.pre_tokenizer, values)


def put_language(
    tokenizer: Tokenizer,
    tokens: Texts,
    settings: Mapping[str, Any],
    *,
    languages: tuple[str, ...],
    first: bool,
) -> None:
    """Put mBART's token of a language beside a text: before it, or after its end.

    Raises:
        ValueError: the settings name a language that the class does not have.
    """
    language, last = settings.get("src_lang", "en_XX"), tokens["eos_token"]
    if language not in languages:
        raise ValueError(f"its class does not have the language {language}")
    before, after = ([language], [last]) if first else ([], [last, language])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *after],
        pair=[*before, "$A", "$B", *after],
        special_tokens=[(each, known_id(tokenizer, each)) for each in (*before, *after)],
    )
