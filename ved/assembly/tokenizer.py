"""Prepare the tokenizer of a source for publication, without reading anything but its own files.

Published is `PreTrainedTokenizerFast` with tokenizer.json, which transformers 4.57 and 5 load in
the same way: classes of single families apply further settings, each release in its own way.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from ved.assembly import japanese, json_settings, tokenizer_settings
from ved.assembly.processing_files import (
    ADDITIONAL_TOKENS,
    TOKENIZER_JSON,
    Package,
    TokenizerFiles,
)
from ved.errors import ErrorCode, VedError
from ved.families.family import Family
from ved.families.table import REFUSED_TOKENIZERS
from ved.limits import small_file_bytes
from ved.sources.snapshot import PROCESSING_FILES
from ved.text import first_line, quoted
from ved.tokenization import CLASSES, LoadedTokenizer, load_tokenizer
from ved.tokenization.adjustments import state_of

if TYPE_CHECKING:
    from ved.assembly.python_tokenizers import PythonTokenizer

_GENERIC = "PreTrainedTokenizerFast"
_TRANSFORMERS_5 = "TokenizersBackend"
"""The name of the generic class in transformers 5."""

_MAX_TOKENS = 4_000_000
_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_PACKAGES: Mapping[str, tuple[Package, ...]] = {
    "BertGenerationTokenizer": ("sentencepiece",),
    "BertweetTokenizer": ("emoji",),
    "GPTSw3Tokenizer": ("sentencepiece",),
}
"""The packages that transformers needs, by class without tokenizer.json."""

_KEPT = ("model_max_length", "split_special_tokens")


def prepare_tokenizer(
    directory: Path, config: Mapping[str, Any], family: Family, origin: str
) -> TokenizerFiles:
    """Return what is published of a source's tokenizer.

    Args:
        directory: the files of the source.
        config: the content of its config.json.
        family: its family.
        origin: the source, for errors.

    Raises:
        VedError: the source has no tokenizer that VED can publish.
    """
    try:
        raw, settings = tokenizer_settings.read_settings(directory)
        name = _class_name(raw, config, family, origin)
        if name == _TRANSFORMERS_5:
            # transformers 4.57 takes this from the settings, transformers 5 from tokenizer.json.
            settings["add_prefix_space"] = tokenizer_settings.adds_prefix_space(directory)
        loading = settings
        if name == japanese.CLASS:
            settings |= japanese.read_settings(raw, origin)
            loading = settings | japanese.WITHOUT_WORDS
        tokenizer = _load(directory, name, loading)
        files = _describe(tokenizer, name, directory, raw, settings)
        added = tokenizer.encode("") if family.starts_with_last else []
        last = {"last": added[-1]} if added else {}
        return replace(files, token_ids={**files.token_ids, **last})
    except VedError:
        raise
    except Exception as error:  # a damaged file makes transformers and tokenizers raise anything
        raise VedError(
            f"The tokenizer of {origin} cannot be loaded: {first_line(error)}.",
            "Use a source that has tokenizer.json, or the vocabulary files of its family.",
            code=ErrorCode.PROCESSOR_NOT_USABLE,
        ) from error


def _class_name(
    raw: Mapping[str, Any], config: Mapping[str, Any], family: Family, origin: str
) -> str:
    """Return the name of the tokenizer's class, without `Fast`.

    Raises:
        VedError: the family may not have this class.
    """
    named = raw.get("tokenizer_class") or config.get("tokenizer_class") or family.tokenizers[0]
    name = str(named).removesuffix("Fast")
    if name in family.tokenizers:
        return name
    reason = REFUSED_TOKENIZERS.get(name, "VED does not know it for this family")
    raise VedError(
        f"The tokenizer of {origin} has the class {quoted(str(named))}: {reason}.",
        f"Use a source whose tokenizer has one of these classes: {', '.join(family.tokenizers)}.",
        code=ErrorCode.PROCESSOR_NOT_USABLE,
    )


def _load(
    directory: Path, name: str, settings: Mapping[str, Any]
) -> "LoadedTokenizer | PythonTokenizer":
    """Load a tokenizer from its files of limited size and the known settings."""
    for each in PROCESSING_FILES["decoder"]:
        limit = small_file_bytes(each)
        if (directory / each).is_file() and (directory / each).stat().st_size > limit:
            raise ValueError(f"{each} has more than {limit} bytes")
    if name in CLASSES:
        return load_tokenizer(directory, name, settings)
    from ved.assembly.python_tokenizers import load_python_tokenizer  # imports transformers

    return load_python_tokenizer(directory, name, settings)


def _describe(
    tokenizer: "LoadedTokenizer | PythonTokenizer",
    name: str,
    directory: Path,
    raw: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> TokenizerFiles:
    """Return what is published of a loaded tokenizer.

    Args:
        tokenizer: the tokenizer.
        name: the name of its class.
        directory: the directory of the source.
        raw: the content of its tokenizer_config.json.
        settings: the known settings.
    """
    tokens = _token_table(tokenizer)  # first: tokenizer.json takes hours to write with a huge id
    published = _special_tokens(tokenizer) | _visible_settings(tokenizer, settings)
    tokenizer_json, copied = None, tokenizer.files
    packages, notices = _PACKAGES.get(name, ()), []
    if isinstance(tokenizer, LoadedTokenizer):
        published["tokenizer_class"] = _GENERIC
        backend = tokenizer.backend
        if state_of(backend.pre_tokenizer).get("add_prefix_space") is True:
            published["add_prefix_space"] = True  # without it, transformers 4.57 removes the space
        if not _equals_file(backend, directory / TOKENIZER_JSON):
            tokenizer_json = backend.to_str()
            copied = tuple(each for each in copied if each != TOKENIZER_JSON)
    else:
        published = {**settings, **published, "tokenizer_class": name}
    if name == japanese.CLASS:
        packages, notices = japanese.packages(settings), japanese.notices(settings)
    notices += _keep_template(raw, published)
    if "auto_map" in raw:
        notices.append(f"VED does not run the tokenizer's own code, and uses {name} instead.")
    token_ids = {
        setting.removesuffix("_token"): number
        for setting, token in tokenizer.named.items()
        if (number := tokenizer.id_of(token)) is not None
    }
    return TokenizerFiles(
        published, copied, tokenizer_json, tokens, token_ids, tuple(notices), packages
    )


def _special_tokens(tokenizer: "LoadedTokenizer | PythonTokenizer") -> dict[str, Any]:
    """Return the settings of special and added tokens."""
    found: dict[str, Any] = dict(tokenizer.named)
    if tokenizer.additional:
        found[ADDITIONAL_TOKENS] = [*tokenizer.additional]
    found["added_tokens_decoder"] = {
        str(number): json_settings.added_token(
            {flag: getattr(token, flag) for flag in json_settings.TOKEN_FIELDS}
        )
        for number, token in sorted(tokenizer.added.items())
    }
    return found


def _visible_settings(
    tokenizer: "LoadedTokenizer | PythonTokenizer", settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings that are not in tokenizer.json. Their defaults differ by class."""
    kept = {name: settings[name] for name in (*tokenizer.settings, *_KEPT) if name in settings}
    return {**tokenizer.settings, **kept}


