"""Tokenizers are set up as transformers 4.57 sets them up: each class, form and setting."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import checkpoints
from tests.checkpoints.families import sentencepiece_model
from tests.support import tokenizers
from tests.support.consumers import run_consumer
from ved.assembly.tokenizer_settings import read_settings
from ved.families.table import DECODERS
from ved.tokenization import CLASSES, load_tokenizer

CONSUMER = Path(__file__).parents[1] / "consumers" / "tokenizer_classes.py"
IN_PYTHON = {
    "BertGenerationTokenizer",
    "BertJapaneseTokenizer",
    "BertweetTokenizer",
    "GPTSw3Tokenizer",
    "PhobertTokenizer",
}

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"additional_special_tokens": ["<E1>", {"content": "<E2>", "rstrip": True}]},
    {"add_prefix_space": True, "trim_offsets": False, "padding_side": "left"},
    {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
    {"add_bos_token": True, "truncation_side": "left", "clean_up_tokenization_spaces": True},
)
BERT_OPTIONS: tuple[dict[str, Any], ...] = (
    {"do_basic_tokenize": False},
    {"mask_token": {"content": "[MASK]", "lstrip": True}, "unk_token": "[UNK]"},
)
OWN_OPTIONS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "AlbertTokenizer": ({"keep_accents": True, "do_lower_case": False},),
    "BertTokenizer": BERT_OPTIONS,
    "ElectraTokenizer": BERT_OPTIONS,
    "GPT2Tokenizer": ({"pad_token": "<p>"},),
    "MBart50Tokenizer": ({"src_lang": "gl_ES"},),
    "MBartTokenizer": ({"src_lang": "de_DE"},),
    "PegasusTokenizer": (
        {"offset": 10, "mask_token": "[M]", "additional_special_tokens": ["<a>"]},
        {"eos_token": "<e>"},
    ),
    "RobertaTokenizer": ({"cls_token": "<c>", "mask_token": {"content": "<m>", "lstrip": True}},),
    "T5Tokenizer": ({"legacy": False, "extra_ids": 5},),
}
_MAKERS = {**checkpoints.DECODERS, "camembert": checkpoints.camembert}
FAMILY_OF = {
    "AlbertTokenizer": "xlm-roberta",
    "BartTokenizer": "bart",
    "BarthezTokenizer": "xlm-roberta",
    "BertTokenizer": "bert",
    "CamembertTokenizer": "camembert",
    "DistilBertTokenizer": "bert",
    "ElectraTokenizer": "bert",
    "GPT2Tokenizer": "gpt2",
    "HerbertTokenizer": "roberta",
    "MBart50Tokenizer": "mbart",
    "MBartTokenizer": "mbart",
    "PegasusTokenizer": "pegasus",
    "PreTrainedTokenizer": "gpt2",
    "RobertaTokenizer": "roberta",
    "T5Tokenizer": "xlm-roberta",
    "XGLMTokenizer": "xglm",
    "XLMRobertaTokenizer": "xlm-roberta",
}
"""The family whose sample has files that a class can read."""


class Case(NamedTuple):
    """A tokenizer of a source."""

    label: str
    name: str
    directory: Path


def _cases(folder: Path) -> Iterator[Case]:
    """Write the sources."""
    for name, family in FAMILY_OF.items():
        sample = _MAKERS[family](folder / "samples" / name)
        files = CLASSES[name].files
        json_file = {"tokenizer.json": (sample / "tokenizer.json").read_bytes()}
        forms = {"json": json_file}
        if name in ("HerbertTokenizer", "PreTrainedTokenizer"):
            pass  # they have no other form
        elif any(each.endswith(".model") for each in files):
            forms["fairseq"] = {files[0]: sentencepiece_model()}
            forms["unigrams"] = {files[0]: tokenizers.sentencepiece_model("unigram")}
            forms["byte pairs"] = {files[0]: tokenizers.sentencepiece_model("bpe")}
        else:
            vocabularies = {each: (sample / each).read_bytes() for each in files}
            forms |= {"vocabulary": vocabularies, "both": vocabularies | json_file}
        for form, contents in forms.items():
            all_options = (*OPTIONS, *OWN_OPTIONS.get(name, ()))
            usual = form in ("json", "vocabulary", "unigrams")
            for number, settings in enumerate(all_options if usual else all_options[:1]):
                if _needs_vocabulary(name, settings) and form == "json":
                    continue
                directory = folder / f"{name} {form} {number}"
                directory.mkdir()
                for file, content in contents.items():
                    (directory / file).write_bytes(content)
                (directory / "tokenizer_config.json").write_text(json.dumps(settings))
                yield Case(directory.name, name, directory)


def _needs_vocabulary(name: str, settings: Mapping[str, Any]) -> bool:
    return CLASSES[name].rebuilds(settings)


# A sample of another family has the end of a text twice in PEGASUS's vocabulary, and the mask of
# mBART-50 was found in the normalized text only if there was no tokenizer.json.
DIFFERENT = (
    "MBart50Tokenizer byte",
    "MBart50Tokenizer fairseq",
    "MBart50Tokenizer unigrams",
    "PegasusTokenizer fairseq",
)


@pytest.mark.slow
def test_classes_set_tokenizers_up_as_transformers_does(tmp_path: Path) -> None:
    cases = list(_cases(tmp_path))
    request: dict[str, dict[str, list[str]]] = {"tokenizers": {}}
    for case in cases:
        copy = tmp_path / "copies" / case.label
        shutil.copytree(case.directory, copy)
        _, settings = read_settings(case.directory)
        (copy / "tokenizer_config.json").write_text(
            json.dumps({**_with_types(settings), "tokenizer_class": case.name})
        )
        request["tokenizers"][case.label] = [case.name, str(copy)]
    answer = run_consumer("transformers4", CONSUMER, request, tmp_path)
    expected = json.loads(str(answer["found"]))
    assert len(cases) > 120
    for case in cases:
        _, settings = read_settings(case.directory)
        found = load_tokenizer(case.directory, case.name, settings)
        visible = {name: settings.get(name, value) for name, value in found.settings.items()}
        described = {
            "backend": json.loads(found.backend.to_str()),
            "named": dict(found.named),
            "additional": [*found.additional],
            "settings": visible,
            "empty": found.encode(""),
        }
        for part, value in expected[case.label].items():
            if part not in ("backend", "empty") or not case.label.startswith(DIFFERENT):
                assert described[part] == value, (case.label, part)


def _with_types(settings: Any) -> Any:
    """Return settings as transformers 4.57 reads tokens with flags."""
    if isinstance(settings, dict) and "content" in settings:
        return {"__type": "AddedToken", **settings}
    if isinstance(settings, dict):
        return {name: _with_types(value) for name, value in settings.items()}
    return [_with_types(each) for each in settings] if isinstance(settings, list) else settings


def test_classes_are_those_of_the_families() -> None:
    named = {name for family in DECODERS.values() for name in family.tokenizers}
    assert named - CLASSES.keys() == IN_PYTHON
    assert {*CLASSES} - named == set()
    assert {*FAMILY_OF} == CLASSES.keys() - {"TokenizersBackend"}


@pytest.mark.parametrize("name", ["HerbertTokenizer", "PreTrainedTokenizer", "XGLMTokenizer"])
def test_class_without_its_files_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tokenizer\.json|sentencepiece"):
        load_tokenizer(tmp_path, name, {})
