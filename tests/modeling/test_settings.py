"""Flax computes what PyTorch computes with any settings, or VED refuses the config."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.building import model_shapes, source
from tests.support.consumers import run_consumer
from tests.support.faults import ALL_FAULTS
from ved.assembly.config_files import load_config
from ved.assembly.parts import source_part
from ved.errors import ErrorCode, VedError
from ved.families import DECODERS, ENCODERS, Role
from ved.modeling import names
from ved.modeling.errors import ModelingError
from ved.modeling.families import decoder_settings, encoder_settings, module_of
from ved.tensors.tensor import read

CONSUMER = Path(__file__).parents[1] / "consumers" / "settings.py"
CONFIGS_PER_FAMILY = 10 if ALL_FAULTS else 4
SEED = 4  # with it, few configs have all settings that the test looks for at its end
INPUT_IDS = [[5, 7, 12, 9, 20, 1]]
REFUSALS = {ErrorCode.UNSUPPORTED_SETTINGS, ErrorCode.CONFIG_NOT_USABLE}

# All activations of PyTorch that have no parameters
ACTIVATIONS = (
    *("gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_accurate", "gelu_pytorch_tanh"),
    *("gelu_python_tanh", "quick_gelu", "relu", "silu", "swish", "tanh"),
)
OTHER_ACTIVATIONS = (
    *("gelu_10", "laplace", "leaky_relu", "linear", "mish", "relu2", "relu6", "sigmoid"),
)
FLAG = st.booleans()
RATE = st.sampled_from((0, 0.1, 1.0))
EPSILON = st.sampled_from((1e-12, 1e-5, 0.1, 1))
# Most configs should have an activation that Flax computes.
ACTIVATION = st.sampled_from((*ACTIVATIONS * 3, *OTHER_ACTIVATIONS))

COMMON: dict[str, st.SearchStrategy[Any]] = {
    "return_dict": FLAG,
    "output_attentions": FLAG,
    "output_hidden_states": FLAG,
    "is_decoder": FLAG,
    "add_cross_attention": FLAG,
    "chunk_size_feed_forward": st.sampled_from((0, 2)),
    "torch_dtype": st.just("float32"),
    "problem_type": st.sampled_from((None, "regression")),
    "num_labels": st.sampled_from((1, 5)),
    "max_length": st.just(30),
}
VISION = COMMON | {
    "hidden_size": st.just(16),
    "num_hidden_layers": st.sampled_from((1, 2)),
    "num_attention_heads": st.sampled_from((1, 2, 4)),
    "image_size": st.sampled_from((16, [16, 16])),
    "patch_size": st.sampled_from((8, [8, 8], 5)),
    "num_channels": st.sampled_from((1, 3)),
    "hidden_act": ACTIVATION,
    "layer_norm_eps": EPSILON,
    "hidden_dropout_prob": RATE,
    "attention_probs_dropout_prob": RATE,
    "chunk_size_feed_forward": st.just(0),  # tokens are an odd number
}
VIT = VISION | {
    "image_size": st.sampled_from((16, [16, 16], [16, 24])),
    "patch_size": st.sampled_from((8, [8, 8], 5, [4, 8])),
    "intermediate_size": st.sampled_from((16, 24)),
    "qkv_bias": FLAG,
    "pooler_act": ACTIVATION,
    "pooler_output_size": st.sampled_from((None, 8)),
}
DINOV2 = VISION | {
    "mlp_ratio": st.sampled_from((2, 2.0, 2.5)),
    "layerscale_value": st.sampled_from((1.0, 0.1, 1e-5)),
    "drop_path_rate": RATE,
    "qkv_bias": FLAG,
    "use_swiglu_ffn": FLAG,
    "use_mask_token": FLAG,
    "apply_layernorm": FLAG,
}
# The PyTorch classes take no list as a size.
DUAL = {
    name: strategy
    for name, strategy in VISION.items()
    if name not in ("hidden_dropout_prob", "attention_probs_dropout_prob")
} | {
    "image_size": st.just(16),
    "patch_size": st.sampled_from((8, 5)),
    "intermediate_size": st.sampled_from((16, 24)),
    "attention_dropout": RATE,
}
TEXT = COMMON | {"vocab_size": st.just(32), "tie_word_embeddings": st.just(True)}
BERT = TEXT | {
    "hidden_size": st.just(16),
    "num_hidden_layers": st.sampled_from((1, 2)),
    "num_attention_heads": st.sampled_from((1, 2, 4)),
    "intermediate_size": st.sampled_from((16, 24)),
    "max_position_embeddings": st.just(40),
    "type_vocab_size": st.sampled_from((1, 2)),
    "position_embedding_type": st.sampled_from(
        ("absolute", "absolute", "absolute", "relative_key", "relative_key_query")
    ),
    "hidden_act": ACTIVATION,
    "layer_norm_eps": EPSILON,
    "hidden_dropout_prob": RATE,
    "attention_probs_dropout_prob": RATE,
}
GPT2 = TEXT | {
    "n_embd": st.just(16),
    "n_layer": st.sampled_from((1, 2)),
    "n_head": st.sampled_from((1, 2, 4)),
    "n_positions": st.just(40),
    "n_inner": st.sampled_from((None, 24)),
    "activation_function": ACTIVATION,
    "layer_norm_epsilon": EPSILON,
    "attn_pdrop": RATE,
    "scale_attn_weights": FLAG,
    "scale_attn_by_inverse_layer_idx": st.sampled_from((True, False)),
    "reorder_and_upcast_attn": FLAG,
}
WINDOWS = {
    **{name: each for name, each in VISION.items() if "hidden_layers" not in name},
    "image_size": st.sampled_from((16, [16, 16], [24, 16])),
    "patch_size": st.sampled_from((2, [2, 2], 3)),
    "embed_dim": st.just(8),
    "depths": st.sampled_from(([2, 1], [1, 2], [2, 2])),
    "num_heads": st.sampled_from(([1, 2], [2, 2], [4, 1])),
    "window_size": st.sampled_from((1, 2, 3)),
    "mlp_ratio": st.sampled_from((2, 2.5)),
    "qkv_bias": FLAG,
    "drop_path_rate": RATE,
    "use_absolute_embeddings": st.just(False),
    "out_indices": st.sampled_from((None, [1])),
}
BART = TEXT | {
    "d_model": st.just(16),
    "decoder_layers": st.sampled_from((1, 2)),
    "decoder_attention_heads": st.sampled_from((1, 2, 4)),
    "decoder_ffn_dim": st.sampled_from((16, 24)),
    # The class of transformers 4.57 sizes its cache by the layers of the encoder.
    "encoder_layers": st.just(2),
    "max_position_embeddings": st.just(40),
    "activation_function": ACTIVATION,
    "scale_embedding": FLAG,
    "decoder_layerdrop": RATE,
    "dropout": RATE,
}
TROCR = TEXT | {
    "d_model": st.just(16),
    "decoder_layers": st.sampled_from((1, 2)),
    "decoder_attention_heads": st.sampled_from((1, 2, 4)),
    "decoder_ffn_dim": st.sampled_from((16, 24)),
    "max_position_embeddings": st.just(40),
    "activation_function": ACTIVATION,
    **dict.fromkeys(("scale_embedding", "layernorm_embedding"), FLAG),
    "use_learned_position_embeddings": st.sampled_from((True, True, False)),
    "dropout": RATE,
}
XGLM = TEXT | {
    "d_model": st.just(16),
    "num_layers": st.sampled_from((1, 2)),
    "attention_heads": st.sampled_from((1, 2, 4)),
    "ffn_dim": st.sampled_from((16, 24)),
    "max_position_embeddings": st.just(40),
    "activation_function": ACTIVATION,
    "scale_embedding": FLAG,
    "pad_token_id": st.sampled_from((0, 1, 4)),
    "dropout": RATE,
    "layerdrop": RATE,
}
STRATEGIES: Mapping[str, dict[str, st.SearchStrategy[Any]]] = {
    "vit": VIT,
    "beit": VISION
    | {
        "intermediate_size": st.sampled_from((16, 24)),
        # The PyTorch class computes no relative positions with a list.
        "patch_size": st.sampled_from((8, 5)),
        "layer_scale_init_value": st.sampled_from((0, 0.1, 1)),
        "drop_path_rate": RATE,
        "use_mask_token": FLAG,
        "use_mean_pooling": FLAG,
        "use_absolute_position_embeddings": FLAG,
        "use_relative_position_bias": FLAG,
        "use_shared_relative_position_bias": FLAG,
        "out_indices": st.sampled_from((None, [1])),
    },
    "dinov2": DINOV2,
    "clip_vision_model": DUAL | {"projection_dim": st.just(8)},
    "siglip_vision_model": DUAL | {"vision_use_head": FLAG},
    "swin": WINDOWS,
    "donut-swin": {name: each for name, each in WINDOWS.items() if name != "out_indices"},
    "swinv2": WINDOWS
    | {
        "window_size": st.sampled_from((1, 3, 5, 20)),
        "pretrained_window_sizes": st.sampled_from(([0, 0], [3, 2], [6, 0])),
    },
    "deit": VIT,
    "ijepa": VIT,
    "dinov2_with_registers": {
        name: strategy for name, strategy in DINOV2.items() if name != "use_mask_token"
    }
    | {"num_register_tokens": st.sampled_from((0, 1, 4))},
    "dinov3_vit": DUAL
    | {
        "num_register_tokens": st.sampled_from((0, 1, 4)),
        "rope_theta": st.sampled_from((100.0, 3)),
        **dict.fromkeys(("query_bias", "key_bias", "value_bias", "proj_bias", "mlp_bias"), FLAG),
        "use_gated_mlp": FLAG,
        "layerscale_value": st.sampled_from((1.0, 1e-5)),
        "drop_path_rate": RATE,
        "pos_embed_shift": st.sampled_from((None, 0.5)),
        "pos_embed_jitter": st.sampled_from((None, 2)),
        "pos_embed_rescale": st.sampled_from((None, 2.0)),
    },
    "gpt2": GPT2,
    "gpt-sw3": GPT2,
    "bart": BART,
    "mbart": BART,
    "pegasus": BART | {"pad_token_id": st.just(0)},
    "xglm": XGLM,
    "trocr": TROCR,
    "electra": BERT | {"embedding_size": st.sampled_from((16, 8))},
    "bert-generation": {
        name: strategy for name, strategy in BERT.items() if name != "type_vocab_size"
    },
    "bert": BERT,
    **dict.fromkeys(
        ("roberta", "xlm-roberta", "roberta-prelayernorm"),
        BERT | {"pad_token_id": st.sampled_from((0, 1, 3))},
    ),
}
FEWER = (
    "gpt-sw3",
    "xlm-roberta",
    "swin",
    "donut-swin",
    "siglip_vision_model",
    "deit",
    "ijepa",
    "dinov2_with_registers",
)
"""Families that share most of their code with another one."""


def draw_configs(model_type: str) -> list[dict[str, Any]]:
    """Return different configs of a family, always the same, and others for each family."""
    drawn: list[dict[str, Any]] = []

    @seed(f"{model_type} {SEED}")
    @settings(
        max_examples=CONFIGS_PER_FAMILY // 2 if model_type in FEWER else CONFIGS_PER_FAMILY,
        derandomize=False,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.fixed_dictionaries(STRATEGIES[model_type]))
    def collect(config: dict[str, Any]) -> None:
        drawn.append({"model_type": model_type, **config})

    collect()
    return drawn


def run_pytorch(folder: Path) -> tuple[dict[str, Any], Mapping[str, NDArray[np.float32]]]:
    """Return sources by name, and PyTorch's arrays: an output and pixels for each name."""
    sources = {
        f"{model_type}-{number}": {
            "role": "encoder" if model_type in ENCODERS else "decoder",
            "config": config,
            "directory": str(folder / f"{model_type}-{number}"),
        }
        for model_type in STRATEGIES
        for number, config in enumerate(draw_configs(model_type))
    }
    states = np.random.default_rng(0).normal(size=(1, 5, 16)).astype(np.float32)
    np.save(folder / "states.npy", states)
    request = {
        "sources": sources,
        "input_ids": INPUT_IDS,
        "encoder_hidden_states": str(folder / "states.npy"),
    }
    answer = run_consumer("transformers4", CONSUMER, request, folder)
    return sources, {"states": states, **answer}


