"""Image processors and tokenizers load from every kind of files, and never run code."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer

from tests import checkpoints
from tests.checkpoints import bert, gpt2, vit
from tests.support.building import edit_json, files_of, source
from ved.assembly.processing import load_image_processor, open_tokenizer, save_processing
from ved.errors import ErrorCode, VedError

TEXTS = ["a woman doesn't ride 2 horses.", "A man; a plan!"]


@contextmanager
def opened(directory: Path) -> Iterator[Any]:
    config = AutoConfig.from_pretrained(directory)
    with open_tokenizer(source("decoder", directory), config) as tokenizer:
        yield tokenizer


def tokenizer_in(directory: Path) -> Any:
    """Return the tokenizer of a directory; its copied files are deleted."""
    with opened(directory) as tokenizer:
        return tokenizer


def assert_not_usable(error: VedError, directory: Path) -> None:
    assert error.code == ErrorCode.PROCESSOR_NOT_USABLE
    assert str(directory) in error.cause


@pytest.mark.parametrize("form", ["fast", "slow", "transformers5"])
@pytest.mark.parametrize("family", checkpoints.DECODERS)
def test_open_tokenizer_reads_every_form_and_saving_changes_nothing(
    family: str, form: str, tmp_path: Path
) -> None:
    make: Callable[..., Path] = checkpoints.DECODERS[family]
    expected = AutoTokenizer.from_pretrained(make(tmp_path / "fast", tokenizer="fast"))
    with opened(make(tmp_path / "source", tokenizer=form)) as tokenizer:
        tokenizer.save_pretrained(tmp_path / "saved")
    saved = AutoTokenizer.from_pretrained(tmp_path / "saved")
    for one in (tokenizer, saved):
        assert one(TEXTS).input_ids == expected(TEXTS).input_ids
        assert one.special_tokens_map == expected.special_tokens_map
        assert one.model_max_length == expected.model_max_length
    for content in files_of(tmp_path / "saved").values():
        assert str(tmp_path).encode() not in content


@pytest.mark.parametrize(
    ("family", "size"), [("vit", 16), ("beit", 16), ("dinov2", 16), ("vit", 24)]
)
def test_load_image_processor_equals_the_source_and_saving_changes_nothing(
    family: str, size: int, tmp_path: Path
) -> None:
    directory = checkpoints.ENCODERS[family](tmp_path / "source", processor_size=size)
    processor = load_image_processor(source("encoder", directory))
    processor.save_pretrained(tmp_path / "saved")
    saved = AutoImageProcessor.from_pretrained(tmp_path / "saved", use_fast=False)
    image = Image.linear_gradient("L").convert("RGB")
    expected = AutoImageProcessor.from_pretrained(directory, use_fast=False)(image).pixel_values
    assert expected[0].shape == (3, size, size)
    for one in (processor, saved):
        np.testing.assert_array_equal(one(image).pixel_values, expected)


def test_load_image_processor_refuses_a_source_without_one(tmp_path: Path) -> None:
    encoder = vit(tmp_path)
    (encoder / "preprocessor_config.json").unlink()
    with pytest.raises(VedError) as caught:
        load_image_processor(source("encoder", encoder))
    assert_not_usable(caught.value, encoder)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"image_processor_type": "NoSuchImageProcessor"}',
        '{"image_processor_type": "ViTImageProcessor", "size": "large"}',
    ],
)
def test_load_image_processor_refuses_damaged_files(content: str, tmp_path: Path) -> None:
    encoder = vit(tmp_path)
    (encoder / "preprocessor_config.json").write_text(content)
    with pytest.raises(VedError) as caught:
        load_image_processor(source("encoder", encoder))
    assert_not_usable(caught.value, encoder)


def test_load_image_processor_without_a_type_takes_that_of_the_family(tmp_path: Path) -> None:
    encoder = vit(tmp_path)
    (encoder / "preprocessor_config.json").write_text("{}")
    processor = load_image_processor(source("encoder", encoder))
    assert type(processor).__name__ == "ViTImageProcessor"


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json"])
def test_open_tokenizer_needs_one_of_the_vocabularies(name: str, tmp_path: Path) -> None:
    whole = tokenizer_in(bert(tmp_path / "whole"))
    decoder = bert(tmp_path / "decoder")
    (decoder / name).unlink()
    assert tokenizer_in(decoder)(TEXTS).input_ids == whole(TEXTS).input_ids


def remove_vocabulary(decoder: Path) -> None:
    for name in ("vocab.json", "merges.txt", "tokenizer.json"):
        (decoder / name).unlink()


def test_open_tokenizer_refuses_a_source_without_one(tmp_path: Path) -> None:
    decoder = gpt2(tmp_path)
    remove_vocabulary(decoder)
    with pytest.raises(VedError) as caught:
        tokenizer_in(decoder)
    assert_not_usable(caught.value, decoder)
    assert "tokenizer.json" in caught.value.remedy


@pytest.mark.parametrize("content", ["{", "{}"])
@pytest.mark.parametrize("form", ["fast", "transformers5"])
def test_open_tokenizer_refuses_damaged_files(
    form: Literal["fast", "transformers5"], content: str, tmp_path: Path
) -> None:
    decoder = gpt2(tmp_path, tokenizer=form)
    (decoder / "tokenizer.json").write_text(content)
    with pytest.raises(VedError) as caught:
        tokenizer_in(decoder)
    assert_not_usable(caught.value, decoder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_open_tokenizer_refuses_damaged_settings(content: str, tmp_path: Path) -> None:
    decoder = gpt2(tmp_path)
    (decoder / "tokenizer_config.json").write_text(content)
    with pytest.raises(VedError) as caught:
        tokenizer_in(decoder)
    assert_not_usable(caught.value, decoder)


def test_open_tokenizer_does_not_run_remote_code(
    tmp_path: Path,
) -> None:
    decoder = gpt2(tmp_path / "decoder")
    marker = tmp_path / "ran"
    (decoder / "code.py").write_text(f"open({str(marker)!r}, 'w')")
    edit_json(
        decoder / "tokenizer_config.json",
        tokenizer_class="OurTokenizer",
        auto_map={"AutoTokenizer": ["code.OurTokenizer", "code.OurTokenizer"]},
    )
    with pytest.raises(VedError) as caught:
        tokenizer_in(decoder)
    assert_not_usable(caught.value, decoder)
    assert not marker.exists()


def test_load_image_processor_does_not_run_remote_code(
    tmp_path: Path,
) -> None:
    encoder = vit(tmp_path / "encoder")
    marker = tmp_path / "ran"
    (encoder / "code.py").write_text(f"open({str(marker)!r}, 'w')")
    (encoder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "image_processor_type": "OurImageProcessor",
                "auto_map": {"AutoImageProcessor": "code.OurImageProcessor"},
            }
        )
    )
    with pytest.raises(VedError) as caught:
        load_image_processor(source("encoder", encoder))
    assert_not_usable(caught.value, encoder)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["vocab_file", "tokenizer_file", "added_tokens_file"])
def test_open_tokenizer_ignores_settings_that_name_files(name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\nhunter2\n")
    decoder = bert(tmp_path / "decoder")
    (decoder / "tokenizer.json").unlink()
    edit_json(
        decoder / "tokenizer_config.json", tokenizer_class="BertTokenizer", **{name: str(secret)}
    )
    image_processor = load_image_processor(source("encoder", vit(tmp_path / "vit")))
    (tmp_path / "out").mkdir()
    with opened(decoder) as tokenizer:
        save_processing(image_processor, tokenizer, tmp_path / "out")
    assert "hunter2" not in tokenizer.get_vocab()
    assert b"hunter2" not in b"".join(files_of(tmp_path / "out").values())


def test_load_image_processor_takes_its_type_from_another_config(tmp_path: Path) -> None:
    elsewhere = vit(tmp_path / "elsewhere")
    encoder = vit(tmp_path / "encoder")
    (encoder / "preprocessor_config.json").write_text('{"size": {"height": 16, "width": 16}}')
    (encoder / "config.json").unlink()
    loaded = load_image_processor(
        source("encoder", encoder, config=elsewhere), AutoConfig.from_pretrained(elsewhere)
    )
    assert type(loaded).__name__ == "ViTImageProcessor"
