"""ved.assembly.config and ved.assembly.config_files: configs without transformers."""

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.consumers import run_consumer
from tests.support.raising import raises
from ved.assembly.config import PartConfig, as_decoder, combine, not_a_part
from ved.assembly.config_files import complete, config_content, load_config
from ved.assembly.generation_settings import NEUTRAL, without_task
from ved.errors import ErrorCode, VedError
from ved.families import config_classes
from ved.families.config_class import COMMON
from ved.families.family import Family, Role
from ved.families.table import DECODERS, ENCODERS
from ved.sources import Pinned, ResolvedSource, Snapshot, Source
from ved.sources.config_settings import convert_settings, published_settings
from ved.sources.config_sizes import check_sizes

CONSUMER = Path(__file__).parents[1] / "consumers" / "configs.py"
SNAPSHOT = Snapshot("owner/name", "0" * 40, {}, None)
FAMILIES: Mapping[Role, Mapping[str, Family]] = {"encoder": ENCODERS, "decoder": DECODERS}

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, 3, 6, 0.0, 0.5, 1.0, 2.0, 1e-12, -1, 10**20),
    *("gelu", "gelu_python", "relu", "float32", "bfloat16", "absolute", "regression", "é"),
    *([], [1], [2, 3], [4, 4], [1, 2, 2, 1], ["a"], [[5]], {}, {"a": 1}, {"LABEL_0": 0}),
    *({"0": "a", "1": "b"}, {"10": "j", "2": "b", "03": "c"}, {"0": "LABEL_0", "1": "LABEL_1"}),
)
"""Values of any setting; each setting accepts some of them."""


def source_of(role: Role, family: Family, model_type: str, settings: dict[str, Any]) -> Source:
    """Return a source with a config, and without files."""
    pinned = Pinned(SNAPSHOT, SNAPSHOT, False)
    resolved = ResolvedSource(role, pinned, settings, family, model_type, ())
    return Source(resolved, Path("a"), Path("b"))


def random_configs(count: int) -> Iterator[tuple[Role, str, Family, dict[str, Any]]]:
    """Yield configs that VED accepts, some of each family."""
    draw = random.Random(0)
    for role, families in FAMILIES.items():
        for model_type, family in families.items():
            names = sorted({*family.settings} - {"model_type"})
            for _ in range(count):
                found: dict[str, Any] = {"model_type": model_type}
                for name in draw.sample(names, draw.randint(0, len(names))):
                    setting = family.settings[name]
                    for value in draw.sample(VALUES, len(VALUES)):
                        if setting.problem(value):
                            continue
                        with suppress(VedError):
                            check_sizes({name: setting.convert(value)}, SNAPSHOT)
                            found[name] = value
                            break
                converted = convert_settings(role, found, family, SNAPSHOT)
                yield role, model_type, family, published_settings(converted, family)


def written(role: Role, config: PartConfig) -> str:
    """Return config.json of a checkpoint with a config; the other half is a placeholder."""
    halves = {
        "encoder": complete(config_classes.VIT, {}),
        "decoder": complete(config_classes.GPT2, {}),
        role: complete(config.config_class, config.settings),
    }
    content = config_content(combine(halves["encoder"], as_decoder(halves["decoder"])))
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


ALL = [(role, name) for role, families in FAMILIES.items() for name in families]


def loaded(role: Role, model_type: str, **settings: Any) -> PartConfig:
    """Return the config of a source with some settings."""
    family, given = FAMILIES[role][model_type], {"model_type": model_type, **settings}
    return load_config(source_of(role, family, model_type, given))


@pytest.mark.parametrize(("role", "model_type"), ALL)
def test_published_config_has_the_settings_that_not_every_config_has(
    role: Role, model_type: str
) -> None:
    config = loaded(role, model_type, use_cache=False)
    half = json.loads(written(role, config))[role]
    assert half["_name_or_path"] == "owner/name"
    assert half["use_cache"] is False
    assert half["model_type"] == FAMILIES[role][model_type].config_class.model_type
    assert {name for name in config.settings if name not in COMMON} - half.keys() <= {*NEUTRAL}
    assert not {"transformers_version", "num_labels", "max_length"} & half.keys()


