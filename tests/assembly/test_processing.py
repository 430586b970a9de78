"""Tokenizers and image processors are published as the source has them, and as data."""

import functools
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    VisionEncoderDecoderConfig,
)

from tests import checkpoints
from tests.checkpoints import bert, gpt2, vit
from tests.support import corpus, mecab, tokenizers
from tests.support.building import edit_json, files_of, read_json, source
from tests.support.consumers import run_with_pytorch
from tests.support.tokenizers import TEXTS
from ved.assembly.image_processor import prepare_image_processor
from ved.assembly.processing_files import (
    SPECIAL_TOKENS,
    ImageProcessorFiles,
    TokenizerFiles,
    write_image_processor,
    write_tokenizer,
)
from ved.assembly.special_tokens import TokenId, TokenIds
from ved.assembly.tokenizer import prepare_tokenizer
from ved.assembly.trials import try_image_processor
from ved.errors import ErrorCode, VedError
from ved.tokenization.tokens import text

CONSUMER = Path(__file__).parents[1] / "consumers" / "processing.py"
FORMS = ("fast", "slow", "transformers5")
VOCABULARIES = ("vocab.json", "merges.txt", "vocab.txt", "sentencepiece.bpe.model", "spiece.model")


def tokenizer_of(directory: Path) -> TokenizerFiles:
    resolved = source("decoder", directory).resolved
    return prepare_tokenizer(directory, resolved.config, resolved.family, str(directory))


def image_processor_of(directory: Path, config: Path | None = None) -> ImageProcessorFiles:
    resolved = source("encoder", directory, config=config).resolved
    files = prepare_image_processor(directory, resolved.config, resolved.family, str(directory))
    return try_image_processor(files, str(directory))


def own_ids(files: TokenizerFiles) -> TokenIds:
    """Return special tokens that the tokenizer names itself, as far as it does."""
    pad, eos = (files.token_ids.get(name, 0) for name in ("pad", "eos"))
    named = [TokenId(number, str(files.token(number)), "a test") for number in (0, pad, eos)]
    return TokenIds(*named)


def published(directory: Path, target: Path) -> Path:
    """Write what is published of a decoder's tokenizer, with the config of a checkpoint."""
    target.mkdir(parents=True)
    files = tokenizer_of(directory)
    write_tokenizer(files, own_ids(files), directory, target)
    encoder = AutoConfig.for_model("vit")
    decoder = AutoConfig.from_pretrained(directory)
    VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder).save_pretrained(
        target
    )
    return target


def assert_not_usable(error: VedError, directory: Path) -> None:
    assert error.code == ErrorCode.PROCESSOR_NOT_USABLE
    assert str(directory) in error.cause


