"""Texts and tokenizers with which classes of transformers differ from one another."""

import functools
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import sentencepiece

from tests import checkpoints
from tests.support.building import edit_json, read_json
from tests.support.mecab import WORDS
from ved.localhub.samples.vocabularies import SENTENCES

TEXTS = [
    "a woman doesn't ride 2 horses.",
    " A man;  a plan!\n\tA canal, PANAMA \n",
    "",
    " ",
    "Ünïcödé naïve café, cafe\u0301 ﬁne ½ Ⅷ",
    "犬が２匹 走る。 그리고 고양이",
    "🐎🏽‍♀️ rides 👩‍👩‍👧",
    "x\u00a0y\u2003z\u200bw\u00adv\ufeff",
    "<s>text</s> <pad><mask> <mask>, [MASK] [SEP]word<|endoftext|> tail",
    "<extra_0> and<extra_1>!",
    "http://example.org/?q=1&r=two_words#x 1,000,000.00 C'est l'été",
    SENTENCES.splitlines()[0] * 8,
]


@functools.cache
def sentencepiece_model(model_type: str) -> bytes:
    """Return a model with byte fallback and the special tokens of GPT-SW3 and T5."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES.splitlines()),
        model_writer=model,
        model_type=model_type,
        vocab_size=520,
        byte_fallback=True,
        user_defined_symbols=["<|endoftext|>"],
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=3,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def _without_tokenizer(directory: Path) -> Path:
    """Write a GPT-2 that has no tokenizer."""
    checkpoints.gpt2(directory)
    names = ("tokenizer.json", "vocab.json", "merges.txt", "special_tokens_map.json")
    for name in names:
        (directory / name).unlink()
    return directory


def gpt_sw3(directory: Path) -> Path:
    """Write a GPT-2 with the tokenizer of GPT-SW3, whose class has no tokenizer.json."""
    _without_tokenizer(directory)
    (directory / "spiece.model").write_bytes(sentencepiece_model("bpe"))
    settings = {"tokenizer_class": "GPTSw3Tokenizer", "model_max_length": 64, "pad_token": "<pad>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    edit_json(directory / "config.json", vocab_size=600)
    return directory


def bert_generation_with_its_class(directory: Path) -> Path:
    """Write a BertGeneration with the tokenizer of its class, which has no tokenizer.json."""
    checkpoints.bert_generation(directory, tokenizer="slow")
    (directory / "vocab.txt").unlink()
    (directory / "special_tokens_map.json").unlink()
    (directory / "spiece.model").write_bytes(sentencepiece_model("unigram"))
    settings = {"tokenizer_class": "BertGenerationTokenizer", "model_max_length": 64}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    edit_json(directory / "config.json", vocab_size=600)
    return directory


def mbart_50(directory: Path) -> Path:
    """Write an mBART with the tokenizer of mBART-50, which puts the language before each text."""
    checkpoints.mbart(directory, tokenizer="slow")
    (directory / "special_tokens_map.json").unlink()
    settings = {"tokenizer_class": "MBart50Tokenizer", "model_max_length": 64, "src_lang": "de_DE"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    edit_json(directory / "config.json", vocab_size=600)
    return directory


def t5_of_gpt2(directory: Path) -> Path:
    """Write a GPT-2 with the tokenizer of T5, as some for Japanese."""
    _without_tokenizer(directory)
    (directory / "spiece.model").write_bytes(sentencepiece_model("unigram"))
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 64}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    edit_json(directory / "config.json", vocab_size=600)
    return directory


def bert_of_gpt2(directory: Path) -> Path:
    """Write a GPT-2 with the tokenizer of BERT, as those for Chinese have it."""
    _without_tokenizer(directory)
    bert = checkpoints.bert(directory / "bert", tokenizer="slow")
    (bert / "vocab.txt").rename(directory / "vocab.txt")
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": 64}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return directory


def cased_bert(directory: Path) -> Path:
    """Write a BERT whose settings replace the normalizer in its tokenizer.json."""
    checkpoints.bert(directory)
    edit_json(directory / "tokenizer_config.json", do_lower_case=False, strip_accents=False)
    return directory


def bert_with_own_rules(directory: Path) -> Path:
    """Write a BERT whose tokenizer.json does not do what its class does in transformers 5."""
    checkpoints.bert(directory)
    path = directory / "tokenizer.json"
    content = read_json(path)
    content["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    path.write_text(json.dumps(content))
    return directory


def roberta_with_prefix_space(directory: Path) -> Path:
    """Write a RoBERTa whose tokenizer.json puts a space before each text."""
    checkpoints.roberta(directory)
    edit_json(directory / "tokenizer_config.json", add_prefix_space=True)
    path = directory / "tokenizer.json"
    content = read_json(path)
    content["pre_tokenizer"]["add_prefix_space"] = True
    content["post_processor"]["add_prefix_space"] = True
    path.write_text(json.dumps(content))
    return directory


def gpt2_of_transformers_5(directory: Path) -> Path:
    """Write a GPT-2 that transformers 5 saved with its class and with further special tokens."""
    checkpoints.gpt2(directory, extra_tokens=2)
    settings = {
        "add_prefix_space": False,
        "backend": "tokenizers",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "extra_special_tokens": ["<extra_0>"],
        "is_local": True,
        "model_max_length": 64,
        "tokenizer_class": "GPT2Tokenizer",
        "unk_token": "<|endoftext|>",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json"):
        (directory / name).unlink(missing_ok=True)
    return directory


def bert_with_old_added_tokens(directory: Path) -> Path:
    """Write a BERT whose added tokens are in added_tokens.json only."""
    checkpoints.bert(directory, tokenizer="slow", extra_tokens=2)
    settings = read_json(directory / "tokenizer_config.json")
    added = settings.pop("added_tokens_decoder")
    extra = {each["content"]: int(number) for number, each in added.items()}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    listed = {token: number for token, number in extra.items() if token.startswith("<extra")}
    (directory / "added_tokens.json").write_text(json.dumps(listed))
    edit_json(directory / "special_tokens_map.json", additional_special_tokens=["<extra_1>"])
    return directory


JAPANESE_TEXTS = [
    "東京都では犬が公園で走っている。",
    "ｶﾀｶﾅ　\uff21\uff22 ㍻ ①は a Horse です [MASK] です",
    "が\u304b\u3099 未知語、漢字 𠮷 🐎",
]


def japanese_bert(directory: Path, *, subwords: str = "wordpiece", **settings: Any) -> Path:
    """Write a BERT with the tokenizer of those for Japanese.

    Args:
        directory: the directory of the checkpoint.
        subwords: its subword_tokenizer_type.
        settings: further settings. By default, MeCab finds the words.
    """
    checkpoints.bert(directory, tokenizer="slow")
    vocabulary = (directory / "vocab.txt").read_text().splitlines()
    characters = sorted({*"".join(sum(WORDS.values(), ()))})
    words = [*sorted({*sum(WORDS.values(), ())} - {*characters}), *characters]
    words += [f"##{each}" for each in characters]
    # The vocabulary keeps its size, and the special tokens are the first five.
    kept = [*vocabulary[:5], *words, *vocabulary[5:]][: len(vocabulary)]
    (directory / "vocab.txt").write_text("".join(f"{each}\n" for each in kept))
    if subwords == "sentencepiece":
        (directory / "vocab.txt").unlink()
        (directory / "spiece.model").write_bytes(sentencepiece_model("unigram"))
        edit_json(directory / "config.json", vocab_size=600)
        names = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>"}
        settings |= {f"{name}_token": token for name, token in names.items()}
    usual = {
        "tokenizer_class": "BertJapaneseTokenizer",
        "do_lower_case": False,
        "model_max_length": 64,
        "subword_tokenizer_type": subwords,
        "word_tokenizer_type": "mecab",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps({**usual, **settings}))
    (directory / "special_tokens_map.json").unlink()
    return directory


JAPANESE: dict[str, Callable[[Path], Path]] = {
    "no dictionary": japanese_bert,
    "ipadic": partial(japanese_bert, mecab_kwargs={"mecab_dic": "ipadic"}),
    "unidic": partial(japanese_bert, mecab_kwargs={"mecab_dic": "unidic", "mecab_option": ""}),
    "not normalized": partial(
        japanese_bert,
        do_lower_case=True,
        never_split=["Horse"],
        mecab_kwargs={"mecab_dic": "unidic_lite", "normalize_text": False},
    ),
    "characters": partial(japanese_bert, subwords="character"),
    "sentencepiece": partial(japanese_bert, subwords="sentencepiece"),
    "whole words": partial(japanese_bert, do_subword_tokenize=False),
    "basic": partial(japanese_bert, word_tokenizer_type="basic"),
    "no words": partial(japanese_bert, do_word_tokenize=False),
}
"""BERT with tokenizers for Japanese, by a name. Most of them need MeCab and a dictionary."""

UNUSUAL: dict[str, Callable[[Path], Path]] = {
    each.__name__: each
    for each in (
        gpt_sw3,
        bert_generation_with_its_class,
        mbart_50,
        t5_of_gpt2,
        bert_of_gpt2,
        cased_bert,
        bert_with_own_rules,
        roberta_with_prefix_space,
        bert_with_old_added_tokens,
    )
}
"""Checkpoints whose tokenizer transformers 4.57 reads, by a name."""