def test_settings_have_all_of_their_names() -> None:
    config = loaded("decoder", "gpt2", hidden_size=48, n_embd=96, n_layer=3)
    assert config["hidden_size"] == config["n_embd"] == config.get("n_embd") == 48
    assert config["num_hidden_layers"] == 3
    assert "hidden_size" in config
    assert "patch_size" not in config
    assert config.get("patch_size", 7) == 7
    assert "hidden_size" not in config.settings


def test_settings_that_follow_from_others_are_computed() -> None:
    swin = loaded("encoder", "swin", embed_dim=16, depths=[1, 2], num_heads=[1, 2])
    assert (swin["hidden_size"], swin["num_layers"]) == (32, 2)
    assert swin["stage_names"] == ["stem", "stage1", "stage2"]
    assert loaded("decoder", "bart", encoder_layers=3)["num_hidden_layers"] == 3
    assert loaded("encoder", "vit", hidden_size=48)["pooler_output_size"] == 48


def test_labels_are_in_the_order_of_their_numbers() -> None:
    config = loaded("encoder", "vit", id2label={"10": "k", "9": "j"}, label2id={"k": 10, "j": 9})
    assert list(json.loads(written("encoder", config))["encoder"]["id2label"]) == ["9", "10"]
    assert loaded("encoder", "vit", num_labels=3)["label2id"]["LABEL_2"] == 2
    assert len(loaded("decoder", "bart")["id2label"]) == 3


def test_decoder_is_no_half_of_a_model_and_has_no_fewer_layers_than_its_own() -> None:
    config = as_decoder(loaded("decoder", "bart", encoder_layers=1, decoder_layers=4))
    assert not config["is_encoder_decoder"]
    assert config["is_decoder"]
    assert config["encoder_layers"] == config["num_hidden_layers"] == 4
    more = as_decoder(loaded("decoder", "bart", encoder_layers=5, decoder_layers=4))
    assert more["encoder_layers"] == 5


def test_decoder_gets_a_range_for_the_projection_only() -> None:
    decoder = as_decoder(loaded("decoder", "bart", d_model=768, init_std=0.5))
    alike = combine(loaded("encoder", "vit"), decoder)
    assert not alike.has_projection
    assert "initializer_range" not in alike.decoder
    wide = combine(loaded("encoder", "vit", hidden_size=96), decoder)
    assert wide.has_projection
    assert wide.decoder["initializer_range"] == 0.5


@pytest.mark.parametrize("settings", [{"id2label": {"9" * 5000: "a"}}, {"num_labels": "many"}])
def test_damaged_config_is_refused(settings: dict[str, Any]) -> None:
    with raises(ErrorCode.CONFIG_NOT_USABLE):
        loaded("encoder", "vit", **settings)


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_config_that_is_not_a_part_is_replaced_in_its_role(role: Role) -> None:
    assert f"{role}: {{model: ..." in not_a_part(role, "owner/name", ValueError("why")).remedy


@pytest.mark.slow
def test_configs_are_those_of_the_classes_of_transformers(tmp_path: Path) -> None:
    configs = [*random_configs(15)]
    request = {
        "configs": [(role, without_task(settings)) for role, _, _, settings in configs],
        "neutral": NEUTRAL,
    }
    answer = run_consumer("transformers4", CONSUMER, request, tmp_path)
    texts = json.loads(answer["texts"].tobytes())
    usable = 0
    for each, (full, published) in zip(configs, texts, strict=True):
        role, model_type, family, settings = each
        source = source_of(role, family, model_type, settings)
        if not full:
            with raises(ErrorCode.CONFIG_NOT_USABLE):
                load_config(source)
            continue
        config = load_config(source)
        expected = {**json.loads(full), "_name_or_path": "owner/name"}
        assert config.settings == expected
        assert written(role, config.changed(_name_or_path="")) == published
        usable += 1
    assert usable > len(configs) / 2
