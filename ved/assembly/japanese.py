"""The settings of BertJapaneseTokenizer, which divides a text into words before it looks up tokens.

MeCab finds the words. It reads a dictionary of several hundred megabytes, and its options can name
any file. VED needs no words: it publishes the vocabulary and the settings, and loads the tokenizer
without MeCab. People who use the checkpoint install MeCab and the dictionary.

Source: `BertJapaneseTokenizer` and `MecabTokenizer` of transformers 4.57 and 5.
"""

from collections.abc import Mapping
from typing import Any

from ved.assembly import json_settings
from ved.assembly.json_settings import Check
from ved.assembly.processing_files import Package
from ved.errors import ErrorCode, VedError

CLASS = "BertJapaneseTokenizer"

WITHOUT_WORDS = {"do_word_tokenize": False}
"""The settings that load the tokenizer without MeCab. Ids and tokens stay the same."""

_UNSUPPORTED = {"jumanpp": "rhoknp", "sudachi": "sudachipy"}
"""The package that each unsupported `word_tokenizer_type` needs."""

_DICTIONARIES: Mapping[str, Package] = {
    "ipadic": "ipadic",
    "unidic": "unidic",
    "unidic_lite": "unidic-lite",
}
"""The package of each value of `mecab_dic`."""

_DEFAULT_DICTIONARY = "unidic_lite"


def _mecab_settings(value: object) -> dict[str, Any]:
    """Return the arguments of MeCab. Its options are not among them, because they name files."""
    if not isinstance(value, dict):
        raise ValueError("an object")
    return json_settings.known_settings(
        value,
        {
            "mecab_dic": json_settings.one_of(*_DICTIONARIES),
            "normalize_text": json_settings.boolean,
        },
    )


SETTINGS: Mapping[str, Check] = {
    "do_subword_tokenize": json_settings.boolean,
    "do_word_tokenize": json_settings.boolean,
    "mecab_kwargs": _mecab_settings,
    "never_split": json_settings.token_texts,
    "subword_tokenizer_type": json_settings.one_of("wordpiece", "character", "sentencepiece"),
    "word_tokenizer_type": json_settings.one_of("basic", "mecab"),
}


def read_settings(raw: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Return the settings that only this class has.

    Args:
        raw: the content of tokenizer_config.json.
        origin: the source, for errors.

    Raises:
        VedError: the words need a package, an option or a dictionary that VED does not support.
        ValueError: a setting has an unexpected type.
    """
    words = raw.get("word_tokenizer_type")
    if isinstance(words, str) and words in _UNSUPPORTED:
        raise _not_usable(
            f"{origin} needs the package {_UNSUPPORTED[words]}, which VED does not support",
            "Use a source whose word_tokenizer_type is basic or mecab.",
        )
    mecab = raw.get("mecab_kwargs")
    if isinstance(mecab, dict) and mecab.get("mecab_option"):
        raise _not_usable(
            f"{origin} has options of MeCab, which can name files of the machine",
            "Remove mecab_option in a local copy of the source, and set mecab_dic to ipadic, "
            "unidic or unidic_lite.",
        )
    if isinstance(mecab, dict) and mecab.get("mecab_dic", _DEFAULT_DICTIONARY) is None:
        raise _not_usable(
            f"{origin} uses the MeCab dictionary of the machine, because its mecab_dic is null",
            "Set mecab_dic to ipadic, unidic or unidic_lite in a local copy of the source.",
        )
    return json_settings.known_settings(raw, SETTINGS)


def packages(settings: Mapping[str, Any]) -> tuple[Package, ...]:
    """Return the packages that transformers needs for a tokenizer with these settings."""
    needed: list[Package] = []
    if _uses_mecab(settings):
        dictionary = settings.get("mecab_kwargs", {}).get("mecab_dic", _DEFAULT_DICTIONARY)
        needed += ["fugashi", _DICTIONARIES[dictionary]]
    if settings.get("subword_tokenizer_type") == "sentencepiece":
        needed.append("sentencepiece")
    return tuple(needed)


def notices(settings: Mapping[str, Any]) -> list[str]:
    """Return what somebody should know about the settings, a sentence each."""
    if not _uses_mecab(settings) or "mecab_dic" in settings.get("mecab_kwargs", {}):
        return []
    # The default changed in 2024: https://github.com/huggingface/transformers/pull/33372
    return [
        "The tokenizer names no MeCab dictionary. transformers 4.57 and 5 use unidic_lite; "
        "releases before 2024 used ipadic. Set mecab_dic if the source was trained with ipadic."
    ]


def _uses_mecab(settings: Mapping[str, Any]) -> bool:
    return (
        settings.get("word_tokenizer_type") == "mecab"
        and settings.get("do_word_tokenize") is not False
    )


def _not_usable(cause: str, remedy: str) -> VedError:
    return VedError(f"The tokenizer of {cause}.", remedy, code=ErrorCode.PROCESSOR_NOT_USABLE)
