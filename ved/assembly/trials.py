"""Try what is published besides the weights with transformers: the config, and the processors.

The examination of a source runs this, so a plan finds what would fail after the downloads. No other
step imports transformers, except for tokenizers that are in Python.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from PIL import Image
from transformers import AutoConfig, AutoTokenizer

from ved.assembly import japanese, processing_files
from ved.assembly.config import not_a_part
from ved.assembly.image_processor import not_usable
from ved.assembly.processing_files import ImageProcessorFiles, TokenizerFiles
from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.text import first_line, quoted

_TRIED_TOKENS = 40
"""How many tokens of a vocabulary make the text that a tokenizer is tried with."""


def try_config(directory: Path, role: Role, origin: str) -> None:
    """Read the config of a checkpoint.

    Args:
        directory: where `config_files.write_trial_config` has written it.
        role: the role of the source of one half.
        origin: the origin of its config, for errors.

    Raises:
        VedError: transformers cannot read it.
    """
    try:
        AutoConfig.from_pretrained(directory, local_files_only=True)
    except OSError:
        raise
    except Exception as error:  # strange settings make transformers raise anything
        raise not_a_part(role, origin, error) from error


def try_image_processor(files: ImageProcessorFiles, origin: str) -> ImageProcessorFiles:
    """Process two images that are not square; return the files with size and channels of results.

    Args:
        files: the image processor.
        origin: the source, for errors.

    Raises:
        VedError: the image processor cannot be used.
    """
    settings = {**files.settings}
    name = settings.pop("image_processor_type")
    sizes = set()
    try:
        # The other class of this name needs torch.
        processor = getattr(transformers, f"{name}Pil")(**settings)
        for size in ((40, 30), (30, 40)):
            with np.errstate(all="ignore"):
                found = processor(Image.new("RGB", size), return_tensors="np")
            pixels = np.asarray(found.pixel_values)
            if pixels.ndim != 4 or not pixels.size:
                raise ValueError(f"its result has the shape {pixels.shape}, not that of an image")
            if not np.isfinite(pixels).all():
                raise ValueError("its pixels are not finite numbers")
            sizes.add((pixels.shape[-2], pixels.shape[-1]))
    except Exception as error:  # strange settings make transformers raise anything
        raise not_usable(origin, error) from error
    return replace(files, size=sizes.pop() if len(sizes) == 1 else None, channels=pixels.shape[1])


def try_tokenizer(files: TokenizerFiles, source: Path, rows: int, origin: str) -> None:
    """Write a tokenizer as a checkpoint has it, load it, and encode and decode a text.

    The text consists of tokens of the tokenizer itself: a vocabulary may be of any language.

    Args:
        files: the tokenizer.
        source: the directory of its source.
        rows: how many rows the embedding of the decoder has.
        origin: the source, for errors.

    Raises:
        VedError: the tokenizer does not work with the decoder.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".ved-trial-") as directory:
            processing_files.write_tokenizer(files, None, source, Path(directory))
            # Its own packages are for the people who use the checkpoint.
            is_japanese = files.settings.get("tokenizer_class") == japanese.CLASS
            options = japanese.WITHOUT_WORDS if is_japanese else {}
            tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, **options)
            added = tokenizer("").input_ids
            text = _text(tokenizer, files, rows)
            ids = tokenizer(text, add_special_tokens=False).input_ids
    except OSError:
        raise
    except Exception as error:  # damaged files make transformers and tokenizers raise anything
        reason = f"it cannot encode and decode a text ({first_line(error)})"
        raise _not_usable(origin, reason) from error
    outside = [number for number in added if number >= rows]
    if outside:
        raise VedError(
            f"The tokenizer of {origin} adds {quoted(str(files.token(outside[0])))} to each text. "
            f"Its id {outside[0]} is outside the {rows} rows of the embedding.",
            "Use a source whose tokenizer fits its weights.",
            code=ErrorCode.VOCABULARY_SIZE,
        )
    if not text.strip():
        raise _not_usable(origin, f"the {rows} tokens of the embedding give no text")
    if {*ids} <= {tokenizer.unk_token_id}:
        raise _not_usable(origin, "it encodes no text of its own tokens")


def _text(tokenizer: Any, files: TokenizerFiles, rows: int) -> str:
    """Return a text of tokens from all parts of the vocabulary."""
    special = {*tokenizer.all_special_ids}
    ordinary = [
        number
        for number, token in enumerate(files.tokens[: max(rows, 0)])
        if token is not None and number not in special
    ]
    step = max(1, len(ordinary) // _TRIED_TOKENS)
    return str(tokenizer.decode(ordinary[::step], skip_special_tokens=True))


def _not_usable(origin: str, reason: str) -> VedError:
    return VedError(
        f"The tokenizer of {origin} does not work: {reason}.",
        "Use a source whose tokenizer works with transformers.",
        code=ErrorCode.PROCESSOR_NOT_USABLE,
    )
