"""Generation settings of a source's own task do not get into a checkpoint."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, GenerationConfig

from tests import checkpoints
from tests.checkpoints import bart, bert, gpt2, vit
from tests.support.building import assemble_pair, edit_json, read_json, source
from ved.assembly import generation_settings
from ved.assembly.generation_settings import kept_settings, left_out

pytestmark = pytest.mark.hub

SUMMARIZER = {  # bart-large-cnn
    "min_length": 56,
    "max_length": 142,
    "num_beams": 4,
    "no_repeat_ngram_size": 3,
    "length_penalty": 2.0,
    "early_stopping": True,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
    "prefix": " ",
    "task_specific_params": {"summarization": {"num_beams": 4, "min_length": 56}},
}
SAMPLER = {"temperature": 0.3, "top_p": 0.5}  # without do_sample: GenerationConfig refuses them
FURTHER = {"max_new_tokens": 3, "forced_decoder_ids": [[1, 2]], "penalty_alpha": 0.6}

IDS = {"bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id"}


def written(decoder: Path, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return config.json and generation_config.json of a checkpoint with a decoder."""
    assemble_pair(vit(tmp_path / "encoder"), decoder, tmp_path / "out")
    config = read_json(tmp_path / "out" / "config.json")
    return config, read_json(tmp_path / "out" / "generation_config.json")


def left_out_of(decoder: Path) -> tuple[str, ...]:
    resolved = source("decoder", decoder).resolved
    return left_out(resolved.config, resolved.generation, resolved.config["vocab_size"])


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
@pytest.mark.parametrize(
    "settings", [SUMMARIZER, SAMPLER, FURTHER], ids=["summarizer", "sampler", "further"]
)
@pytest.mark.parametrize("family", ["bart", "gpt2", "bert"])
def test_generation_settings_are_left_out(
    family: str, settings: dict[str, Any], file: str, tmp_path: Path
) -> None:
    decoder = checkpoints.DECODERS[family](tmp_path / "decoder")
    path = decoder / file
    path.write_text(json.dumps((read_json(path) if path.exists() else {}) | settings))
    config, generation = written(decoder, tmp_path)
    assert generation.keys() - {"transformers_version"} <= IDS
    for part in (config, config["decoder"], config["encoder"]):
        for name in settings:
            assert part.get(name) in (None, generation_settings.NEUTRAL.get(name))
    assert {*settings} <= {*left_out_of(decoder)}
    # transformers generates with these settings, of generation_config.json and the config.
    loaded = AutoConfig.from_pretrained(tmp_path / "out")
    for part in (loaded, loaded.decoder):
        found = GenerationConfig.from_model_config(part).to_diff_dict()
        assert not found.keys() & settings.keys()


def test_defaults_of_a_class_are_left_out(tmp_path: Path) -> None:
    decoder = bart(tmp_path / "decoder")
    for name in ("config.json", "generation_config.json"):
        content = read_json(decoder / name)
        content.pop("forced_eos_token_id")
        (decoder / name).write_text(json.dumps(content))
    written(decoder, tmp_path)
    assert left_out_of(decoder) == ()
    # The default of BartConfig is 2.
    assert AutoConfig.from_pretrained(tmp_path / "out").decoder.forced_eos_token_id is None


@pytest.mark.parametrize("family", checkpoints.DECODERS)
def test_generation_config_has_only_ids(family: str, tmp_path: Path) -> None:
    _, generation = written(checkpoints.DECODERS[family](tmp_path / "decoder"), tmp_path)
    bos = set() if family in ("bert", "electra", "pegasus") else {"bos_token_id"}
    assert generation.keys() == {"transformers_version", *(IDS - {"bos_token_id"}), *bos}


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_suppressed_tokens_are_kept(file: str, tmp_path: Path) -> None:
    decoder = gpt2(tmp_path / "decoder")
    kept = {"suppress_tokens": [5, 6], "bad_words_ids": [[7], [8, 9]]}
    edit_json(decoder / file, **kept)
    _, generation = written(decoder, tmp_path)
    assert kept.items() <= generation.items()
    assert left_out_of(decoder) == ()


@pytest.mark.parametrize(
    "settings",
    [
        {"suppress_tokens": [1, 10_000]},
        {"suppress_tokens": [-1]},
        {"suppress_tokens": [True]},
        {"suppress_tokens": "12"},
        {"suppress_tokens": [[1]]},
        {"bad_words_ids": [1]},
        {"bad_words_ids": [[1], [10_000]]},
        {"bad_words_ids": [[]]},
        {"bad_words_ids": {"a": 1}},
    ],
    ids=str,
)
def test_suppressed_tokens_outside_the_vocabulary_are_left_out(settings: dict[str, Any]) -> None:
    assert kept_settings({}, settings, 400) == {}
    assert left_out({}, settings, 400) == (*settings,)


@pytest.mark.parametrize("width", [32, 48, "wide"])
def test_width_of_a_former_encoder_is_left_out(width: object, tmp_path: Path) -> None:
    decoder = bert(tmp_path / "decoder")
    edit_json(decoder / "config.json", cross_attention_hidden_size=width)
    config, _ = written(decoder, tmp_path)
    assert config["decoder"].get("cross_attention_hidden_size") is None
    assert left_out_of(decoder) == ("cross_attention_hidden_size",)


def test_unknown_settings_are_listed_if_they_are_words() -> None:
    generation = {
        "new_in_transformers_9": 1,
        "<img>": 1,
        "x" * 100: 1,
        "use_cache": True,
        "n": None,
    }
    assert left_out({"hidden_act": "gelu"}, generation, 400) == ("new_in_transformers_9",)


def test_all_generation_settings_of_transformers_are_known() -> None:
    known = {*generation_settings.NEUTRAL, *generation_settings._FURTHER}
    of_models = {"output_attentions", "output_hidden_states"}
    assert GenerationConfig().to_dict().keys() <= known | generation_settings._NOT_TASK | of_models
