"""Set up a tokenizer from a sentencepiece model.

Source: `SpmConverter` and the classes after it in transformers' convert_slow_tokenizer; the format
is sentencepiece_model.proto of sentencepiece.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sentencepiece import sentencepiece_model_pb2
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from ved.tokenization.languages import MBART_50_LANGUAGES, MBART_LANGUAGES
from ved.tokenization.vocabulary_files import Texts, known_id

Pieces: TypeAlias = list[tuple[str, float]]
"""Tokens with their scores, by id."""

_SPACE = "▁"
_UNIGRAM, _BYTE_PAIRS = 1, 2  # values of TrainerSpec.ModelType
_CONTROL, _USER_DEFINED = 3, 4  # values of SentencePiece.Type
_FAIRSEQ: Pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
_FAIRSEQ_UNKNOWN = 3

_PEGASUS_MASK = 3
"""The id of PEGASUS's mask token, if its vocabulary is shifted so far."""

MADE_UP_WORDS = tuple(f"<madeupword{number}>" for number in range(7))
"""The unused tokens at the end of XGLM's vocabulary."""

PiecesOf: TypeAlias = Callable[[Any, Texts, Mapping[str, Any]], tuple[Pieces, int]]
"""Returns the vocabulary of a model, and the id of the unknown token."""

Normalizer: TypeAlias = Callable[[Any, Mapping[str, Any]], Any]


def from_model(
    directory: Path,
    tokens: Texts,
    settings: Mapping[str, Any],
    *,
    file: str,
    pieces: PiecesOf,
    words: Literal["spaces", "split"] = "spaces",
    normalizer: Normalizer | None = None,
) -> Tokenizer:
    """Return a tokenizer from a sentencepiece model.

    Args:
        directory: the directory of the model.
        tokens: the texts of special tokens.
        settings: the settings of the tokenizer.
        file: the name of the model.
        pieces: returns the vocabulary and the id of the unknown token.
        words: "split" divides a text at spaces first.
        normalizer: returns the normalizer; None for the usual one.

    Raises:
        ValueError: the model is damaged, or of another algorithm.
        OSError: the model cannot be read.
    """
    model = sentencepiece_model_pb2.ModelProto()
    try:
        model.ParseFromString((directory / file).read_bytes())
    except Exception as error:  # of protobuf, which has several implementations
        raise ValueError(f"{file} is not a sentencepiece model") from error
    tokenizer = Tokenizer(_model(model, *pieces(model, tokens, settings)))
    tokenizer.add_tokens(
        [
            AddedToken(each.piece, normalized=False, special=each.type == _CONTROL)
            for each in model.pieces
            if each.type in (_CONTROL, _USER_DEFINED)
        ]
    )
    tokenizer.normalizer = (normalizer or _usual_normalizer)(model, settings)
    scheme = _prepend_scheme(settings)
    spaces: Any = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme=scheme)
    if words == "split":
        spaces = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), spaces])
    tokenizer.pre_tokenizer = spaces
    tokenizer.decoder = decoders.Metaspace(replacement=_SPACE, prepend_scheme=scheme)
    return tokenizer


def _model(model: Any, vocabulary: Pieces, unknown: int) -> Any:
    if model.trainer_spec.model_type == _UNIGRAM:
        return models.Unigram(vocabulary, unk_id=unknown, byte_fallback=False)
    if model.trainer_spec.model_type == _BYTE_PAIRS:
        return models.BPE(
            {piece: number for number, (piece, _) in enumerate(vocabulary)},
            _merges([each.piece for each in model.pieces], dict(vocabulary)),
            unk_token=model.trainer_spec.unk_piece,
            fuse_unk=True,
            byte_fallback=False,
        )
    raise ValueError("its sentencepiece model is neither of unigrams nor of byte pairs")


def _merges(pieces: Iterable[str], scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the pairs of pieces that make another piece, best score first."""
    ids = {piece: number for number, piece in enumerate(pieces)}
    found = []
    for piece, score in scores.items():
        halves = [(piece[:index], piece[index:]) for index in range(1, len(piece))]
        known = [(left, right) for left, right in halves if left in ids and right in ids]
        known.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        found += [(score, *pair) for pair in known]
    found.sort(key=lambda each: (each[0], len(each[1]), len(each[2])), reverse=True)
    return [(left, right) for _, left, right in found]


def _prepend_scheme(settings: Mapping[str, Any]) -> str:
    """Return where a space is put before a text. Only T5's class has these settings."""
    if not settings.get("add_prefix_space", True):
        return "never"
    return "always" if settings.get("legacy", True) else "first"


def _usual_normalizer(model: Any, _: Mapping[str, Any]) -> Any:
    charsmap = model.normalizer_spec.precompiled_charsmap
    first = [normalizers.Precompiled(charsmap)] if charsmap else []
    spaces = [
        normalizers.Strip(left=False, right=True),
        normalizers.Replace(Regex(" {2,}"), _SPACE),
    ]
    return normalizers.Sequence([*first, *spaces])


def albert_normalizer(model: Any, settings: Mapping[str, Any]) -> Any:
    """Return the normalizer of ALBERT, which its settings change."""
    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not settings.get("keep_accents", False):
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if settings.get("do_lower_case", True):
        steps.append(normalizers.Lowercase())
    if model.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap))
    return normalizers.Sequence([*steps, normalizers.Replace(Regex(" {2,}"), " ")])


