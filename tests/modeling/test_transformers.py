"""The modules of ved.modeling compute what transformers' Flax classes compute, bit for bit."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from tests import checkpoints
from tests.modeling import oracle
from tests.modeling.test_modules import logits_of, module_of, strong_params, text
from tests.support.building import assemble_pair, assert_same_parameters, parameters_of
from tests.support.reference import Answers, ask
from ved.modeling import FlaxVisionEncoderDecoderModel
from ved.modeling.composite import empty_cache
from ved.modeling.initial_parameters import composite_module

pytestmark = pytest.mark.slow

CASES = dict(oracle.cases())
ONE_OF_EACH = ("vit-gpt2", "beit-gpt2", "dinov2-gpt2", "vit-bart", "vit-bert", "vit-roberta")
METHODS = ("__call__", "encode", "decode", "init_cache")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FlaxVisionEncoderDecoderModel]:
    """Assemble and load a checkpoint, and save the model in both formats, in these directories."""
    folder = tmp_path_factory.mktemp("saved")
    sources = checkpoints.vit(folder / "vit"), checkpoints.roberta(folder / "roberta")
    assemble_pair(*sources, folder / "assembled")
    model = FlaxVisionEncoderDecoderModel.from_pretrained(folder / "assembled")
    made = {}
    for name in ("msgpack", "safetensors"):
        directory = folder / name
        model.save_pretrained(directory, safe_serialization=name == "safetensors")
        made[str(directory)] = model
    return made


@pytest.fixture(scope="module")
def transformers(
    saved: dict[str, FlaxVisionEncoderDecoderModel], tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    """Have transformers 4.57.6 compute all models, load checkpoints, and tell its methods."""
    folder = tmp_path_factory.mktemp("transformers")
    return ask(
        {
            **oracle.computing(folder, ONE_OF_EACH),
            "methods": {"task": "methods", "names": METHODS},
            **{directory: {"task": "load", "directory": directory} for directory in saved},
        },
        folder,
        optimize=False,
    )


def test_oracle_has_the_logits_of_transformers(transformers: Answers) -> None:
    with np.load(oracle.PATH) as frozen:
        expected = {name: frozen[name] for name in frozen if name.endswith("/logits")}
    found = oracle.logits_of(transformers)
    assert found.keys() == expected.keys()
    for name, logits in expected.items():
        np.testing.assert_allclose(found[name], logits, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_modules_give_all_outputs_of_transformers_bit_for_bit(
    name: str, transformers: Answers
) -> None:
    # tests/assembly/test_new_parameters.py compares the initial parameters.
    module = composite_module(CASES[name])
    params = strong_params(module)
    inputs = {key: jnp.asarray(each) for key, each in oracle.INPUTS.items()}
    asked = {"output_attentions": True, "output_hidden_states": True}
    output = module.apply({"params": params}, **inputs, **asked)
    expected = transformers.named(name, "outputs/")
    found = {
        f"{field}/{number}": leaf
        for field in output._fields
        for number, leaf in enumerate(jax.tree.leaves(getattr(output, field)))
    }
    assert found.keys() == expected.keys()
    for key, wanted in expected.items():
        np.testing.assert_array_equal(found[key], wanted, key)
    cache = {
        key: [*leaf.shape]
        for key, leaf in flatten_dict(empty_cache(module, 2, 10), sep="/").items()
    }
    assert cache == transformers.reports[name]


@pytest.mark.parametrize("method", METHODS)
def test_methods_have_the_parameters_of_transformers(method: str, transformers: Answers) -> None:
    signature = inspect.signature(getattr(FlaxVisionEncoderDecoderModel, method))
    ours = {name: repr(each.default) for name, each in signature.parameters.items()}
    theirs = transformers.reports["methods"][method]
    assert ours == theirs
    assert [*ours] == [*theirs]


def test_save_pretrained_writes_checkpoints_that_transformers_loads(
    saved: dict[str, FlaxVisionEncoderDecoderModel], transformers: Answers
) -> None:
    for directory, model in saved.items():
        assert_same_parameters(transformers.parameters(directory), parameters_of(model))
        assert transformers.reports[directory] == {
            "decoder_start_token_id": model.config.decoder_start_token_id,
            "pad_token_id": model.config.pad_token_id,
            "eos_token_id": model.generation_config["eos_token_id"],
        }


SMALL = {
    "vocab_size": 40,
    "d_model": 16,
    "max_position_embeddings": 40,
    "decoder_attention_heads": 2,
    "decoder_layers": 2,
    "decoder_ffn_dim": 24,
}
# Decoders that transformers has no Flax class for, and whose positions have no parameters
WITH_SINUSOIDS = {
    "trocr": {**SMALL, "use_learned_position_embeddings": False},
    "pegasus": SMALL,
}


@pytest.mark.parametrize("name", ["vit-gpt2", "vit-bart", "vit-roberta", *WITH_SINUSOIDS])
def test_decode_gives_the_same_logits_token_by_token(name: str) -> None:
    if name in WITH_SINUSOIDS:
        encoder = CASES["vit-gpt2"]["encoder"]
        decoder = {"model_type": name, **WITH_SINUSOIDS[name]}
        module = composite_module({"encoder": encoder, "decoder": decoder})
    else:
        module = module_of(name)
    params = strong_params(module)
    whole = logits_of(module, params, **text())

    @jax.jit
    def one_by_one(params: Any, ids: jax.Array) -> jax.Array:
        variables = {"params": params}
        states = module.apply(variables, oracle.images(), method="encode").last_hidden_state
        _, cross = module.apply(
            variables, states, method="precompute_cross_attention", mutable=["cross"]
        )
        cache, logits = empty_cache(module, *ids.shape), []
        for past in range(ids.shape[1]):
            output, changed = module.apply(
                {"params": params, "cache": cache, **cross},
                ids[:, past : past + 1],
                past=past,
                method="decode",
                mutable=["cache"],
            )
            cache = changed["cache"]
            logits.append(output.logits)
        return jnp.concatenate(logits, axis=1)

    np.testing.assert_allclose(one_by_one(params, jnp.asarray(oracle.IDS)), whole, atol=2e-5)


def test_remat_gives_the_same_gradients() -> None:
    def gradients(**options: Any) -> Any:
        module = module_of("vit-bart", **options)
        return jax.jit(
            jax.grad(lambda params: module.apply({"params": params}, **text()).logits.std())
        )(strong_params(module))

    plain, remat = gradients(), gradients(remat=True)
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(remat), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
