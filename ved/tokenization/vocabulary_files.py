"""Set up a tokenizer from vocab.txt, or from vocab.json and merges.txt.

Source: `BertConverter`, `GPT2Converter` and `RobertaConverter` in transformers'
convert_slow_tokenizer.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

Texts = Mapping[str, str]
"""The texts of special tokens, by the setting that names them."""


def word_pieces(directory: Path, tokens: Texts, settings: Mapping[str, Any]) -> Tokenizer:
    """Return the tokenizer of BERT, from vocab.txt: a token a line."""
    lines = (directory / "vocab.txt").read_text("utf-8").rstrip("\n").split("\n")
    vocabulary = {line.rstrip("\r"): number for number, line in enumerate(lines)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=tokens["unk_token"]))
    is_basic = settings.get("do_basic_tokenize", True)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=is_basic and settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents") if is_basic else False,
        lowercase=is_basic and settings.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def byte_pairs(directory: Path, tokens: Texts, settings: Mapping[str, Any]) -> Tokenizer:
    """Return the tokenizer of GPT-2, from vocab.json and merges.txt: pairs of bytes and tokens."""
    vocabulary = json.loads((directory / "vocab.json").read_text("utf-8"))
    # The first line is the version.
    lines = (directory / "merges.txt").read_text("utf-8").split("\n")[1:-1]
    halves = (line.split() for line in dict.fromkeys(lines))
    pairs = [(left, right) for left, right in halves]
    tokenizer = Tokenizer(
        models.BPE(
            vocabulary,
            pairs,
            continuing_subword_prefix="",
            end_of_word_suffix="",
            fuse_unk=False,
        )
    )
    has_space = settings.get("add_prefix_space", False)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=has_space)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def begin_and_end(tokenizer: Tokenizer, tokens: Texts, _: Mapping[str, Any]) -> None:
    """Put BERT's tokens around a text and between two."""
    first, last = tokens["cls_token"], tokens["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {last}:0",
        pair=f"{first}:0 $A:0 {last}:0 $B:1 {last}:1",
        special_tokens=[(each, known_id(tokenizer, each)) for each in (first, last)],
    )


def begin(tokenizer: Tokenizer, tokens: Texts, settings: Mapping[str, Any]) -> None:
    """Put GPT-2's first token before a text if the settings ask for it."""
    if settings.get("add_bos_token", False):
        first = tokens["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first}:0 $A:0",
            pair=f"{first}:0 $A:0 $B:1",
            special_tokens=[(first, known_id(tokenizer, first))],
        )
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)


def roberta_begin_and_end(tokenizer: Tokenizer, tokens: Texts, settings: Mapping[str, Any]) -> None:
    """Put RoBERTa's tokens around a text and between two."""
    first, last = tokens["cls_token"], tokens["sep_token"]
    tokenizer.post_processor = processors.RobertaProcessing(
        (last, known_id(tokenizer, last)),
        (first, known_id(tokenizer, first)),
        add_prefix_space=settings.get("add_prefix_space", False),
        trim_offsets=settings.get("trim_offsets", True),
    )


def known_id(tokenizer: Tokenizer, token: str) -> int:
    """Return the id of a token.

    Raises:
        ValueError: the tokenizer does not have it.
    """
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"its vocabulary does not have {token}")
    return int(number)
