"""Small tokenizers, trained on a few captions, with the files and special tokens of real ones."""

import functools
import json
import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import tokenizers

from ved.localhub.samples.formats import FORMATS, Settings, write_json

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

_ADDED = {
    **dict.fromkeys(("single_word", "lstrip", "rstrip"), False),
    "normalized": True,
    "special": False,
}
_FAIRSEQ_FIRST = ["<s>", "<pad>", "</s>", "<unk>"]


@dataclass(frozen=True)
class SampleTokenizer:
    """A tokenizer, with the files that a class of transformers 4.57.6 writes.

    Attributes:
        form: `tokenizer`, maybe without a vocabulary, `config` and `special_tokens_map`.
        files: the content of the vocabulary files, by name.
        model: the vocabulary, and merges if there are any, as in tokenizer.json.
    """

    form: Mapping[str, Any]
    files: Mapping[str, bytes]
    model: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of tokens."""
        content = self._content()
        last: int = max(each["id"] for each in content["added_tokens"])
        return max(len(content["model"]["vocab"]), last + 1)

    def of_class(self, name: str) -> "SampleTokenizer":
        """Return the same tokenizer with the name of another class."""
        config = {**self.form["config"], "tokenizer_class": name}
        return replace(self, form={**self.form, "config": config})

    def write(
        self, directory: Path, tokenizer_format: TokenizerFormat, extra_tokens: Sequence[str] = ()
    ) -> None:
        """Write all files of the tokenizer into an existing directory.

        Args:
            directory: the directory.
            tokenizer_format: the release of transformers that writes.
            extra_tokens: further tokens.
        """
        content, size = self._content(), self.size
        added = {token: size + number for number, token in enumerate(extra_tokens)}
        content["added_tokens"] = [
            *content["added_tokens"],
            *({"id": number, "content": token, **_ADDED} for token, number in added.items()),
        ]
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (directory / "tokenizer.json").write_text(text, "utf-8")
        flags = {
            each["id"]: {name: value for name, value in each.items() if name != "id"}
            for each in content["added_tokens"]
        }
        config = {**self.form["config"], "added_tokens_decoder": flags}
        write_json(directory / "tokenizer_config.json", config)
        write_json(directory / "special_tokens_map.json", self.form["special_tokens_map"])
        if added:
            write_json(directory / "added_tokens.json", added)
        for name, vocabulary in self.files.items():
            (directory / name).write_bytes(vocabulary)
        if tokenizer_format == "transformers5":
            save_as_transformers_5(directory, self.files)

    def _content(self) -> Settings:
        """Return the content of tokenizer.json."""
        content = dict(self.form["tokenizer"])
        return {**content, "model": {**content["model"], **self.model}}


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
    return _byte_pairs("GPT2Tokenizer", [*tokens, "<|endoftext|>"], merges)


@functools.cache
def roberta_tokenizer(name: str = "RobertaTokenizer") -> SampleTokenizer:
    """Return a byte-level BPE with the special tokens of RoBERTa and BART."""
    tokens, merges = _byte_level()
    return _byte_pairs(name, [*_FAIRSEQ_FIRST, *tokens, "<mask>"], merges)


def bart_tokenizer() -> SampleTokenizer:
    """Return RoBERTa's vocabulary with the class of BART."""
    return roberta_tokenizer("BartTokenizer")


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
    form = FORMATS.tokenizers["BertTokenizer"]
    return SampleTokenizer(form, {"vocab.txt": vocabulary}, {"vocab": _numbered(tokens)})


@functools.cache
def _byte_level() -> tuple[list[str], list[list[str]]]:
    """Return the tokens in the order of their ids, and the merges, of a byte-level BPE."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=384,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES.splitlines(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), model["merges"]


def _byte_pairs(name: str, tokens: list[str], merges: list[list[str]]) -> SampleTokenizer:
    """Return a tokenizer of a class, with vocab.json and merges.txt."""
    ids = _numbered(tokens)
    lines = "".join(f"{left} {right}\n" for left, right in merges)
    files = {
        "vocab.json": json.dumps(ids, ensure_ascii=False, separators=(",", ":")).encode(),
        "merges.txt": f"#version: 0.2\n{lines}".encode(),
    }
    return SampleTokenizer(FORMATS.tokenizers[name], files, {"vocab": ids, "merges": merges})


def _numbered(tokens: Iterable[str]) -> dict[str, int]:
    """Return the ids of tokens, which count from 0."""
    return {token: number for number, token in enumerate(tokens)}