# Tokenizers


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", checkpoints.DECODERS)
def test_tokenizer_of_every_form_has_the_ids_of_the_source(
    family: str, form: str, tmp_path: Path
) -> None:
    make: Callable[..., Path] = checkpoints.DECODERS[family]
    fast = make(tmp_path / "fast")
    expected = Tokenizer.from_file(str(fast / "tokenizer.json"))
    directory = make(tmp_path / "source", tokenizer=form)
    found = AutoTokenizer.from_pretrained(published(directory, tmp_path / "out"))
    # Python 3.12.1 confuses a loop's `text` with the function.
    assert [found(each).input_ids for each in TEXTS] == [
        expected.encode(each).ids for each in TEXTS
    ]
    settings = read_json(fast / "tokenizer_config.json")
    assert found.model_max_length == settings["model_max_length"]
    names = {name for name in SPECIAL_TOKENS if settings.get(name)}
    assert names
    assert {name: getattr(found, name) for name in names} == {
        name: text(settings[name]) for name in names
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", checkpoints.DECODERS)
def test_tokenizer_files_are_copied_byte_for_byte(family: str, form: str, tmp_path: Path) -> None:
    make: Callable[..., Path] = checkpoints.DECODERS[family]
    directory = make(tmp_path / "source", tokenizer=form)
    before, after = files_of(directory), files_of(published(directory, tmp_path / "out"))
    for name in {"tokenizer.json", *VOCABULARIES} & before.keys():
        assert after[name] == before[name], name
    assert "tokenizer.json" in after


def test_tokenizer_of_transformers_5_with_a_class_keeps_its_special_tokens(tmp_path: Path) -> None:
    directory = tokenizers.gpt2_of_transformers_5(tmp_path / "source")
    found = AutoTokenizer.from_pretrained(published(directory, tmp_path / "out"))
    assert "<extra_0>" in found.all_special_tokens
    whole = PreTrainedTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"))
    assert [found(text).input_ids for text in TEXTS] == [whole(text).input_ids for text in TEXTS]


def test_tokenizer_facts_equal_those_of_transformers(tmp_path: Path) -> None:
    directory = bert(tmp_path, extra_tokens=2)
    expected = AutoTokenizer.from_pretrained(directory)
    files = tokenizer_of(directory)
    assert files.tokens == tuple(expected.convert_ids_to_tokens(range(len(expected))))
    assert files.token_ids == {"cls": 2, "mask": 4, "pad": 0, "sep": 3, "unk": 1}
    assert [files.token(number) for number in (-1, 0, len(expected))] == [None, "[PAD]", None]


def test_tokenizer_facts_are_json(tmp_path: Path) -> None:
    facts = asdict(tokenizer_of(gpt2(tmp_path / "gpt2")))
    assert json.loads(json.dumps(facts)) == facts | {
        name: [*facts[name]] for name in ("copied", "tokens", "notices", "packages")
    }


def test_tokenizer_takes_the_special_tokens_of_the_checkpoint(tmp_path: Path) -> None:
    directory = gpt2(tmp_path / "source")
    files = tokenizer_of(directory)
    pad, eos = (TokenId(number, str(files.token(number)), "a test") for number in (5, 6))
    (tmp_path / "out").mkdir()
    write_tokenizer(files, TokenIds(eos, pad, eos), directory, tmp_path / "out")
    found = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (found.pad_token_id, found.eos_token_id, found.bos_token_id) == (5, 6, 384)
    config = read_json(tmp_path / "out" / "tokenizer_config.json")
    special = read_json(tmp_path / "out" / "special_tokens_map.json")
    assert special == {name: config[name] for name in special}
    assert {"pad_token", "eos_token", "bos_token", "unk_token"} == special.keys()
    assert files_of(tmp_path / "out")["tokenizer.json"] == files_of(directory)["tokenizer.json"]


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json"])
def test_tokenizer_needs_one_of_the_vocabularies(name: str, tmp_path: Path) -> None:
    whole = tokenizer_of(bert(tmp_path / "whole"))
    decoder = bert(tmp_path / "decoder")
    (decoder / name).unlink()
    assert tokenizer_of(decoder).tokens == whole.tokens


def test_tokenizer_without_vocabulary_is_refused(tmp_path: Path) -> None:
    decoder = gpt2(tmp_path)
    for name in ("vocab.json", "merges.txt", "tokenizer.json"):
        (decoder / name).unlink()
    with pytest.raises(VedError) as caught:
        tokenizer_of(decoder)
    assert_not_usable(caught.value, decoder)
    assert "tokenizer.json" in caught.value.remedy


@pytest.mark.parametrize("content", ["{", "{}", "[]", "null", '{"added_tokens": 5}'])
@pytest.mark.parametrize("form", ["fast", "transformers5"])
def test_tokenizer_with_damaged_vocabulary_is_refused(
    form: Literal["fast", "transformers5"], content: str, tmp_path: Path
) -> None:
    decoder = gpt2(tmp_path, tokenizer=form)
    (decoder / "tokenizer.json").write_text(content)
    with pytest.raises(VedError) as caught:
        tokenizer_of(decoder)
    assert_not_usable(caught.value, decoder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_tokenizer_with_damaged_settings_is_refused(content: str, tmp_path: Path) -> None:
    decoder = gpt2(tmp_path)
    (decoder / "tokenizer_config.json").write_text(content)
    with pytest.raises(VedError) as caught:
        tokenizer_of(decoder)
    assert_not_usable(caught.value, decoder)


def test_tokenizer_template_is_published_as_a_text(tmp_path: Path) -> None:
    decoder = gpt2(tmp_path / "source")
    edit_json(decoder / "tokenizer_config.json", chat_template="{{ messages }}")
    found = AutoTokenizer.from_pretrained(published(decoder, tmp_path / "out"))
    assert found.chat_template == "{{ messages }}"


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 0),
        ({"chat_template": [{"name": "default", "template": "x"}]}, 1),
        ({"auto_map": {"AutoTokenizer": ["code.X", None]}, "chat_template": {"default": "x"}}, 2),
    ],
)
def test_tokenizer_parts_that_are_left_out_have_notices(
    settings: dict[str, Any], count: int, tmp_path: Path
) -> None:
    decoder = gpt2(tmp_path / "source")
    edit_json(decoder / "tokenizer_config.json", **settings)
    assert len(tokenizer_of(decoder).notices) == count


