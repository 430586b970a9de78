"""The modules of ved.modeling compute what transformers' Flax classes compute, bit for bit."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.modeling import oracle
from tests.modeling.test_modules import logits_of, module_of, strong_params, text
from tests.support.reference import without_parameters
from ved.modeling.composite import empty_cache
from ved.modeling.initial_parameters import composite_module

pytestmark = pytest.mark.slow

CASES = dict(oracle.cases())
ONE_OF_EACH = ("vit-gpt2", "beit-gpt2", "dinov2-gpt2", "vit-bart", "vit-bert", "vit-roberta")


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_modules_give_all_outputs_of_transformers_bit_for_bit(name: str) -> None:
    config = CASES[name]
    # tests/assembly/test_new_parameters.py compares the initial parameters.
    reference = without_parameters(config)
    module = composite_module(config.to_dict())
    params = oracle.strong(reference.params)
    asked = {"output_attentions": True, "output_hidden_states": True}
    inputs = (oracle.images(), *map(jnp.asarray, (oracle.IDS, oracle.MASK, oracle.POSITIONS)))
    expected = reference(*inputs, params=params, **asked)
    output = module.apply({"params": params}, *inputs, **asked)
    for field in output._fields:
        found, wanted = (jax.tree.leaves(getattr(each, field)) for each in (output, expected))
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
    states = (module.bind({"params": params}).project(output.encoder_last_hidden_state),)
    cache = reference.init_cache(2, 10, states)
    assert jax.tree.map(jnp.shape, cache) == jax.tree.map(jnp.shape, empty_cache(module, 2, 10))


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
        encoder = CASES["vit-gpt2"].to_dict()["encoder"]
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
