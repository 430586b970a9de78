"""ved.families.settings: which settings of a config are computed, refused, or harmless."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from transformers import CONFIG_MAPPING, PretrainedConfig

from tests.support.reference import ask
from ved.families import DECODERS, ENCODERS
from ved.families.runtimes import runtimes
from ved.families.setting import ACTIVATION

FAMILIES = {**ENCODERS, **DECODERS}
WINDOWS = ("swin", "swinv2", "donut-swin")
VISION = tuple(name for name in ENCODERS if name not in WINDOWS)
VIT_LIKE = ("vit", "deit", "ijepa")
SQUARE = tuple(name for name in VISION if name not in VIT_LIKE)
DUAL = ("clip_vision_model", "siglip_vision_model")
ROBERTA_LIKE = ("roberta", "xlm-roberta", "roberta-prelayernorm")
BERT_LIKE = ("bert", *ROBERTA_LIKE, "electra")
BART_LIKE = ("bart", "mbart")
GPT2_LIKE = ("gpt2", "gpt-sw3")

FLAX_ACTIVATIONS = (
    "gelu",
    "relu",
    "silu",
    "swish",
    "gelu_new",
    "quick_gelu",
    "gelu_pytorch_tanh",
    "tanh",
)
"""ACT2FN in the Flax code of transformers 4.57.6."""

REFUSED: list[tuple[tuple[str, ...], str, tuple[object, ...]]] = [
    (tuple(FAMILIES), "pruned_heads", ({"0": [1]}, [1])),
    (tuple(FAMILIES), "adapters", ({"adapters": {"a": {}}}, "x")),
    (tuple(FAMILIES), "torch_dtype", ("int8", "torch.float32", 3)),
    (tuple(FAMILIES), "dtype", ("int8", ["float32"])),
    (tuple(FAMILIES), "id2label", ([], {"a": "b"})),
    (tuple(FAMILIES), "label2id", ([], "x")),
    (tuple(FAMILIES), "problem_type", ("other", {})),
    (tuple(FAMILIES), "tie_word_embeddings", (None, "false", 1)),
    (SQUARE, "image_size", ([16, 8], [16], [8, 8, 8])),
    (SQUARE, "patch_size", ([4, 8], [])),
    (VIT_LIKE, "image_size", ([16], [8, 8, 8], None)),
    (VISION, "hidden_size", (None,)),
    (VISION, "initializer_range", ("0.02", None, True, -0.1, 1e300, 10**60)),
    ((*VISION, *BERT_LIKE), "layer_norm_eps", ("1e-12", None, -1.0, [1e-5])),
    ((*VIT_LIKE, "beit", "dinov2", *BERT_LIKE), "hidden_dropout_prob", ("0.1", None, 1.5, -0.1)),
    ((*VIT_LIKE, "beit", "dinov2", *BERT_LIKE), "attention_probs_dropout_prob", ("0.1", 2)),
    (DUAL, "attention_dropout", ("0.1", None, 2)),
    (("dinov3_vit",), "rope_theta", (0, None, "100")),
    (("dinov3_vit",), "use_gated_mlp", (None, 1)),
    (("dinov3_vit",), "pos_embed_rescale", (0, "2", -1)),
    (("dinov3_vit",), "pos_embed_shift", ("2", -1)),
    (("dinov2_with_registers", "dinov3_vit"), "num_register_tokens", (None,)),
    (("clip_vision_model",), "initializer_factor", (None, "1")),
    (("siglip_vision_model",), "vision_use_head", (None, 0)),
    ((*VISION, *BERT_LIKE), "hidden_act", ("mish", "GELU", None, ["gelu"], {"gelu": 1})),
    (("vit",), "pooler_act", ("relu6", None)),
    (("vit", "dinov2"), "qkv_bias", (None, "false", 0)),
    (("beit",), "use_mean_pooling", (None, "no")),
    (("beit",), "use_relative_position_bias", (0, "x")),
    (("beit",), "layer_scale_init_value", (None, "0.1")),
    (("beit", "dinov2"), "drop_path_rate", ("0.1", 1.1)),
    (("dinov2",), "mlp_ratio", (2.5, None)),
    (("dinov2",), "layerscale_value", (None, "1.0")),
    (("dinov2",), "use_swiglu_ffn", (None, 1)),
    (WINDOWS, "image_size", ([16], [8, 8, 8], None, "16")),
    (WINDOWS, "patch_size", ([], {}, 4.0)),
    (WINDOWS, "depths", (2, None, [], {"0": 2})),
    (WINDOWS, "num_heads", (2, None, [])),
    (WINDOWS, "embed_dim", (None,)),
    (WINDOWS, "window_size", (None,)),
    (WINDOWS, "mlp_ratio", (None,)),
    (WINDOWS, "hidden_act", ("mish", None)),
    (WINDOWS, "qkv_bias", (None, 0)),
    (WINDOWS, "drop_path_rate", ("0.1", 1.1)),
    (WINDOWS, "layer_norm_eps", ("1e-5", None)),
    (WINDOWS, "use_absolute_embeddings", (True, None, 0)),
    (WINDOWS, "path_norm", (False, None)),
    (WINDOWS, "patch_norm", (False,)),
    (("swinv2",), "pretrained_window_sizes", (None, 12, [])),
    (GPT2_LIKE, "scale_attn_weights", (None, 1)),
    (GPT2_LIKE, "scale_attn_by_inverse_layer_idx", (None, 0)),
    (GPT2_LIKE, "normalize_attention_scores", (False,)),
    (GPT2_LIKE, "activation_function", ("gelu_10", "prelu", None)),
    (GPT2_LIKE, "reorder_and_upcast_attn", (None, "x")),
    (GPT2_LIKE, "layer_norm_epsilon", (None, "x")),
    (("bart",), "normalize_before", (True,)),
    (("bart",), "add_final_layer_norm", (True,)),
    (("mbart", "pegasus"), "normalize_before", (False,)),
    (("pegasus",), "static_position_embeddings", (False,)),
    (("pegasus",), "normalize_embedding", (True,)),
    (("mbart",), "add_final_layer_norm", (False,)),
    (BART_LIKE, "add_bias_logits", (True,)),
    (BART_LIKE, "static_position_embeddings", (True,)),
    (BART_LIKE, "do_blenderbot_90_layernorm", (True,)),
    (BART_LIKE, "normalize_embedding", (False,)),
    (BART_LIKE, "extra_pos_embeddings", (0, 1)),
    ((*BART_LIKE, "trocr"), "scale_embedding", (None, "x")),
    ((*BART_LIKE, "trocr"), "activation_function", ("linear",)),
    ((*BART_LIKE, "trocr"), "decoder_layerdrop", ("x", 2)),
    ((*BART_LIKE, "trocr"), "init_std", ("x", -1)),
    (("trocr",), "use_learned_position_embeddings", (False, None, 1)),
    (("trocr",), "layernorm_embedding", (None, "x")),
    (("electra",), "embedding_size", (None,)),
    (
        (*BERT_LIKE, "bert-generation"),
        "position_embedding_type",
        ("relative_key", "relative_key_query", None),
    ),
    (BERT_LIKE, "type_vocab_size", (0, None)),
    (ROBERTA_LIKE, "pad_token_id", (None, -1, "1", 1.0)),
]
CONVERTED: list[tuple[tuple[str, ...], str, object, object]] = [
    (VISION, "image_size", [16, 16], 16),
    (VISION, "patch_size", [8, 8], 8),
    (("vit", "bert"), "hidden_act", "gelu_fast", "gelu_new"),
    (("vit", "bert"), "hidden_act", "gelu_python", "gelu"),
    (("gpt2",), "activation_function", "gelu_accurate", "gelu_new"),
    (("bart",), "activation_function", "gelu_python_tanh", "gelu_pytorch_tanh"),
    (("dinov2",), "mlp_ratio", 4.0, 4),
    (("vit", "bert"), "layer_norm_eps", 1, 1.0),
    (("bart",), "decoder_layerdrop", 0, 0.0),
    (WINDOWS, "image_size", [16, 16], 16),
    ((*WINDOWS, "vit"), "image_size", [24, 16], [24, 16]),
    (WINDOWS, "mlp_ratio", 4, 4.0),
    (("dinov2",), "layerscale_value", 1e-5, 1.0),
]


@pytest.mark.parametrize(("families", "name", "values"), REFUSED, ids=lambda each: str(each)[:40])
def test_settings_refuse_values_that_flax_does_not_compute(
    families: tuple[str, ...], name: str, values: tuple[object, ...]
) -> None:
    for family in families:
        setting = FAMILIES[family].settings[name]
        assert all(setting.problem(value) for value in values), family


@pytest.mark.parametrize(("families", "name", "value", "converted"), CONVERTED)
def test_settings_convert_values_to_those_of_flax(
    families: tuple[str, ...], name: str, value: object, converted: object
) -> None:
    for family in families:
        setting = FAMILIES[family].settings[name]
        assert not setting.problem(value)
        assert setting.convert(value) == converted
        assert type(setting.convert(value)) is type(converted)


@pytest.mark.parametrize(
    ("family", "config", "names"),
    [
        ("vit", {"image_size": [24, 16], "patch_size": [8, 8]}, ("image_size",)),
        ("gpt2", {"scale_attn_weights": False}, ("scale_attn_weights",)),
        ("gpt2", {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False}, ()),
        (
            "gpt-sw3",
            {"scale_attn_by_inverse_layer_idx": True},
            ("scale_attn_by_inverse_layer_idx",),
        ),
        ("bert", {"hidden_act": "gelu_fast"}, ()),
    ],
)
def test_family_knows_the_settings_that_the_flax_class_of_transformers_ignores(
    family: str, config: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert FAMILIES[family].not_in_flax_class(config) == names


@pytest.mark.slow
def test_settings_of_every_class_of_transformers_4_are_known(tmp_path: Path) -> None:
    answers = ask({"": {"task": "settings", "model_types": [*FAMILIES]}}, tmp_path)
    assert answers.reports[""].keys() == FAMILIES.keys()
    for model_type, names in answers.reports[""].items():
        assert {*names} <= FAMILIES[model_type].settings.keys(), model_type


@pytest.mark.parametrize("model_type", FAMILIES)
def test_settings_of_every_class_are_known(model_type: str) -> None:
    known = FAMILIES[model_type].settings
    config_class = CONFIG_MAPPING[model_type]
    named: set[str] = {
        *inspect.signature(config_class.__init__).parameters,
        *inspect.signature(PretrainedConfig.__init__).parameters,
        *config_class.attribute_map,
        *config_class().to_dict(),
    } - {"self", "kwargs"}
    assert {name for name in named if not name.startswith("_")} <= known.keys()


@pytest.mark.parametrize("model_type", FAMILIES)
def test_settings_accept_the_defaults_of_every_class(model_type: str) -> None:
    settings = FAMILIES[model_type].settings
    defaults: dict[str, Any] = CONFIG_MAPPING[model_type]().to_dict()
    defaults["id2label"] = {str(number): label for number, label in defaults["id2label"].items()}
    refused = {
        name: value
        for name, value in defaults.items()
        if name in settings and settings[name].problem(value)
    }
    assert not refused
    changed = {
        name
        for name, value in defaults.items()
        if name in settings and settings[name].convert(value) != value
    }
    assert not changed


def test_settings_accept_all_activations_of_flax() -> None:
    assert not [name for name in FLAX_ACTIVATIONS if ACTIVATION.problem(name)]
    assert ACTIVATION.convert("gelu_fast") in FLAX_ACTIVATIONS


def test_runtimes_say_that_the_flax_class_ignores_a_setting() -> None:
    halves = {"gpt2": DECODERS["gpt2"]}
    own, *others = runtimes(halves, not_in_flax_class=["scale_attn_weights"])
    assert not own.works
    assert "scale_attn_weights" in own.remark
    # transformers 5 has no pipeline for any checkpoint.
    *rest, pipeline = others
    assert all(each.works for each in (*rest, *runtimes(halves)[:-1]))
    assert not pipeline.works
