"""Tokenizers trained on the spot, with the files and special tokens of real ones."""

import functools
import io
import json
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers  # type: ignore[import-untyped]
from transformers import (
    BartTokenizerFast,
    BertTokenizerFast,
    GPT2TokenizerFast,
    RobertaTokenizerFast,
    XLMRobertaTokenizerFast,
)

from ved.localhub.checkpoints.options import DecoderOptions

MAX_LENGTH = 64
"""How many tokens a text may have."""

_SENTENCES = """\
A man in a red shirt is riding a brown horse along the beach.
A woman is standing in the kitchen with a glass of water in her hand.
Two dogs are playing with a ball in the green grass of the park.
A plate of food with rice, beans and a slice of bread on a wooden table.
A group of people are sitting around a table in front of a window.
A small child is holding a blue umbrella in the rain.
A white cat is sleeping on top of a black laptop.
The train is coming down the tracks next to a station platform.
A surfer rides a large wave while other people watch from the sand.
An old clock tower stands next to a tall building under a cloudy sky.
A bird with yellow feathers is sitting on the branch of a tree.
Three zebras are eating grass in an open field near the water.
A boy throws a baseball while his father is watching him.
A bus is driving down the street past a row of parked cars.
There are many boats on the lake, and mountains behind it.
A young girl is brushing her teeth in front of a bathroom mirror.
Several sheep are walking across the road while a car is waiting.
A bunch of bananas and two oranges are lying in a bowl.
A person on skis is going down a hill covered with snow.
The quick brown fox jumps over the lazy dog, doesn't it?
A man is cutting a pizza with a knife, and a woman is pouring wine.
An airplane is flying over the city at night, 10 minutes after take-off.
A vase with flowers is sitting on the window sill; the sun is shining.
A traffic light hangs above the street: it is red.
"""
_FAIRSEQ_FIRST = ["<s>", "<pad>", "</s>", "<unk>"]


def write_tokenizer(directory: Path, options: DecoderOptions, tokenizer_class: Any) -> int:
    """Write a tokenizer of a transformers class, in the form asked for.

    Returns how many tokens it has, without the extra ones.
    """
    files = _FILES[tokenizer_class]()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    arguments = {
        argument: str(directory / name)
        for argument, name in tokenizer_class.vocab_files_names.items()
        if name in files
    }
    tokenizer = tokenizer_class(**arguments, model_max_length=MAX_LENGTH)
    rows = len(tokenizer)
    tokenizer.add_tokens([f"<extra_{number}>" for number in range(options.extra_tokens)])
    tokenizer.save_pretrained(directory)
    if options.tokenizer == "slow":
        (directory / "tokenizer.json").unlink()
    elif options.tokenizer == "transformers5":
        _save_as_transformers_5(directory, files)
    return rows


def _save_as_transformers_5(directory: Path, vocabulary_files: Iterable[str]) -> None:
    """Leave what transformers 5.23 saves of a tokenizer.json whose class it does not know."""
    path = directory / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {
        "backend": "tokenizers",
        "is_local": True,
        "local_files_only": False,
        "tokenizer_class": "TokenizersBackend",
    }
    for key in ("added_tokens_decoder", "extra_special_tokens", "add_bos_token"):
        config.pop(key, None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for name in ("special_tokens_map.json", "added_tokens.json", *vocabulary_files):
        (directory / name).unlink(missing_ok=True)


@functools.cache
def _byte_level() -> tuple[list[str], bytes]:
    """Return the tokens, in the order of their numbers, and merges.txt of a byte-level BPE."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=384,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES.splitlines(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    return sorted(model["vocab"], key=model["vocab"].get), f"#version: 0.2\n{merges}".encode()


def _gpt2_files() -> dict[str, bytes]:
    tokens, merges = _byte_level()
    return {"vocab.json": _numbered([*tokens, "<|endoftext|>"]), "merges.txt": merges}


def _roberta_files() -> dict[str, bytes]:
    tokens, merges = _byte_level()
    return {
        "vocab.json": _numbered([*_FAIRSEQ_FIRST, *tokens, "<mask>"]),
        "merges.txt": merges,
    }


def _bert_files() -> dict[str, bytes]:
    """Return a vocabulary of characters and whole words, counted.

    The WordPiece trainer of `tokenizers` gives another vocabulary in every run.
    """
    counts = Counter(re.findall(r"\w\w+", _SENTENCES.lower()))
    word_characters = string.digits + string.ascii_lowercase
    tokens = [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *(string.punctuation + word_characters),
        *(f"##{character}" for character in word_characters),
        *sorted(counts, key=lambda word: (-counts[word], word)),
    ]
    return {"vocab.txt": "".join(f"{token}\n" for token in tokens).encode()}


@functools.cache
def _xlm_roberta_files() -> dict[str, bytes]:
    """Return a unigram model; the Unigram trainer of `tokenizers` is not deterministic either.

    XLM-RoBERTa's own normalizes more, with tables of 240 kB.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_SENTENCES.splitlines()),
        model_writer=model,
        model_type="unigram",
        vocab_size=256,
        required_chars=string.digits + string.ascii_letters + string.punctuation,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    return {"sentencepiece.bpe.model": model.getvalue()}


def _numbered(tokens: Iterable[str]) -> bytes:
    numbers = {token: number for number, token in enumerate(tokens)}
    return json.dumps(numbers, ensure_ascii=False).encode()


_FILES: dict[Any, Callable[[], dict[str, bytes]]] = {
    GPT2TokenizerFast: _gpt2_files,
    RobertaTokenizerFast: _roberta_files,
    BartTokenizerFast: _roberta_files,
    BertTokenizerFast: _bert_files,
    XLMRobertaTokenizerFast: _xlm_roberta_files,
}
