"""Set up a tokenizer from the files and the settings of a source.

Source: `PreTrainedTokenizerFast.__init__` of transformers 4.57.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from ved.tokenization.adjustments import adjust_first_space
from ved.tokenization.classes import CLASSES, TokenizerClass
from ved.tokenization.tokens import NAMED, Token, as_token, text

TOKENIZER_JSON = "tokenizer.json"


@dataclass(frozen=True)
class LoadedTokenizer:
    """A tokenizer of `tokenizers`, and the settings that it does not have itself.

    Attributes:
        backend: the tokenizer.
        files: the names of the source's files that it was set up from, sorted.
        named: the texts of its special tokens, by the setting that names them.
        additional: the texts of its further special tokens.
        settings: clean_up_tokenization_spaces, model_input_names, padding_side, truncation_side.
    """

    backend: Tokenizer
    files: tuple[str, ...]
    named: Mapping[str, str]
    additional: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def vocabulary(self) -> dict[str, int]:
        """The ids of all tokens, by their texts."""
        return dict(self.backend.get_vocab(with_added_tokens=True))

    @property
    def added(self) -> dict[int, AddedToken]:
        """The tokens that are not part of the model's vocabulary, by id."""
        return dict(self.backend.get_added_tokens_decoder())

    def id_of(self, token: str) -> int | None:
        """Return the id of a token; that of the unknown token if there is none."""
        candidates = [token, self.named.get("unk_token")]
        ids = [self.backend.token_to_id(each) for each in candidates if each is not None]
        return next((number for number in ids if number is not None), None)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text with the tokens around it, however long it is."""
        whole = Tokenizer.from_str(self.backend.to_str())
        whole.no_padding()
        whole.no_truncation()
        return list(whole.encode(text).ids)


def load_tokenizer(directory: Path, name: str, settings: Mapping[str, Any]) -> LoadedTokenizer:
    """Set up a tokenizer.

    Args:
        directory: the files of the source.
        name: its class, one of `CLASSES`.
        settings: its settings, all of known types.

    Raises:
        ValueError: a file that the class needs is missing or damaged, or the settings contradict
            one another.
        Exception: of `tokenizers`, which has no class of its own for a damaged file.
        OSError: a file cannot be read.
    """
    kind = CLASSES[name]
    has_json = (directory / TOKENIZER_JSON).is_file() and not kind.rebuilds(settings)
    texts = {**kind.tokens, **{each: text(settings[each]) for each in NAMED if each in settings}}
    if has_json:
        backend = Tokenizer.from_file(str(directory / TOKENIZER_JSON))
        padding, truncation = backend.padding, backend.truncation
        if padding is not None:
            texts.setdefault("pad_token", padding["pad_token"])
    else:
        backend = _build(directory, kind, texts, settings)
        padding = truncation = None
    given = settings.get("added_tokens_decoder", {}) if kind.takes_added else {}
    named, additional = _special_tokens(kind, texts, settings, given, from_json=has_json)
    _add_tokens(backend, given, named, additional)
    if not has_json and kind.template is not None:
        kind.template(backend, texts, settings)
    if kind.adjust is not None:
        kind.adjust(backend, texts, settings)
    adjust_first_space(backend, settings)
    return LoadedTokenizer(
        backend,
        tuple(
            sorted(each for each in (*kind.files, TOKENIZER_JSON) if (directory / each).is_file())
        ),
        texts,
        tuple(text(each) for each in additional),
        {
            "clean_up_tokenization_spaces": kind.cleans_up and not has_json,
            "model_input_names": [*kind.inputs],
            "padding_side": padding["direction"] if padding else "right",
            "truncation_side": truncation["direction"] if truncation else "right",
        },
    )


def _build(
    directory: Path, kind: TokenizerClass, texts: Mapping[str, str], settings: Mapping[str, Any]
) -> Tokenizer:
    missing = [name for name in kind.files if not (directory / name).is_file()]
    if kind.build is None or missing:
        needed = [TOKENIZER_JSON] if kind.build is None else missing
        raise ValueError(f"it has no {' and no '.join(needed)}")
    return kind.build(directory, texts, settings)


def _special_tokens(
    kind: TokenizerClass,
    texts: Mapping[str, str],
    settings: Mapping[str, Any],
    added: Mapping[Any, Any],
    *,
    from_json: bool,
) -> tuple[dict[str, Token], list[Token]]:
    """Return the named special tokens and the further ones, with their flags where given."""
    given = {text(each): each for each in added.values()}
    named: dict[str, Token] = {}
    for name in NAMED:
        if name not in texts:
            continue
        token: Any = settings.get(name, texts[name])
        if name in settings:
            token = given.get(texts[name], token)
        if isinstance(token, str) and name == "mask_token" and kind.mask is not None:
            token = AddedToken(token, **kind.mask, special=True)
        elif isinstance(token, str) and kind.normalizes_tokens and not from_json:
            token = AddedToken(token, normalized=True, special=True)
        named[name] = as_token(token)
    additional = [
        as_token(each)
        for each in kind.additional([*settings.get("additional_special_tokens", [])], settings)
    ]
    return named, additional


def _add_tokens(
    backend: Tokenizer,
    given: Mapping[Any, Any],
    named: Mapping[str, Token],
    additional: Iterable[Token],
) -> None:
    """Add the given tokens, and the special ones that are missing or that state their flags."""
    present = backend.get_added_tokens_decoder()
    known = {repr(token) for token in present.values()}
    found = [as_token(given[number]) for number in sorted(given, key=int)]
    found = [token for token in found if repr(token) not in known]
    contents = {text(token) for token in (*present.values(), *found)}
    seen = set()
    special = [*named.values(), *additional]
    for token in special:
        if text(token) not in seen and (isinstance(token, AddedToken) or token not in contents):
            found.append(token)
        seen.add(text(token))
    texts = {text(each) for each in special}
    for index, token in enumerate(found):
        is_special = text(token) in texts
        if isinstance(token, str):
            found[index] = AddedToken(token, special=is_special)
        else:
            token.special = token.special or is_special
    backend.add_tokens(found)