def read_with_transformers_5(
    sources: dict[str, Any], folder: Path
) -> tuple[dict[str, str], Mapping[str, NDArray[np.float32]]]:
    """Return errors and outputs by name, of the models that `run_pytorch` wrote to a folder."""
    request = {
        "sources": sources,
        "input_ids": INPUT_IDS,
        "encoder_hidden_states": str(folder / "states.npy"),
        "pixels": str(folder / "answer.npz"),
    }
    (folder / "again").mkdir()
    answer = run_consumer("transformers5", CONSUMER, request, folder / "again")
    return json.loads(str(answer["failed"])), answer


def flax_output(
    role: Role, directory: Path, pixels: NDArray[np.float32], states: NDArray[np.float32]
) -> tuple[NDArray[np.float32], Mapping[str, Any]]:
    """Return what Flax computes with a source as VED publishes it, and its published settings.

    Raises:
        VedError: VED refuses the source, before it reads weights.
    """
    found = source(role, directory)
    config = load_config(found)
    part = source_part(found, config, seed=0)
    assert not part.ledger.warnings
    tensors = dict((*part.copied("flax"), *part.initialized("flax")))
    params = unflatten_dict({path[1:]: jnp.asarray(read(each)) for path, each in tensors.items()})
    return module_output(role, config.settings, params, pixels, states), config.settings


