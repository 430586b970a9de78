"""The tokenizer and the image processor of a source, as data: what VED checks and publishes.

All values have types that JSON has, too, so that they can pass between processes. This module
imports no library that could read more than it is given.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ved.assembly.special_tokens import TokenIds
from ved.sources.snapshot import PROCESSING_FILES

TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_JSON = "tokenizer.json"
SPECIAL_TOKENS_MAP = "special_tokens_map.json"
IMAGE_PROCESSOR_CONFIG, PROCESSOR_CONFIG = PROCESSING_FILES["encoder"]
"""The second one has the image processor of a whole model that transformers 5 saved."""

SPECIAL_TOKENS = (
    "bos_token",
    "cls_token",
    "eos_token",
    "mask_token",
    "pad_token",
    "sep_token",
    "unk_token",
)
"""The settings that name the special tokens of a tokenizer."""

ADDITIONAL_TOKENS = "additional_special_tokens"
"""The setting with a list of further special tokens."""

Package: TypeAlias = Literal["emoji", "fugashi", "ipadic", "sentencepiece", "unidic", "unidic-lite"]
"""A Python package that transformers needs for a tokenizer."""


@dataclass(frozen=True)
class TokenizerFiles:
    """The tokenizer of a decoder.

    Attributes:
        settings: the content of tokenizer_config.json.
        copied: the names of the source's files that are published byte for byte.
        tokenizer_json: the content of tokenizer.json; None if the source's file is copied, or if
            the class of the tokenizer has none.
        tokens: the text of each token, by id; None for an id without a token.
        token_ids: the ids of the tokens that the settings name, such as `pad` or `cls`; `last` is
            the one that ends each text, if the decoder starts with it.
        notices: what VED leaves out and somebody could miss, a sentence each.
        packages: what people have to install for it, besides transformers.
    """

    settings: Mapping[str, Any]
    copied: tuple[str, ...]
    tokenizer_json: str | None
    tokens: tuple[str | None, ...]
    token_ids: Mapping[str, int]
    notices: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()

    def token(self, number: int) -> str | None:
        """Return the text of a token; None if no token has the id."""
        return self.tokens[number] if 0 <= number < len(self.tokens) else None

    def is_special(self, number: int) -> bool:
        """Return whether a token is a special one, which ordinary text does not contain."""
        added = self.settings.get("added_tokens_decoder")
        entry = added.get(str(number)) if isinstance(added, dict) else None
        is_marked = isinstance(entry, dict) and entry.get("special") is True
        return is_marked or number in self.token_ids.values()


@dataclass(frozen=True)
class ImageProcessorFiles:
    """The image processor of an encoder.

    Attributes:
        settings: the content of preprocessor_config.json.
        notices: what VED leaves out and somebody could miss, a sentence each.
        size: height and width, in pixels, of processed images; None if they vary, or if the image
            processor was not tried.
        channels: how many channels a processed RGB image has; None if it was not tried.
    """

    settings: Mapping[str, Any]
    notices: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    channels: int | None = None


def write_tokenizer(
    files: TokenizerFiles, token_ids: TokenIds | None, source: Path, directory: Path
) -> None:
    """Write a tokenizer into the directory of a checkpoint.

    Args:
        files: the tokenizer.
        token_ids: the special tokens of the checkpoint. They replace those of the source; None
            leaves those.
        source: the directory of the source.
        directory: the directory of the checkpoint.

    Raises:
        OSError: a file cannot be read or written.
    """
    settings = dict(files.settings)
    if token_ids is not None:
        for name, token in (("pad", token_ids.pad), ("eos", token_ids.eos)):
            if files.token_ids.get(name) != token.id:
                settings[f"{name}_token"] = token.token
    names = (*SPECIAL_TOKENS, ADDITIONAL_TOKENS)
    special = {name: settings[name] for name in names if name in settings}
    _write_json(directory / TOKENIZER_CONFIG, settings)
    _write_json(directory / SPECIAL_TOKENS_MAP, special)
    for name in files.copied:
        shutil.copyfile(source / name, directory / name)
    if files.tokenizer_json is not None:
        (directory / TOKENIZER_JSON).write_bytes(files.tokenizer_json.encode())


def write_image_processor(files: ImageProcessorFiles, directory: Path) -> None:
    """Write an image processor into the directory of a checkpoint.

    Raises:
        OSError: the file cannot be written.
    """
    _write_json(directory / IMAGE_PROCESSOR_CONFIG, files.settings)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    encoded = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_bytes(f"{encoded}\n".encode())
