"""Image processor and tokenizer: loaded from a source's own files, never with remote code."""

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
"""What transformers takes a tokenizer's settings from, whatever they are called."""

# What a fast tokenizer is told beside its tokenizer.json. Whatever else transformers 5 writes to a
# tokenizer_config.json is in tokenizer.json already, or unknown to transformers 4.
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
        config: the encoder's transformers config, which tells the class where the processor's own
            does not.

    Raises:
        VedError: the encoder has none that transformers can load.
    """
    (name,) = PROCESSING_FILES["encoder"]
    if not (encoder.directory / name).is_file():
        raise VedError(
            f"{encoder} has no image processor ({name}).",
            "Use an encoder checkpoint that has one; without it nobody can prepare an image.",
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
    except Exception as error:  # whatever a damaged file makes transformers raise
        raise VedError(
            f"The image processor of {encoder} cannot be loaded: {_first_line(error)}.",
            code=ErrorCode.PROCESSOR_NOT_USABLE,
        ) from error
    # What names code for others to run is not passed on.
    vars(processor).pop("auto_map", None)
    return processor


@contextmanager
def open_tokenizer(decoder: Source, config: Any) -> Iterator[Any]:
    """Yield the decoder's tokenizer, which can be saved until the block ends.

    Args:
        config: the decoder's transformers config, which tells the class where no file does.

    Raises:
        VedError: the decoder has none that transformers can load.
    """
    # Slow tokenizers copy their vocabulary from where they were loaded when they are saved.
    with tempfile.TemporaryDirectory(prefix=".ved-tokenizer-") as copy:
        yield _load_tokenizer(decoder, config, Path(copy))


def _load_tokenizer(decoder: Source, config: Any, directory: Path) -> Any:
    settings = _copy_tokenizer(decoder.directory, directory)
    fast = directory / "tokenizer.json"
    try:
        # transformers 5 names a class that transformers 4 lacks; tokenizer.json says it all.
        if settings.get("tokenizer_class") == "TokenizersBackend" and fast.is_file():
            known = {key: settings[key] for key in _KNOWN_SETTINGS if settings.get(key) is not None}
            return PreTrainedTokenizerFast(tokenizer_file=str(fast), **known)
        return AutoTokenizer.from_pretrained(
            directory, config=config, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # whatever a damaged file makes transformers and tokenizers raise
        raise VedError(
            f"The tokenizer of {decoder} cannot be loaded: {_first_line(error)}.",
            "The source needs tokenizer.json, or the vocabulary files of its family.",
            code=ErrorCode.PROCESSOR_NOT_USABLE,
        ) from error


def save_processing(image_processor: Any, tokenizer: Any, directory: Path) -> None:
    """Save both among a checkpoint's files.

    Raises:
        VedError: what the source says of one of them cannot be saved.
    """
    for part in (image_processor, tokenizer):
        try:
            part.save_pretrained(directory)
        except OSError:
            raise
        except Exception as error:  # whatever strange settings make transformers raise
            name = type(part).__name__
            raise VedError(
                f"The {name} cannot be saved: {_first_line(error)}.",
                code=ErrorCode.PROCESSOR_NOT_USABLE,
            ) from error


def _copy_tokenizer(source: Path, destination: Path) -> dict[str, Any]:
    """Copy a tokenizer's files, and return its settings, without any that could do harm."""
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
    """Tell whether a setting names neither code nor a file.

    transformers reads the file that a setting names, wherever it is, and publishes it as the
    vocabulary: a source could have this machine's secrets published. And where there is more than
    one chat template, it writes each to the path that its name makes, wherever that is.
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