# The vocabularies. Those of fairseq have other first tokens than the sentencepiece model.


def _scored(model: Any, start: int = 0) -> Pieces:
    return [(each.piece, each.score) for each in model.pieces[start:]]


def _unscored(tokens: Iterable[str]) -> Pieces:
    return [(each, 0.0) for each in tokens]


def own_pieces(model: Any, _: Texts, __: Mapping[str, Any]) -> tuple[Pieces, int]:
    """Return the vocabulary of the model itself."""
    return _scored(model), model.trainer_spec.unk_id


def barthez_pieces(model: Any, _: Texts, __: Mapping[str, Any]) -> tuple[Pieces, int]:
    """Return the vocabulary of BARThez."""
    return _scored(model), _FAIRSEQ_UNKNOWN


def albert_pieces(model: Any, _: Texts, __: Mapping[str, Any]) -> tuple[Pieces, int]:
    """Return the vocabulary of ALBERT: it avoids pieces with a comma after a number."""
    pieces = [
        (
            piece,
            score - 100 if len(piece) >= 2 and piece[-1] == "," and piece[-2].isdigit() else score,
        )
        for piece, score in _scored(model)
    ]
    return pieces, model.trainer_spec.unk_id


def fairseq_pieces(
    model: Any, _: Texts, __: Mapping[str, Any], *, last: Iterable[str] = ("<mask>",)
) -> tuple[Pieces, int]:
    """Return the vocabulary of XLM-RoBERTa: fairseq's tokens, the pieces, and `last`."""
    return [*_FAIRSEQ, *_scored(model, 3), *_unscored(last)], _FAIRSEQ_UNKNOWN


mbart_pieces = partial(fairseq_pieces, last=(*MBART_LANGUAGES, "<mask>"))
mbart_50_pieces = partial(fairseq_pieces, last=(*MBART_50_LANGUAGES, "<mask>"))
xglm_pieces = partial(fairseq_pieces, last=MADE_UP_WORDS)


def camembert_pieces(model: Any, _: Texts, __: Mapping[str, Any]) -> tuple[Pieces, int]:
    """Return the vocabulary of CamemBERT, whose own special tokens are used."""
    first = _unscored(("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>"))
    unused: Pieces = [("<unk>NOTUSED", -100.0)]
    return [*first, *unused, *_scored(model, 1), ("<mask>", 0.0)], _FAIRSEQ_UNKNOWN


def t5_pieces(model: Any, _: Texts, settings: Mapping[str, Any]) -> tuple[Pieces, int]:
    """Return the vocabulary of T5, with its sentinels at the end in falling order."""
    sentinels = t5_sentinels(settings)
    return [*_scored(model), *_unscored(reversed(sentinels))], model.trainer_spec.unk_id


def t5_sentinels(settings: Mapping[str, Any]) -> list[str]:
    """Return the tokens with which T5 was trained to replace words."""
    return [f"<extra_id_{number}>" for number in range(settings.get("extra_ids", 100))]


def pegasus_pieces(model: Any, tokens: Texts, settings: Mapping[str, Any]) -> tuple[Pieces, int]:
    """Return the vocabulary of PEGASUS: `offset` further tokens shift the pieces."""
    offset = settings.get("offset", 103)
    masks = [settings.get("mask_token_sent", "<mask_1>"), tokens["mask_token"]]
    if offset <= _PEGASUS_MASK:
        masks.pop()
    first = _unscored((tokens["pad_token"], tokens["eos_token"], *masks))
    unused = [(f"<unk_{number}>", -100.0) for number in range(2, offset)]
    return [*first, *unused, *_scored(model, 2)], model.trainer_spec.unk_id + offset


# The tokens around a text


def around(tokenizer: Tokenizer, *, single: str, pair: str, tokens: Iterable[str]) -> None:
    """Put tokens around a text and between two, by templates of `tokenizers`."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single,
        pair=pair,
        special_tokens=[(each, known_id(tokenizer, each)) for each in tokens],
    )
