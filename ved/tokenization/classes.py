"""The classes of tokenizers: their vocabulary files, and the settings that differ between them.

Source: the classes for `tokenizers` in transformers 4.57, by the same names with `Fast`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tokenizers import Tokenizer

from ved.tokenization import sentencepiece_models as models
from ved.tokenization.adjustments import adjust_normalizer, adjust_offsets, put_language
from ved.tokenization.languages import MBART_50_LANGUAGES, MBART_LANGUAGES
from ved.tokenization.sentencepiece_models import (
    Normalizer,
    PiecesOf,
    around,
    from_model,
)
from ved.tokenization.tokens import text
from ved.tokenization.vocabulary_files import (
    Texts,
    begin,
    begin_and_end,
    byte_pairs,
    roberta_begin_and_end,
    word_pieces,
)

Settings: TypeAlias = Mapping[str, Any]
Change: TypeAlias = Callable[[Tokenizer, Texts, Settings], None]
"""Changes a tokenizer."""


@dataclass(frozen=True)
class TokenizerClass:
    """One class of tokenizers.

    Attributes:
        files: its vocabulary files, which it needs if there is no tokenizer.json.
        tokens: its special tokens if the settings name no others.
        build: sets up a tokenizer from the vocabulary files; None if VED cannot.
        template: what puts special tokens around a text if there is no tokenizer.json.
        adjust: changes that the settings make in any case.
        mask: the flags of a mask token that is given as a text.
        normalizes_tokens: special tokens from vocabulary files are found in the normalized text.
        additional: returns its further special tokens, of those in the settings.
        inputs: the model's inputs that a tokenizer makes.
        cleans_up: decoding removes spaces before punctuation, if there is no tokenizer.json.
        rebuilds: returns whether the settings need the vocabulary files in any case.
        takes_added: the settings may have added tokens.
    """

    files: tuple[str, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict)
    build: Callable[[Path, Texts, Settings], Tokenizer] | None = None
    template: Change | None = None
    adjust: Change | None = None
    mask: Mapping[str, bool] | None = None
    normalizes_tokens: bool = False
    additional: Callable[[list[Any], Settings], list[Any]] = lambda given, _: given
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    cleans_up: bool = False
    rebuilds: Callable[[Settings], bool] = lambda _: False
    takes_added: bool = True


_SPIECE, _FAIRSEQ_MODEL = "spiece.model", "sentencepiece.bpe.model"
_WITH_TYPES = ("input_ids", "token_type_ids", "attention_mask")
_BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_FAIRSEQ_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
_NORMALIZED_MASK = {"lstrip": True, "normalized": True}
_RAW_MASK = {"lstrip": True, "normalized": False}


def _bert(inputs: tuple[str, ...]) -> TokenizerClass:
    return TokenizerClass(
        files=("vocab.txt",),
        tokens=_BERT_TOKENS,
        build=word_pieces,
        template=begin_and_end,
        adjust=adjust_normalizer,
        inputs=inputs,
        cleans_up=True,
    )


def _roberta(mask: Mapping[str, bool]) -> TokenizerClass:
    return TokenizerClass(
        files=("vocab.json", "merges.txt"),
        tokens=_FAIRSEQ_TOKENS,
        build=byte_pairs,
        template=roberta_begin_and_end,
        adjust=adjust_offsets,
        mask=mask,
        normalizes_tokens=True,
    )


def _sentencepiece(
    file: str,
    pieces: PiecesOf,
    *,
    words: Literal["spaces", "split"] = "spaces",
    normalizer: Normalizer | None = None,
    **others: Any,
) -> TokenizerClass:
    """Return a class whose vocabulary file is a sentencepiece model."""
    build = partial(from_model, file=file, pieces=pieces, words=words, normalizer=normalizer)
    return TokenizerClass(files=(file,), build=build, **others)


def _without(tokens: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: token for name, token in tokens.items() if name not in names}


def _fixed(single: str, pair: str, tokens: tuple[str, ...]) -> Change:
    return lambda tokenizer, _, __: around(tokenizer, single=single, pair=pair, tokens=tokens)


_ONE_BEFORE_ONE_AFTER = _fixed("<s> $A </s>", "<s> $A </s> </s> $B </s>", ("<s>", "</s>"))


def _camembert_tokens(given: list[Any], _: Settings) -> list[Any]:
    return given or ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"]


def _with_languages(languages: tuple[str, ...], *, first: bool) -> Callable[..., list[Any]]:
    """Return a function that puts the missing tokens of languages before or after the given."""

    def add(given: list[Any], _: Settings) -> list[Any]:
        if first:
            return [*languages, *(each for each in given if each not in languages)]
        return [*given, *(each for each in languages if each not in given)]

    return add


def _pegasus_tokens(given: list[Any], settings: Settings) -> list[Any]:
    offset, sentence = settings.get("offset", 103), settings.get("mask_token_sent", "<mask_1>")
    if not given:
        return [sentence, *(f"<unk_{number}>" for number in range(2, offset))]
    found = given if sentence in given else [sentence, *given]
    found = [*found, *(f"<unk_{number}>" for number in range(len(found), offset - 1))]
    if len({text(each) for each in found}) < len(found):
        raise ValueError("additional_special_tokens repeats a token of the class")
    return found


def _t5_tokens(given: list[Any], settings: Settings) -> list[Any]:
    sentinels = models.t5_sentinels(settings)
    own = [each for each in given if "<extra_id_" in text(each)]
    if not own:
        return [*given, *sentinels]
    if sentinels and len(own) != len(sentinels):
        raise ValueError("additional_special_tokens and extra_ids contradict each other")
    return given


def _pegasus_template(tokenizer: Tokenizer, tokens: Texts, _: Settings) -> None:
    last = tokens["eos_token"]
    around(tokenizer, single=f"$A {last}", pair=f"$A $B {last}", tokens=[last])


_PEGASUS_TOKENS = {
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask_2>",
}

CLASSES: Mapping[str, TokenizerClass] = {
    "PreTrainedTokenizer": TokenizerClass(inputs=_WITH_TYPES),
    "TokenizersBackend": TokenizerClass(inputs=_WITH_TYPES),
    "AlbertTokenizer": _sentencepiece(
        _SPIECE,
        models.albert_pieces,
        normalizer=models.albert_normalizer,
        tokens=_BERT_TOKENS
        | {"bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "<unk>", "pad_token": "<pad>"},
        template=_fixed(
            "[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", ("[CLS]", "[SEP]")
        ),
        mask=_RAW_MASK,
        inputs=_WITH_TYPES,
    ),
    "BartTokenizer": _roberta(_NORMALIZED_MASK),
    "BarthezTokenizer": _sentencepiece(
        _FAIRSEQ_MODEL,
        models.barthez_pieces,
        tokens=_FAIRSEQ_TOKENS,
        template=_ONE_BEFORE_ONE_AFTER,
        mask=_RAW_MASK,
    ),
    "BertTokenizer": _bert(_WITH_TYPES),
    "CamembertTokenizer": _sentencepiece(
        _FAIRSEQ_MODEL,
        models.camembert_pieces,
        tokens=_FAIRSEQ_TOKENS,
        template=_ONE_BEFORE_ONE_AFTER,
        mask=_RAW_MASK,
        additional=_camembert_tokens,
    ),
    "DistilBertTokenizer": _bert(("input_ids", "attention_mask")),
    "ElectraTokenizer": _bert(_WITH_TYPES),
    "GPT2Tokenizer": TokenizerClass(
        files=("vocab.json", "merges.txt"),
        tokens=dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
        build=byte_pairs,
        template=begin,
        normalizes_tokens=True,
    ),
    "HerbertTokenizer": TokenizerClass(
        files=("vocab.json", "merges.txt"),
        tokens=_without(_FAIRSEQ_TOKENS, "bos_token", "eos_token"),
        inputs=_WITH_TYPES,
    ),
    "MBart50Tokenizer": _sentencepiece(
        _FAIRSEQ_MODEL,
        models.mbart_50_pieces,
        tokens=_without(_FAIRSEQ_TOKENS, "bos_token"),
        adjust=partial(put_language, languages=MBART_50_LANGUAGES, first=True),
        mask=_RAW_MASK,
        additional=_with_languages(MBART_50_LANGUAGES, first=False),
    ),
    "MBartTokenizer": _sentencepiece(
        _FAIRSEQ_MODEL,
        models.mbart_pieces,
        tokens=_FAIRSEQ_TOKENS,
        adjust=partial(put_language, languages=MBART_LANGUAGES, first=False),
        mask=_RAW_MASK,
        additional=_with_languages(MBART_LANGUAGES, first=True),
    ),
    "PegasusTokenizer": _sentencepiece(
        _SPIECE,
        models.pegasus_pieces,
        words="split",
        tokens=_PEGASUS_TOKENS,
        template=_pegasus_template,
        additional=_pegasus_tokens,
        rebuilds=lambda settings: any(
            text(settings.get(name, _PEGASUS_TOKENS[name])) != _PEGASUS_TOKENS[name]
            for name in ("pad_token", "eos_token", "unk_token")
        ),
        takes_added=False,
    ),
    "RobertaTokenizer": _roberta(_RAW_MASK),
    "T5Tokenizer": _sentencepiece(
        _SPIECE,
        models.t5_pieces,
        tokens=_without(_PEGASUS_TOKENS, "mask_token"),
        template=_fixed("$A </s>", "$A </s> $B </s>", ("</s>",)),
        additional=_t5_tokens,
        rebuilds=lambda settings: "add_prefix_space" in settings,
    ),
    "XGLMTokenizer": _sentencepiece(
        _FAIRSEQ_MODEL,
        models.xglm_pieces,
        tokens=_without(_FAIRSEQ_TOKENS, "mask_token"),
        template=_fixed("</s> $A", "</s> $A </s> </s> $B", ("<s>", "</s>")),
        additional=_with_languages(models.MADE_UP_WORDS, first=False),
    ),
    "XLMRobertaTokenizer": _sentencepiece(
        _FAIRSEQ_MODEL,
        models.fairseq_pieces,
        tokens=_FAIRSEQ_TOKENS,
        template=_ONE_BEFORE_ONE_AFTER,
        mask=_RAW_MASK,
    ),
}
"""The classes by their names, without `Fast`."""
