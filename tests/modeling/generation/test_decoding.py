"""Generation with a toy model, whose logits are a table of the last token and the length."""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ved.modeling.errors import ModelingError
from ved.modeling.generation import advance, decode, first_state, resolve, search

VOCABULARY, END, PAD, START = 5, 2, 0, 1
TABLE = np.random.default_rng(3).normal(size=(2, VOCABULARY, 8, VOCABULARY)).astype(np.float32) * 2
TOKENS = {"decoder_start_token_id": START, "eos_token_id": END, "pad_token_id": PAD}


def step(tokens: jax.Array, past: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
    """Return logits by the text's table, which is the cache: it has to follow the beams."""
    last, length = tokens[:, -1], past + tokens.shape[1]
    table = cache["table"]  # (rows, vocabulary, lengths, vocabulary)
    logits = table[jnp.arange(len(last)), last, length]
    return logits, {"table": table, "length": length}


def state(settings: Any, prompt: list[list[int]], seed: int = 0) -> Any:
    rows = jnp.repeat(jnp.array(prompt), settings.num_beams, axis=0)
    table = jnp.repeat(TABLE[: len(prompt)], settings.num_beams, axis=0)
    cache = {"table": table, "length": jnp.int32(0)}
    return first_state(settings, rows, None, jax.random.key(seed), cache)


def likelihood(which: int, text: list[int]) -> float:
    total = 0.0
    for length in range(1, len(text)):
        logits = TABLE[which, text[length - 1], length]
        total += float(jax.nn.log_softmax(logits)[text[length]])
    return total


def all_texts(new: int) -> Iterator[list[int]]:
    """Yield every text of up to `new` tokens that ends, or that is as long as possible."""
    for count in range(1, new + 1):
        for tail in itertools.product(range(VOCABULARY), repeat=count):
            if END not in tail[:-1] and (tail[-1] == END or count == new):
                yield [START, *tail]


def test_decode_takes_the_best_token_and_pads_what_has_ended() -> None:
    settings = resolve(TOKENS, {"max_new_tokens": 6})

    texts = decode(step, settings, state(settings, [[START], [START]])).tolist()

    for which, text in enumerate(texts):
        expected = [START]
        while len(expected) < 7 and expected[-1] != END:
            expected.append(int(TABLE[which, expected[-1], len(expected)].argmax()))
        assert text == expected + [PAD] * (7 - len(expected))


def test_decode_continues_a_prompt() -> None:
    no_end = TOKENS | {"eos_token_id": None}
    settings = resolve(no_end, {"max_new_tokens": 4})
    whole = decode(step, settings, state(settings, [[START]]))
    longer = resolve(no_end, {"max_new_tokens": 2}, prompt_length=3)

    texts = decode(step, longer, state(longer, whole[:, :3].tolist()))

    np.testing.assert_array_equal(texts, whole)


def test_advance_gives_the_tokens_of_decode() -> None:
    settings = resolve(TOKENS, {"max_new_tokens": 5, "do_sample": True})
    whole = decode(step, settings, state(settings, [[START], [START]], seed=4))

    one = state(settings, [[START], [START]], seed=4)
    for _ in range(5):
        one = advance(step, settings, one, 1)

    np.testing.assert_array_equal(one.texts.tokens, whole)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_search_finds_the_best_of_all_texts(penalty: float) -> None:
    asked = {"num_beams": 40, "early_stopping": "never", "length_penalty": penalty}
    settings = resolve(TOKENS, {"max_new_tokens": 3, "num_return_sequences": 4, **asked})

    texts, scores = search(step, settings, state(settings, [[START], [START]]))

    for which in range(2):
        score = {
            (*text, *[END] * (4 - len(text))): likelihood(which, text) / (len(text) - 1) ** penalty
            for text in all_texts(3)
        }
        best = sorted(score, key=lambda text: -score[text])[:4]
        rows = slice(4 * which, 4 * which + 4)
        # As in PyTorch, the pad token 0 does not fill the end of a beam.
        assert [tuple(text) for text in texts[rows].tolist()] == best
        np.testing.assert_allclose(scores[rows], [score[text] for text in best], rtol=1e-4)


def test_sampling_draws_by_the_probabilities() -> None:
    settings = resolve(TOKENS, {"max_new_tokens": 1, "do_sample": True})
    draw = jax.jit(
        jax.vmap(lambda seed: decode(step, settings, state(settings, [[START]], seed))[0, 1])
    )

    counts = Counter(draw(jnp.arange(4000)).tolist())

    probabilities = jax.nn.softmax(TABLE[0, START, 1])
    for token in range(VOCABULARY):
        assert abs(counts[token] / 4000 - probabilities[token]) < 0.03


def test_sampled_beams_differ_by_the_key_only() -> None:
    settings = resolve(TOKENS, {"max_new_tokens": 5, "do_sample": True, "num_beams": 2})
    run = jax.jit(lambda seed: search(step, settings, state(settings, [[START]], seed))[0])

    texts = {tuple(run(seed)[0].tolist()) for seed in range(8)}

    assert len(texts) > 1
    np.testing.assert_array_equal(run(0), run(0))


@pytest.mark.parametrize(
    ("checkpoint", "asked"),
    [
        ({}, {"stop_strings": ["."]}),
        ({}, {"max_time": 3.0}),
        ({"penalty_alpha": 0.6}, {}),
        ({"num_beam_groups": 2}, {}),
        ({"encoder_repetition_penalty": 1.5}, {}),
        ({"invented": 1}, {}),
        ({}, {"output_scores": True}),
        ({}, {"temperature": 0.5}),
        ({}, {"length_penalty": 2.0}),
        ({}, {"do_sample": True, "temperature": 0.0}),
        ({}, {"do_sample": True, "top_p": 1.5}),
        ({}, {"do_sample": True, "top_k": -1}),
        ({}, {"num_beams": 0}),
        ({}, {"num_return_sequences": 2}),
        ({}, {"num_beams": 2, "num_return_sequences": 3}),
        ({}, {"num_beams": 2, "early_stopping": "sometimes"}),
        ({}, {"max_length": 1}),
        ({}, {"max_new_tokens": 0}),
        ({}, {"exponential_decay_length_penalty": (1, 1.5)}),
        ({}, {"bad_words_ids": [[]]}),
    ],
)
def test_settings_without_effect_are_refused_by_name(
    checkpoint: dict[str, Any], asked: dict[str, Any]
) -> None:
    with pytest.raises(ModelingError) as caught:
        resolve(checkpoint, asked)

    names = [*checkpoint, *asked]
    assert any(name in str(caught.value) for name in names)


def test_settings_of_a_checkpoint_can_be_left_out() -> None:
    checkpoint = {"max_time": 3.0, "invented": 1, "temperature": 0.5, "_from_model_config": True}

    settings = resolve(checkpoint, {"max_time": None, "invented": None})

    assert settings == resolve({"temperature": 0.5}, {})
    assert settings.max_length == 21
