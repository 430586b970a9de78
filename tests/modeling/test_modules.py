"""The modules of ved.modeling have the parameters and logits of transformers' Flax classes."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from numpy.typing import NDArray
from transformers import AutoConfig

from tests.modeling import oracle
from ved.families import table
from ved.modeling.composite import VisionEncoderDecoderModule
from ved.modeling.errors import ModelingError
from ved.modeling.families import DECODERS, ENCODERS, decoder_settings, encoder_settings
from ved.modeling.initial_parameters import composite_module, module_params

CASES = dict(oracle.cases())


@pytest.fixture(scope="module")
def golden() -> Mapping[str, NDArray[Any]]:
    with np.load(oracle.PATH) as arrays:
        return dict(arrays)


def module_of(name: str, **options: Any) -> VisionEncoderDecoderModule:
    return composite_module(CASES[name], **options)


def strong_params(module: VisionEncoderDecoderModule) -> Any:
    return oracle.strong(jax.eval_shape(lambda: module_params(module, 0)))


def logits_of(module: VisionEncoderDecoderModule, params: Any, **inputs: Any) -> NDArray[Any]:
    output = jax.jit(lambda params: module.apply({"params": params}, **inputs))(params)
    return np.asarray(output.logits)


def text(ids: Any = oracle.IDS) -> dict[str, Any]:
    return {"pixel_values": oracle.images(), "decoder_input_ids": jnp.asarray(ids)}


def test_families_are_those_of_the_table() -> None:
    assert ENCODERS.keys() == table.ENCODERS.keys()
    assert DECODERS.keys() == table.DECODERS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_modules_give_the_logits_of_transformers(
    name: str, golden: Mapping[str, NDArray[Any]]
) -> None:
    module = module_of(name)
    inputs = text() | {
        "decoder_attention_mask": oracle.MASK,
        "decoder_position_ids": jnp.asarray(oracle.POSITIONS),
    }
    logits = logits_of(module, strong_params(module), **inputs)
    np.testing.assert_allclose(logits, golden[f"{name}/logits"], rtol=0, atol=2e-5)
    assert np.ptp(logits) > 1


@pytest.mark.slow
def test_precompute_cross_attention_projects_the_states_only_there() -> None:
    module = module_of("vit-gpt2-untied")
    params = strong_params(module)
    states = jnp.ones((2, 5, 16))
    _, cross = module.apply(
        {"params": params}, states, method="precompute_cross_attention", mutable=["cross"]
    )
    shapes = {path[-1]: leaf.shape for path, leaf in flatten_dict(cross["cross"]).items()}
    assert shapes == {"key": (2, 5, 2, 12), "value": (2, 5, 2, 12)}
    ids = jnp.asarray(oracle.IDS)
    decode = jax.jit(lambda variables, *inputs: module.apply(variables, *inputs, method="decode"))
    given = decode({"params": params}, ids, states).logits
    np.testing.assert_allclose(decode({"params": params, **cross}, ids).logits, given, atol=2e-5)


def test_roberta_counts_positions_from_the_pad_id() -> None:
    settings = decoder_settings({"model_type": "roberta", "pad_token_id": 3})
    ids = jnp.array([[5, 3, 6], [3, 3, 7]])
    np.testing.assert_array_equal(settings.position_ids(ids), [[4, 3, 5], [3, 3, 4]])
    np.testing.assert_array_equal(settings.position_ids(ids, 10), [[14, 3, 15], [3, 3, 14]])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["beit-gpt2", "vit-bart", "vit-bert"])
def test_dtype_is_that_of_the_computation_and_not_of_parameters(name: str) -> None:
    module = module_of(name, dtype=jnp.bfloat16)
    params = strong_params(module)
    logits = logits_of(module, params, **text())
    assert logits.dtype == jnp.bfloat16
    precise = logits_of(module_of(name), params, **text())
    assert np.abs(logits.astype(np.float32) - precise).max() < np.ptp(precise) / 10
    created = jax.eval_shape(lambda: module_params(module, 0))
    assert {leaf.dtype for leaf in jax.tree.leaves(created)} == {np.dtype(np.float32)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        ({"model_type": "vit", "attention_probs_dropout_prob": 0.5}, {}),
        ({"model_type": "dinov2", "drop_path_rate": 0.5}, {}),
        ({"model_type": "beit", "drop_path_rate": 0.5}, {}),
        ({"model_type": "clip_vision_model", "attention_dropout": 0.5}, {}),
        ({"model_type": "dinov3_vit"}, {}),  # training moves its positions
        ({}, {"model_type": "gpt2", "attn_pdrop": 0.5}),
        ({}, {"model_type": "bart", "decoder_layerdrop": 0.5}),
        ({}, {"model_type": "bert", "hidden_dropout_prob": 0.5}),
    ],
    ids=repr,
)
def test_dropout_depends_on_its_key(encoder: dict[str, Any], decoder: dict[str, Any]) -> None:
    vision = encoder.get("model_type", "vit")
    language = decoder.get("model_type", "gpt2")
    config = {
        "encoder": {
            **oracle.ENCODERS.get(vision, ("", oracle.VISION))[1],
            **{"model_type": vision, **encoder},
        },
        "decoder": {"model_type": language, **oracle.DECODERS[language], **decoder},
    }
    module = composite_module(config)
    params = strong_params(module)

    @jax.jit
    @jax.vmap
    def train(key: jax.Array) -> jax.Array:
        inputs = text() | {"deterministic": False}
        logits: jax.Array = module.apply({"params": params}, **inputs, rngs={"dropout": key}).logits
        return logits

    keys = jax.random.split(jax.random.key(0), 4)
    first, *others = np.asarray(train(jnp.concatenate((keys, keys[:1]))))
    assert np.isfinite([first, *others]).all()
    np.testing.assert_array_equal(first, others[-1])
    assert any(not np.array_equal(first, other) for other in others)


REFUSED: Mapping[str, dict[str, Any]] = {
    "unknown_setting": {"model_type": "gpt2", "unknown_setting": 1},
    "position_embedding_type": {"model_type": "bert", "position_embedding_type": "relative_key"},
    "quantization_config": {"model_type": "bert", "quantization_config": {"bits": 4}},
    "pruned_heads": {"model_type": "bert", "pruned_heads": {"0": [1]}},
    "activation_function": {"model_type": "gpt2", "activation_function": "xielu"},
    "normalize_before": {"model_type": "bart", "normalize_before": True},
    "n_embd": {"model_type": "gpt2", "n_embd": 16.5},
    "n_inner": {"model_type": "gpt2", "n_inner": 2.5},
    "n_layer": {"model_type": "gpt2", "n_layer": 2, "num_hidden_layers": 3},
    "layer_norm_eps": {"model_type": "roberta", "layer_norm_eps": float("nan")},
    "tie_word_embeddings": {"model_type": "roberta", "tie_word_embeddings": 1},
    "heads": {"model_type": "roberta", "num_attention_heads": 7},
    "llama": {"model_type": "llama"},
    "model_type": {},
}


@pytest.mark.parametrize("name", REFUSED)
def test_decoder_settings_refuse_by_name(name: str) -> None:
    with pytest.raises(ModelingError, match=name):
        decoder_settings(REFUSED[name])


@pytest.mark.parametrize("model_type", ["beit", "dinov2", "clip_vision_model"])
def test_encoder_settings_refuse_positions_of_images_that_are_not_square(model_type: str) -> None:
    config = {"model_type": model_type, "image_size": [224, 448]}
    relative = {"use_relative_position_bias": True} if model_type == "beit" else {}
    with pytest.raises(ModelingError, match="image_size"):
        encoder_settings(config | relative)


def test_encode_refuses_images_with_other_channels() -> None:
    module = module_of("vit-gpt2")
    with pytest.raises(ModelingError, match="channels"):
        module.apply({"params": {}}, np.zeros((1, 4, 16, 16)), method="encode")


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_settings_have_the_defaults_of_the_format(role: str) -> None:
    families: Mapping[str, Any] = ENCODERS if role == "encoder" else DECODERS
    for model_type, family in families.items():
        if model_type == "gpt-sw3":  # transformers has no class of this name
            continue
        config = AutoConfig.for_model(model_type).to_dict()
        names = {field.name for field in fields(family.settings)} & config.keys()
        defaults, found = family.settings(), family.settings.from_config(config)
        written = {name: getattr(found, name) for name in names}
        if "pooler_output_size" in written:  # the class writes the width
            written["pooler_output_size"] = None
        assert written == {name: getattr(defaults, name) for name in names}, model_type
