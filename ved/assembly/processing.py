"""Load image processor and tokenizer from a source's files, without remote code, and save them."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedTokenizerFast

from ved.errors import ErrorCode, VedError
from ved.sources.snapshot import PROCESSING_FILES
from ved.sources.source import Source

_TOKENIZER_CONFIG = "tokenizer_config.json"
_TOKENIZER_SETTINGS = ("special_tokens_map.json", _TOKENIZER_CONFIG)
"""The files that transformers reads the settings of a tokenizer from."""

# The settings of a fast tokenizer that are not in its tokenizer.json. transformers 5 writes more
# into tokenizer_config.json, but tokenizer.json has it already, or transformers 4 does not know it.
_KNOWN_SETTINGS = (
    "bos_token",
    "clean_up_tokenization_spaces",
    "cls_token",
    "eos_token",
    "mask_token",
    "model_max_length",
    "padding_side",
    "pad_token",
    "sep_token",
    "truncation_side",
    "unk_token",
)


def load_image_processor(encoder: Source, config: Any = None) -> Any:
    """Return the encoder's image processor.

    Args:
        encoder: the source.
        config: the encoder's transformers config. It decides the class if the processor's own
            config does not.

    Raises:
        VedError: the encoder has no image processor that transformers can load.
    """
    (name,) = PROCESSING_FILES["encoder"]
    if not (encoder.directory / name).is_file():
        raise VedError(
            f"{encoder} has no image processor ({name}).",
            "Use an encoder checkpoint that has one.",
            code=ErrorCode.PROCESSOR_NOT_USABLE,
        )
    try:
        # The slow class reads every config, and needs neither torch nor torchvision.
        processor = AutoImageProcessor.from_pretrained(
            encoder.directory,
            config=config,
            use_fast=False,
            trust_remote_code=False,
            local_files_only=True,
        )
    except Exception as error:  # a damaged file makes transformers raise anything
        raise VedError(
            f"The image processor of {encoder} cannot be loaded: {_first_line(error)}.",
            code=ErrorCode.PROCESSOR_NOT_USABLE,
        ) from error
    # The checkpoint must not name code that others would run.
    vars(processor).pop("auto_map", None)
    return processor


@contextmanager
def open_tokenizer(decoder: Source, config: Any) -> Iterator[Any]:
    """Load the decoder's tokenizer, from a copy of its files that lasts as long as the block.

    Args:
        decoder: the source.
        config: the decoder's transformers config. It decides the class if no other file does.

    Yields:
        The tokenizer. Save it inside the block: a slow tokenizer then copies its vocabulary from
        the file that it was loaded from.

    Raises:
        VedError: the decoder has no tokenizer that transformers can load.
    """
    with tempfile.TemporaryDirectory(prefix=".ved-tokenizer-") as copy:
        yield _load_tokenizer(decoder, config, Path(copy))


def _load_tokenizer(decoder: Source, config: Any, directory: Path) -> Any:
    settings = _copy_tokenizer(decoder.directory, directory)
    fast = directory / "tokenizer.json"
    try:
        # transformers 4 lacks this class of transformers 5, but tokenizer.json is enough for it.
        if settings.get("tokenizer_class") == "TokenizersBackend" and fast.is_file():
            known = {key: settings[key] for key in _KNOWN_SETTINGS if settings.get(key) is not None}
            return PreTrainedTokenizerFast(tokenizer_file=str(fast), **known)
        return AutoTokenizer.from_pretrained(
            directory, config=config, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # a damaged file makes transformers and tokenizers raise anything
        raise VedError(
            f"The tokenizer of {decoder} cannot be loaded: {_first_line(error)}.",
            "Use a source that has tokenizer.json, or the vocabulary files of its family.",
            code=ErrorCode.PROCESSOR_NOT_USABLE,
        ) from error


def save_processing(image_processor: Any, tokenizer: Any, directory: Path) -> None:
    """Save both into the directory of a checkpoint.

    Raises:
        VedError: transformers cannot save the settings of one of them.
        OSError: a file cannot be written.
    """
    for part in (image_processor, tokenizer):
        try:
            part.save_pretrained(directory)
        except OSError:
            raise
        except Exception as error:  # strange settings make transformers raise anything
            name = type(part).__name__
            raise VedError(
                f"The {name} cannot be saved: {_first_line(error)}.",
                code=ErrorCode.PROCESSOR_NOT_USABLE,
            ) from error


def _copy_tokenizer(source: Path, destination: Path) -> dict[str, Any]:
    """Copy a tokenizer's files without harmful settings.

    Returns:
        The settings in tokenizer_config.json.
    """
    for name in PROCESSING_FILES["decoder"]:
        if (source / name).is_file():
            shutil.copyfile(source / name, destination / name)
    harmless: dict[str, Any] = {}
    for name in _TOKENIZER_SETTINGS:
        settings = _read_settings(destination / name)
        harmless = {key: value for key, value in settings.items() if _is_harmless(key, value)}
        if harmless != settings:
            (destination / name).write_text(json.dumps(harmless))
    return harmless


def _is_harmless(key: str, value: object) -> bool:
    """Return whether a setting names neither code nor a file.

    transformers reads any file that a setting names and saves it as the vocabulary, so a source
    could publish secrets of this machine. If there are several chat templates, transformers writes
    each to a path that contains its name, so a source could overwrite any file.
    """
    if key == "chat_template":
        return isinstance(value, str)
    names = ("auto_map", "init_inputs", "name_or_path")
    return key not in names and not key.endswith(("_file", "_files"))


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
