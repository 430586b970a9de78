"""The settings of a tokenizer: which ones VED knows, and how a source states them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ved.assembly import json_settings
from ved.assembly.json_settings import Check
from ved.assembly.processing_files import (
    ADDITIONAL_TOKENS,
    SPECIAL_TOKENS,
    SPECIAL_TOKENS_MAP,
    TOKENIZER_CONFIG,
    TOKENIZER_JSON,
)
from ved.tokenization.tokens import text

_ADDED = "added_tokens_decoder"
_EXTRA = "extra_special_tokens"  # transformers 5's name of the same; in 4.57 an object
_SIDE = json_settings.one_of("left", "right")

SETTINGS: Mapping[str, Check] = {
    **dict.fromkeys(SPECIAL_TOKENS, json_settings.token),
    ADDITIONAL_TOKENS: json_settings.tokens,
    _EXTRA: json_settings.tokens,
    _ADDED: json_settings.added_tokens,
    "clean_up_tokenization_spaces": json_settings.boolean,
    "model_input_names": json_settings.some_of("input_ids", "token_type_ids", "attention_mask"),
    "model_max_length": json_settings.number,
    "padding_side": _SIDE,
    "split_special_tokens": json_settings.boolean,
    "truncation_side": _SIDE,
    # The codes of languages that mBART's classes put beside a text
    **dict.fromkeys(("src_lang", "tgt_lang"), json_settings.token_text),
    # The classes of single families have these. tokenizer.json has their effect.
    "add_bos_token": json_settings.boolean,
    "add_eos_token": json_settings.boolean,
    "add_prefix_space": json_settings.boolean,
    "do_basic_tokenize": json_settings.boolean,
    "do_lower_case": json_settings.boolean,
    "extra_ids": json_settings.integer(0, 1000),
    "keep_accents": json_settings.boolean,
    "legacy": json_settings.boolean,
    "mask_token_sent": json_settings.token_text,
    "normalization": json_settings.boolean,
    "offset": json_settings.integer(0, 1000),
    "remove_space": json_settings.boolean,
    "strip_accents": json_settings.boolean,
    "tokenize_chinese_chars": json_settings.boolean,
    "trim_offsets": json_settings.boolean,
}
"""The settings that a tokenizer is loaded with. None of them names a file, a repo or code."""


def read_settings(directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a source as they are, and the known ones in one usual form.

    A source states its special and added tokens in up to four files. They are combined as
    transformers 4.57 combines them (`PreTrainedTokenizerBase._from_pretrained`).

    Raises:
        ValueError: a file is too large or no JSON object, or a setting has an unexpected type.
        OSError: a file cannot be read.
    """
    path = directory / TOKENIZER_CONFIG
    raw = json_settings.read_object(path) if path.is_file() else {}
    known = json_settings.known_settings(raw, SETTINGS)
    if _ADDED not in known:
        known |= _mapped_tokens(directory, known)
        known[_ADDED] = {**_listed_tokens(directory, known), **_tokens_in_json(directory)}
    additional = [*known.pop(ADDITIONAL_TOKENS, []), *known.pop(_EXTRA, [])]
    if additional:
        known[ADDITIONAL_TOKENS] = _unique(additional)
    return raw, known


def adds_prefix_space(directory: Path) -> bool:
    """Return whether the pre-tokenizer in tokenizer.json puts a space before each text."""
    pre_tokenizer = _read_tokenizer_json(directory).get("pre_tokenizer")
    return isinstance(pre_tokenizer, dict) and pre_tokenizer.get("add_prefix_space") is True


def _mapped_tokens(directory: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the special tokens in special_tokens_map.json. Those with flags are special."""
    path = directory / SPECIAL_TOKENS_MAP
    if not path.is_file():
        return {}
    names = (*SPECIAL_TOKENS, ADDITIONAL_TOKENS, _EXTRA)
    checks = {name: SETTINGS[name] for name in names}
    found = json_settings.known_settings(json_settings.read_object(path), checks)
    mapped: dict[str, Any] = {
        name: value | {"special": True} if isinstance(value, dict) else value
        for name, value in found.items()
    }
    for name in (ADDITIONAL_TOKENS, _EXTRA):
        if name in mapped:
            mapped[name] = [*known.get(name, []), *mapped[name]]
    return mapped


def _listed_tokens(directory: Path, known: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Return the tokens in added_tokens.json, by id."""
    path = directory / "added_tokens.json"
    if not path.is_file():
        return {}
    named = [known[name] for name in SPECIAL_TOKENS if name in known]
    named += [*known.get(ADDITIONAL_TOKENS, []), *known.get(_EXTRA, [])]
    special = {text(each) for each in named}
    values = {
        str(number): {"content": content, "special": content in special}
        for content, number in json_settings.read_object(path).items()
    }
    return json_settings.added_tokens(values)


def _tokens_in_json(directory: Path) -> dict[int, dict[str, Any]]:
    """Return the added tokens in tokenizer.json, by id."""
    added = _read_tokenizer_json(directory).get("added_tokens", [])
    if not isinstance(added, list):
        raise ValueError(f"added_tokens in {TOKENIZER_JSON} is not a list")
    values = {str(each.get("id")): each for each in added if isinstance(each, dict)}
    return json_settings.added_tokens(values)


def _read_tokenizer_json(directory: Path) -> dict[str, Any]:
    path = directory / TOKENIZER_JSON
    return json_settings.read_object(path) if path.is_file() else {}


def _unique(values: list[str | dict[str, Any]]) -> list[str | dict[str, Any]]:
    """Return the first token of each text."""
    return list({text(each): each for each in reversed(values)}.values())[::-1]