def _equals_file(backend: Tokenizer, path: Path) -> bool:
    """Return whether a tokenizer.json does what the loaded tokenizer does.

    Settings may have changed the loaded one: those of BERT replace the normalizer.
    """
    if not path.is_file():
        return False
    stored = Tokenizer.from_file(str(path))
    return all(
        state_of(getattr(backend, part)) == state_of(getattr(stored, part)) for part in _PARTS
    )


def _keep_template(raw: Mapping[str, Any], published: dict[str, Any]) -> list[str]:
    """Add the chat template to the settings if it is one text.

    Returns:
        What is left out, a sentence each.
    """
    template = raw.get("chat_template")
    if template is None:
        return []
    try:
        published["chat_template"] = json_settings.text(template)
    except ValueError as error:
        return [f"The chat template of the tokenizer is not published: it is not {error}."]
    return []


def _token_table(tokenizer: "LoadedTokenizer | PythonTokenizer") -> tuple[str | None, ...]:
    """Return the text of each token, by id.

    Raises:
        ValueError: an id or a text is too large.
    """
    vocabulary = tokenizer.vocabulary
    size = max(vocabulary.values(), default=-1) + 1
    if size > _MAX_TOKENS:
        raise ValueError(f"the id {size - 1} of a token is above {_MAX_TOKENS - 1}")
    table: list[str | None] = [None] * size
    for token, number in vocabulary.items():
        if len(token) > json_settings.MAX_TOKEN_LENGTH:
            raise ValueError(f"token {number} has {len(token)} characters")
        table[number] = token
    return tuple(table)
