"""Small tokenizers, trained on a few captions, with the files and special tokens of real ones."""

import functools
import json
import re
import string
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import tokenizers
from transformers import (
    BartTokenizerFast,
    BertTokenizerFast,
    GPT2TokenizerFast,
    RobertaTokenizerFast,
)

TokenizerFormat: TypeAlias = Literal["transformers4", "transformers5"]

MAX_LENGTH = 64
"""Maximum length of a text, in tokens."""

SENTENCES = """\
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


@dataclass(frozen=True)
class SampleTokenizer:
    """A tokenizer: its transformers class and the files of its vocabulary.

    Attributes:
        tokenizer_class: a fast tokenizer class.
        files: the content of the vocabulary files, by name.
    """

    tokenizer_class: Any
    files: Mapping[str, bytes]

    @functools.cached_property
    def size(self) -> int:
        """Number of tokens."""
        with tempfile.TemporaryDirectory() as directory:
            return len(self.load(Path(directory)))

    def load(self, directory: Path) -> Any:
        """Write the vocabulary files into a directory, and return the tokenizer from there."""
        for name, content in self.files.items():
            (directory / name).write_bytes(content)
        arguments = {
            argument: str(directory / name)
            for argument, name in self.tokenizer_class.vocab_files_names.items()
            if name in self.files
        }
        return self.tokenizer_class(**arguments, model_max_length=MAX_LENGTH)

    def write(self, directory: Path, tokenizer_format: TokenizerFormat) -> None:
        """Write all files of the tokenizer into an existing directory."""
        self.load(directory).save_pretrained(directory)
        if tokenizer_format == "transformers5":
            save_as_transformers_5(directory, self.files)


def save_as_transformers_5(directory: Path, vocabulary_files: Iterable[str]) -> None:
    """Change saved files to those that transformers 5.23 saves if it does not know the class.

    Args:
        directory: the directory of the tokenizer, as transformers 4 saved it.
        vocabulary_files: the names of the vocabulary files, which transformers 5 does not write.
    """
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
def gpt2_tokenizer() -> SampleTokenizer:
    """Return a byte-level BPE with one special token, as GPT-2 has it."""
    tokens, merges = _byte_level()
    files = {"vocab.json": _numbered([*tokens, "<|endoftext|>"]), "merges.txt": merges}
    return SampleTokenizer(GPT2TokenizerFast, files)


@functools.cache
def roberta_tokenizer(tokenizer_class: Any = RobertaTokenizerFast) -> SampleTokenizer:
    """Return a byte-level BPE with the special tokens of RoBERTa and BART."""
    tokens, merges = _byte_level()
    files = {
        "vocab.json": _numbered([*_FAIRSEQ_FIRST, *tokens, "<mask>"]),
        "merges.txt": merges,
    }
    return SampleTokenizer(tokenizer_class, files)


def bart_tokenizer() -> SampleTokenizer:
    """Return RoBERTa's vocabulary with the class of BART."""
    return roberta_tokenizer(BartTokenizerFast)


@functools.cache
def bert_tokenizer() -> SampleTokenizer:
    """Return a WordPiece vocabulary of characters and whole words, most frequent first.

    The WordPiece trainer of `tokenizers` is not deterministic, so the words are counted here.
    """
    counts = Counter(re.findall(r"\w\w+", SENTENCES.lower()))
    word_characters = string.digits + string.ascii_lowercase
    tokens = [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *(string.punctuation + word_characters),
        *(f"##{character}" for character in word_characters),
        *sorted(counts, key=lambda word: (-counts[word], word)),
    ]
    vocabulary = "".join(f"{token}\n" for token in tokens).encode()
    return SampleTokenizer(BertTokenizerFast, {"vocab.txt": vocabulary})


@functools.cache
def _byte_level() -> tuple[list[str], bytes]:
    """Return the tokens in the order of their ids, and merges.txt, of a byte-level BPE."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=384,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES.splitlines(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    return sorted(model["vocab"], key=model["vocab"].get), f"#version: 0.2\n{merges}".encode()


def _numbered(tokens: Iterable[str]) -> bytes:
    """Return vocab.json: the ids of tokens, which count from 0."""
    ids = {token: number for number, token in enumerate(tokens)}
    return json.dumps(ids, ensure_ascii=False).encode()