# Image processors


def pixels(processor: Any, images: list[Any]) -> list[Any]:
    return [processor(image, return_tensors="np").pixel_values for image in images]


# The class of DINOv3 needs torchvision, which these environments lack.
SAME_CLASS = [name for name in checkpoints.ENCODERS if name != "dinov3_vit"]


def images(count: int = 4) -> list[Image.Image]:
    """Return RGB images of odd sizes: wide, high and small."""
    generator = np.random.default_rng(0)
    further = generator.integers(1, 90, (count, 2)).tolist()
    sizes = [(37, 53), (61, 20), (5, 7), (16, 16), *further][:count]
    return [
        Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes
    ]


@pytest.mark.parametrize(
    ("family", "size"), [("vit", 16), ("beit", 16), ("dinov2", 16), ("vit", 24)]
)
def test_image_processor_has_the_pixels_of_the_source(
    family: str, size: int, tmp_path: Path
) -> None:
    directory = checkpoints.ENCODERS[family](tmp_path / "source", processor_size=size)
    files = image_processor_of(directory)
    write_image_processor(files, tmp_path)
    found = pixels(AutoImageProcessor.from_pretrained(tmp_path, use_fast=False), images())
    expected = pixels(AutoImageProcessor.from_pretrained(directory, use_fast=False), images())
    assert files.size == (size, size)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("named", [{}, {"image_mean": None, "image_std": None, "size": None}])
