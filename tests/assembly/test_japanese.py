"""Tokenizers for Japanese are published without MeCab, which only their users need."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.assembly.test_processing import assert_not_usable, published, tokenizer_of
from tests.support.building import edit_json, files_of, read_json
from tests.support.mecab import write_dictionaries
from tests.support.tokenizers import JAPANESE, JAPANESE_TEXTS, TEXTS, japanese_bert
from ved.errors import VedError


@pytest.fixture(scope="module")
def dictionaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dictionaries(tmp_path_factory.mktemp("dictionaries"))


@pytest.mark.parametrize("name", JAPANESE)
def test_japanese_tokenizer_has_the_ids_of_the_source(
    name: str, dictionaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = JAPANESE[name](tmp_path / "source")
    out = published(directory, tmp_path / "out")  # without any dictionary
    monkeypatch.setattr(sys, "path", [str(dictionaries), *sys.path])
    found, expected = map(AutoTokenizer.from_pretrained, (out, directory))
    for text in (*TEXTS, *JAPANESE_TEXTS):
        assert found.tokenize(text) == expected.tokenize(text)
        assert found(text).input_ids == expected(text).input_ids
    ids = expected(JAPANESE_TEXTS).input_ids
    assert found.batch_decode(ids) == expected.batch_decode(ids)
    assert found.get_vocab() == expected.get_vocab()
    assert len({*ids[0]}) > 5, "the vocabulary has Japanese words"


def test_japanese_tokenizers_differ_by_their_dictionary(
    dictionaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(dictionaries), *sys.path])
    found = {
        name: AutoTokenizer.from_pretrained(JAPANESE[name](tmp_path / name))
        for name in ("no dictionary", "ipadic", "unidic", "characters")
    }
    tokens = [tuple(each.tokenize(JAPANESE_TEXTS[0])) for each in found.values()]
    assert len({*tokens}) == len(tokens)


def test_japanese_settings_and_vocabulary_are_those_of_the_source(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "do_subword_tokenize": True,
        "do_word_tokenize": True,
        "mecab_kwargs": {"mecab_dic": "ipadic", "normalize_text": True},
        "never_split": ["犬"],
    }
    directory = japanese_bert(tmp_path / "source", **settings)
    (directory / "tokenizer.json").write_text("{}")  # which transformers does not read
    after = files_of(published(directory, tmp_path / "out"))
    assert after["vocab.txt"] == files_of(directory)["vocab.txt"]
    source = read_json(directory / "tokenizer_config.json")
    assert json.loads(after["tokenizer_config.json"]).items() >= source.items()
    assert "tokenizer.json" not in after


@pytest.mark.parametrize(
    ("settings", "packages"),
    [
        ({}, ("fugashi", "unidic-lite")),
        ({"mecab_kwargs": {"mecab_dic": "ipadic"}}, ("fugashi", "ipadic")),
        ({"mecab_kwargs": {"mecab_dic": "unidic"}}, ("fugashi", "unidic")),
        ({"subwords": "sentencepiece"}, ("fugashi", "unidic-lite", "sentencepiece")),
        ({"word_tokenizer_type": None}, ()),
        ({"do_word_tokenize": False}, ()),
    ],
)
def test_japanese_packages_are_those_of_the_settings(
    settings: dict[str, Any], packages: tuple[str, ...], tmp_path: Path
) -> None:
    assert tokenizer_of(japanese_bert(tmp_path, **settings)).packages == packages


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 1),
        ({"mecab_kwargs": {"normalize_text": True}}, 1),
        ({"mecab_kwargs": {"mecab_dic": "unidic_lite"}}, 0),
        ({"word_tokenizer_type": "basic"}, 0),
    ],
)
def test_japanese_tokenizer_without_a_dictionary_has_a_notice(
    settings: dict[str, Any], count: int, tmp_path: Path
) -> None:
    assert len(tokenizer_of(japanese_bert(tmp_path, **settings)).notices) == count


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"word_tokenizer_type": "sudachi"}, "sudachipy"),
        ({"word_tokenizer_type": "jumanpp"}, "rhoknp"),
        ({"word_tokenizer_type": ["mecab"]}, "word_tokenizer_type"),
        ({"subword_tokenizer_type": "../vocab"}, "subword_tokenizer_type"),
        ({"mecab_kwargs": {"mecab_dic": None}}, "mecab_dic"),
        ({"mecab_kwargs": {"mecab_dic": "/tmp/dictionary"}}, "mecab_dic"),
        ({"mecab_kwargs": {"mecab_option": "-r /etc/passwd"}}, "options"),
        ({"mecab_kwargs": {"mecab_option": ["-u", "x"], "mecab_dic": "ipadic"}}, "options"),
        ({"mecab_kwargs": "-d /"}, "mecab_kwargs"),
        ({"never_split": "犬"}, "never_split"),
        ({"never_split": [{"content": "犬"}]}, "never_split"),
    ],
)
def test_japanese_settings_that_need_more_are_refused(
    settings: dict[str, Any], named: str, tmp_path: Path
) -> None:
    directory = japanese_bert(tmp_path, **settings)
    with pytest.raises(VedError) as caught:
        tokenizer_of(directory)
    assert_not_usable(caught.value, directory)
    assert named in caught.value.cause


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("FlaubertTokenizer", "sacremoses"),
        ("CpmTokenizer", "jieba"),
        ("RoFormerTokenizer", "rjieba"),
    ],
)
def test_tokenizer_that_needs_another_package_is_refused_with_its_name(
    name: str, package: str, tmp_path: Path
) -> None:
    directory = japanese_bert(tmp_path)
    edit_json(directory / "tokenizer_config.json", tokenizer_class=name)
    with pytest.raises(VedError) as caught:
        tokenizer_of(directory)
    assert_not_usable(caught.value, directory)
    assert f" {package}," in caught.value.cause
