"""Load the tokenizers that `tokenizers` cannot run: their classes of transformers are in Python.

They read vocabulary files only, and a checkpoint has those files and the name of the class.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from tokenizers import AddedToken

from ved.assembly.processing_files import ADDITIONAL_TOKENS, SPECIAL_TOKENS, TOKENIZER_CONFIG
from ved.sources.snapshot import PROCESSING_FILES
from ved.tokenization.tokens import text

_VISIBLE = ("clean_up_tokenization_spaces", "padding_side", "truncation_side")
_WITHOUT_TYPES = ("BertGenerationTokenizer", "GPTSw3Tokenizer")
"""The classes that make no token types. transformers 5 has forgotten that the others make them."""


@dataclass(frozen=True)
class PythonTokenizer:
    """A tokenizer of transformers; the attributes are those of `LoadedTokenizer`."""

    tokenizer: Any
    files: tuple[str, ...]
    named: Mapping[str, str]
    additional: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def vocabulary(self) -> dict[str, int]:
        """The ids of all tokens, by their texts."""
        return dict(self.tokenizer.get_vocab())

    @property
    def added(self) -> dict[int, AddedToken]:
        """The tokens that are not part of the model's vocabulary, by id."""
        return dict(self.tokenizer.added_tokens_decoder)

    def id_of(self, token: str) -> int | None:
        """Return the id of a token; that of the unknown token if there is none."""
        number: int | None = self.tokenizer.convert_tokens_to_ids(token)
        return number

    def encode(self, content: str) -> list[int]:
        """Return the ids of a text with the tokens around it."""
        return list(self.tokenizer(content).input_ids)


def load_python_tokenizer(
    directory: Path, name: str, settings: Mapping[str, Any]
) -> PythonTokenizer:
    """Load a tokenizer from a copy that has only its vocabulary and the known settings.

    Args:
        directory: the files of the source.
        name: its class in transformers.
        settings: its settings, all of known types.

    Raises:
        Exception: transformers cannot load it.
        OSError: a file cannot be read.
    """
    loader: Any = getattr(transformers, name)
    names = {*loader.vocab_files_names.values()} & {*PROCESSING_FILES["decoder"]}
    files = tuple(sorted(each for each in names if (directory / each).is_file()))
    given = {
        key: _with_type(value) if key in SPECIAL_TOKENS else value
        for key, value in settings.items()
    }
    if ADDITIONAL_TOKENS in given:
        given[ADDITIONAL_TOKENS] = [_with_type(each) for each in given[ADDITIONAL_TOKENS]]
    with tempfile.TemporaryDirectory(prefix=".ved-tokenizer-") as copy:
        for each in files:
            shutil.copyfile(directory / each, Path(copy, each))
        content = json.dumps({**given, "tokenizer_class": name})
        Path(copy, TOKENIZER_CONFIG).write_text(content)
        tokenizer = loader.from_pretrained(copy, local_files_only=True)
    if tokenizer is False:  # transformers has logged the reason
        raise ValueError("its vocabulary is damaged")
    special = tokenizer.special_tokens_map
    types = [] if name in _WITHOUT_TYPES else ["token_type_ids"]
    inputs = ["input_ids", *types, "attention_mask"]
    return PythonTokenizer(
        tokenizer,
        files,
        {each: special[each] for each in SPECIAL_TOKENS if special.get(each) is not None},
        tuple(text(each) for each in settings.get(ADDITIONAL_TOKENS, ())),
        {each: getattr(tokenizer, each) for each in _VISIBLE} | {"model_input_names": inputs},
    )


def _with_type(token: str | Mapping[str, Any]) -> str | dict[str, Any]:
    """Return a token as transformers reads it in tokenizer_config.json."""
    return token if isinstance(token, str) else {"__type": "AddedToken", **token}