def module_output(
    role: Role,
    config: Mapping[str, Any],
    params: Any,
    pixels: NDArray[np.float32],
    states: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return what a module of ved.modeling computes with a config."""
    if role == "encoder":
        vision = encoder_settings(config)
        encoder = module_of(vision)(vision)

        @jax.jit
        def compute(params: Any) -> Any:
            return encoder.apply({"params": params}, pixels).last_hidden_state
    else:
        settings, ids = decoder_settings(config), jnp.array(INPUT_IDS)
        decoder = module_of(settings)(settings)
        positions = settings.position_ids(ids)

        @jax.jit
        def compute(params: Any) -> Any:
            return decoder.apply({"params": params}, ids, positions, None, states).logits

    return np.asarray(compute(params))


def stored_params(directory: Path, shapes: Any) -> Any:
    """Return the parameters of a PyTorch checkpoint, with the paths of `shapes`."""
    stored = safetensors.numpy.load_file(directory / "model.safetensors")
    paths = flatten_dict(shapes).keys()
    found, extra = names.find(paths, stored)
    assert not [name for name in extra if "pooler" not in name]
    params = {}
    for path, name in found.items():
        axes = names.transposition(name, path, stored[name].ndim)
        params[path] = stored[name] if axes is None else stored[name].transpose(axes)
    assert all(path in params or "mask_token" in path for path in paths)
    return unflatten_dict(params)


def refused_output(
    each: dict[str, Any], pixels: NDArray[np.float32], states: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return what a module computes with a config that the table of families refuses.

    Raises:
        ModelingError: the module refuses a setting, too.
    """
    role, config = each["role"], each["config"]
    params = stored_params(Path(each["directory"]), model_shapes(role, config))
    return module_output(role, config, params, pixels, states)


@pytest.mark.slow
def test_settings_give_the_numbers_of_pytorch_or_are_refused(tmp_path: Path) -> None:
    """The modules compute more than the table of families allows to publish."""
    assert STRATEGIES.keys() == ENCODERS.keys() | DECODERS.keys()
    sources, arrays = run_pytorch(tmp_path)
    outputs: dict[str, NDArray[np.float32]] = {}
    settings: dict[str, Mapping[str, Any]] = {}
    published: dict[str, float] = {}
    others: dict[str, float] = {}
    refusals: list[VedError] = []
    refused_by_modules: set[str] = set()
    for name, each in sources.items():
        inputs = arrays[f"{name} pixels"], arrays["states"]
        errors = published
        try:
            output, settings[name] = flax_output(each["role"], Path(each["directory"]), *inputs)
            outputs[name] = output
        except VedError as refusal:
            refusals.append(refusal)
            errors = others
            try:
                output = refused_output(each, *inputs)
            except ModelingError as error:
                refused_by_modules.add(str(error).split()[2])
                continue
        errors[name] = float(np.abs(output - arrays[name]).max())
    wrong = {
        name: sources[name]["config"]
        for name, error in (published | others).items()
        if not error < 1e-4
    }
    assert not wrong
    kept = [
        name
        for name in published
        if settings[name]["model_type"] == sources[name]["config"]["model_type"]
    ]  # the checkpoints of others have the names of their own family
    failed, again = read_with_transformers_5(
        {name: {**sources[name], "config": dict(settings[name])} for name in kept}, tmp_path
    )
    assert not failed
    assert not [name for name in kept if not np.abs(outputs[name] - again[name]).max() < 1e-4]
    assert {error.code for error in refusals} <= REFUSALS
    assert not [error for error in refusals if "does not describe a working" in error.cause]
    assert {name.rpartition("-")[0] for name in published} == STRATEGIES.keys()
    assert len(published) > len(sources) / 3
    assert refused_by_modules == {"position_embedding_type"}
    for errors, setting, value in (
        (published, "scale_attn_weights", False),
        (published, "scale_attn_by_inverse_layer_idx", True),
        (published, "image_size", [16, 24]),
        (others, "mlp_ratio", 2.5),
    ):
        assert any(sources[name]["config"].get(setting) == value for name in errors), setting