def test_image_processor_that_needs_torch_has_a_replacement(
    named: dict[str, None], tmp_path: Path
) -> None:
    directory = checkpoints.dinov3(tmp_path / "source", config={"image_size": 224})
    edit_json(directory / "preprocessor_config.json", **named)
    files = image_processor_of(directory)
    write_image_processor(files, tmp_path)
    assert files.settings["image_processor_type"] == "BitImageProcessor"
    assert len(files.notices) == 1
    found = pixels(AutoImageProcessor.from_pretrained(tmp_path, use_fast=False), images())
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    for image, given in zip(images(), found, strict=True):
        # As DINOv3ViTImageProcessorFast: numbers from 0 to 1 are resized. Pillow rounds twice.
        bands = [Image.fromarray(np.asarray(band, np.float32) / 255) for band in image.split()]
        resized = [np.asarray(band.resize((224, 224), Image.Resampling.BILINEAR)) for band in bands]
        expected = (np.stack(resized) - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
        assert np.abs(given - expected).max() < 1.01 / 255 / min(std)


OLD_SETTINGS: dict[str, Any] = {
    **{"do_normalize": True, "do_resize": True, "resample": 2, "size": 20},
    **{"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.5, 0.5]},
}


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"feature_extractor_type": "ViTFeatureExtractor"}, "ViTImageProcessor"),
        ({"image_processor_type": "ViTFeatureExtractor"}, "ViTImageProcessor"),
        ({"image_processor_type": "ViTImageProcessorFast"}, "ViTImageProcessor"),
        ({"image_processor_type": "DeiTImageProcessor"}, "DeiTImageProcessor"),
        (
            {"feature_extractor_type": "BeitFeatureExtractor", "do_center_crop": False},
            "BeitImageProcessor",
        ),
        ({"image_processor_type": "BitImageProcessorFast"}, "BitImageProcessor"),
        ({"feature_extractor_type": "CLIPFeatureExtractor", "crop_size": 16}, "CLIPImageProcessor"),
        ({}, "ViTImageProcessor"),
    ],
)
def test_image_processor_of_an_old_name_has_that_of_today(
    settings: dict[str, Any], name: str, tmp_path: Path
) -> None:
    encoder = vit(tmp_path / "source")
    path = encoder / "preprocessor_config.json"
    path.write_text(json.dumps(OLD_SETTINGS | settings))
    files = image_processor_of(encoder)
    write_image_processor(files, tmp_path)
    assert files.settings["image_processor_type"] == name
    # transformers itself reads the old names, except for that of one key in the other.
    path.write_text(json.dumps(OLD_SETTINGS | settings | {"image_processor_type": name}))
    found = pixels(AutoImageProcessor.from_pretrained(tmp_path, use_fast=False), images())
    expected = pixels(AutoImageProcessor.from_pretrained(encoder, use_fast=False), images())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_image_processor_code_of_a_known_class_has_a_notice(tmp_path: Path) -> None:
    encoder = vit(tmp_path)
    assert image_processor_of(encoder).notices == ()
    edit_json(encoder / "preprocessor_config.json", auto_map={"AutoImageProcessor": "code.X"})
    assert len(image_processor_of(encoder).notices) == 1


def test_image_processor_of_a_source_without_one_is_refused(tmp_path: Path) -> None:
    encoder = vit(tmp_path)
    (encoder / "preprocessor_config.json").unlink()
    with pytest.raises(VedError) as caught:
        image_processor_of(encoder)
    assert_not_usable(caught.value, encoder)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"image_processor_type": "NoSuchImageProcessor"}',
        '{"image_processor_type": "ViTImageProcessor", "size": "large"}',
        '{"image_processor_type": "ViTImageProcessorFast", "size": {"shortest_edge": 16}}',
        '{"image_processor_type": "ViTImageProcessor", "image_mean": [0.5], "image_std": [0.5]}',
    ],
)
def test_image_processor_that_does_not_work_is_refused(content: str, tmp_path: Path) -> None:
    encoder = vit(tmp_path)
    (encoder / "preprocessor_config.json").write_text(content)
    with pytest.raises(VedError) as caught:
        image_processor_of(encoder)
    assert_not_usable(caught.value, encoder)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"size": {"height": 20, "width": 24}}, (20, 24)),
        ({"do_resize": False}, None),
        ({"image_processor_type": "BitImageProcessor", "do_center_crop": False}, None),
        ({"image_processor_type": "BitImageProcessor", "crop_size": 18}, (18, 18)),
    ],
)
def test_image_processor_size_is_that_of_its_images(
    settings: dict[str, Any], size: tuple[int, int] | None, tmp_path: Path
) -> None:
    encoder = vit(tmp_path)
    (encoder / "preprocessor_config.json").write_text(json.dumps(settings))
    assert image_processor_of(encoder).size == size


def test_image_processor_takes_its_class_from_another_config(tmp_path: Path) -> None:
    elsewhere = checkpoints.beit(tmp_path / "elsewhere")
    encoder = vit(tmp_path / "encoder")
    (encoder / "preprocessor_config.json").write_text('{"size": {"height": 16, "width": 16}}')
    (encoder / "config.json").unlink()
    files = image_processor_of(encoder, config=elsewhere)
    assert files.settings["image_processor_type"] == "BeitImageProcessor"


# In the environments of consumers


@pytest.fixture(scope="module")
def request_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write sources and what is published of them, and a request about all."""
    folder = tmp_path_factory.mktemp("consumers")
    makers: dict[str, Callable[[Path], Path]] = {**checkpoints.DECODERS, **tokenizers.UNUSUAL}
    makers |= {"gpt2_of_transformers_5": tokenizers.gpt2_of_transformers_5}
    # The others differ from these in their settings only; test_japanese.py has all.
    japanese = ("no dictionary", "ipadic", "characters", "sentencepiece")
    makers |= {f"Japanese, {name}": tokenizers.JAPANESE[name] for name in japanese}
    for family, make_decoder in checkpoints.DECODERS.items():
        makers[f"slow {family}"] = functools.partial(make_decoder, tokenizer="slow")
    asked: dict[str, Any] = {"texts": corpus.lines(), "tokenizers": {}, "image_processors": {}}
    asked["packages"] = str(mecab.write_packages(folder / "packages"))
    for name, make in makers.items():
        directory = make(folder / name / "source")
        asked["tokenizers"][name] = str(published(directory, folder / name / "out"))
    for name in SAME_CLASS:
        make_encoder = checkpoints.ENCODERS[name]
        directory = make_encoder(folder / name / "source")
        (folder / name / "out").mkdir()
        write_image_processor(image_processor_of(directory), folder / name / "out")
        asked["image_processors"] |= {name: str(folder / name / "out"), f"{name}*": str(directory)}
    asked["images"] = str(folder / "images.npz")
    arrays: dict[str, Any] = {str(n): np.asarray(image) for n, image in enumerate(images(20))}
    np.savez(asked["images"], **arrays)
    (folder / "request.json").write_text(json.dumps(asked))
    return folder


# The class of the source, too, joins unknown tokens in another way in transformers 5.
JOINS_OTHERWISE = {("transformers5", "bert_generation_with_its_class")}


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["transformers4", "transformers5"])
def test_processing_is_the_same_for_consumers(
    environment: str, request_folder: Path, of_sources: dict[str, Any]
) -> None:
    encoded, arrays = _encoded(environment, request_folder)
    assert encoded.keys() == of_sources.keys()
    for name, of_source in of_sources.items():
        expected, found = {**of_source}, encoded[name]
        # The tests choose a token that the source does not name, and it is left out.
        if not {found["pad"], found["eos"]} <= {*expected.pop("special")}:
            del expected["plain"]
        # For a token that the source does not name, the tests choose the first one.
        expected |= {key: expected[key] or 0 for key in ("pad", "eos")}
        for key, value in expected.items():
            if (environment, name) not in JOINS_OTHERWISE or key not in ("decoded", "plain"):
                assert found[key] == value, (name, key)
    # Releases of Pillow round differently, so both are computed there.
    for name in SAME_CLASS:
        for number, _ in enumerate(images(20)):
            found, expected = arrays[f"{name} {number}"], arrays[f"{name}* {number}"]
            np.testing.assert_array_equal(found, expected)
            assert expected.size or (name == "donut-swin" and number > 3)


@pytest.fixture(scope="module")
def of_sources(request_folder: Path) -> dict[str, Any]:
    """Return what transformers 4.57 does with the texts and the tokenizers of the sources."""
    asked = read_json(request_folder / "request.json")
    sources = {name: _readable(request_folder / name / "source") for name in asked["tokenizers"]}
    request = asked | {
        "image_processors": {},
        "tokenizers": {k: str(v) for k, v in sources.items()},
    }
    (request_folder / "sources.json").write_text(json.dumps(request))
    return _encoded("transformers4", request_folder, "sources.json")[0]


def _encoded(
    environment: str, folder: Path, request: str = "request.json"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a consumer does with texts, by tokenizer, and with images."""
    run_with_pytorch(environment, folder, CONSUMER, request, "answer.npz")
    with np.load(folder / "answer.npz") as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("encoded"))), arrays


def _readable(directory: Path) -> Path:
    """Return a source in a form that transformers 4.57 reads."""
    settings = read_json(directory / "tokenizer_config.json")
    if isinstance(settings.get("extra_special_tokens"), list):
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
        (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return directory
