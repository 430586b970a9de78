"""Rules for logits give what PyTorch's processors give."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.consumers import run_consumer
from ved.modeling.generation import resolve
from ved.modeling.generation.rules import Texts, apply_rules

CONSUMER = Path(__file__).parents[2] / "consumers" / "rules.py"
VOCABULARY, ROWS, LONGEST = 12, 3, 9

# By label: the settings, the length of the prompt and of the texts.
CASES: dict[str, tuple[dict[str, Any], int, int]] = {
    "none": ({}, 1, 4),
    "repetition": ({"repetition_penalty": 1.7}, 3, 6),
    "repetition below 1": ({"repetition_penalty": 0.6}, 1, 6),
    "1-grams": ({"no_repeat_ngram_size": 1}, 1, 5),
    "2-grams": ({"no_repeat_ngram_size": 2}, 1, 6),
    "3-grams": ({"no_repeat_ngram_size": 3}, 1, 6),
    "4-grams in a short text": ({"no_repeat_ngram_size": 4}, 1, 3),
    "words": ({"bad_words_ids": [[7], [3, 4], [1, 2, 3, 5], [2]], "eos_token_id": 2}, 1, 4),
    "bias": ({"sequence_bias": [[[5], 2.5], [[3, 4], -1.5], [[1, 2, 3, 6], 9.0]]}, 1, 4),
    "too short": ({"min_length": 5, "eos_token_id": [2, 9]}, 1, 4),
    "long enough": ({"min_length": 5, "eos_token_id": [2, 9]}, 1, 5),
    "few new": ({"min_new_tokens": 3, "eos_token_id": 2}, 2, 4),
    "enough new": ({"min_new_tokens": 3, "eos_token_id": 2}, 2, 5),
    "forced first": ({"forced_bos_token_id": 8}, 1, 1),
    "forced first is late": ({"forced_bos_token_id": 8}, 2, 2),
    "forced last": ({"forced_eos_token_id": [2, 3], "max_length": LONGEST}, 1, LONGEST - 1),
    "forced last is early": ({"forced_eos_token_id": 2, "max_length": LONGEST}, 1, 4),
    "decay": ({"exponential_decay_length_penalty": [1, 1.5], "eos_token_id": [2, 4]}, 2, 6),
    "decay is early": ({"exponential_decay_length_penalty": [4, 1.5], "eos_token_id": 2}, 2, 6),
    "suppressed": ({"suppress_tokens": [1, 4, 6]}, 1, 4),
    "suppressed first": ({"begin_suppress_tokens": [1, 4]}, 1, 1),
    "suppressed after forced": ({"begin_suppress_tokens": [1], "forced_bos_token_id": 8}, 1, 2),
    "suppressed first is late": ({"begin_suppress_tokens": [1, 4]}, 1, 4),
    "finite": ({"suppress_tokens": [1], "remove_invalid_values": True}, 1, 4),
    "normal": ({"renormalize_logits": True, "suppress_tokens": [1]}, 1, 4),
    "sampling": ({"do_sample": True}, 1, 4),
    "temperature": ({"do_sample": True, "temperature": 0.4, "top_k": 0}, 1, 4),
    "top k": ({"do_sample": True, "top_k": 3}, 1, 4),
    "top p": ({"do_sample": True, "top_p": 0.7}, 1, 4),
    "tiny top p": ({"do_sample": True, "top_p": 0.01}, 1, 4),
    "min p": ({"do_sample": True, "min_p": 0.2}, 1, 4),
    "typical": ({"do_sample": True, "typical_p": 0.6}, 1, 4),
    "epsilon": ({"do_sample": True, "epsilon_cutoff": 0.08}, 1, 4),
    "eta": ({"do_sample": True, "eta_cutoff": 0.2}, 1, 4),
    "beams": (
        {"do_sample": True, "num_beams": 2, "top_k": 1, "top_p": 0.1, "eos_token_id": [2, 3]},
        1,
        4,
    ),
    "many": (
        {
            **{"do_sample": True, "temperature": 1.6, "top_k": 7, "top_p": 0.9},
            **{"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_length": 8},
            **{"eos_token_id": 2, "bad_words_ids": [[9]], "typical_p": 0.9},
        },
        1,
        6,
    ),
}


def inputs() -> dict[str, NDArray[Any]]:
    """Return texts that repeat themselves; the second one begins with padding."""
    return {
        "tokens": np.array(
            [[1, 2, 3, 4, 1, 2, 3, 1, 2], [0, 0, 5, 3, 5, 3, 5, 4, 3], [2, 1, 3, 3, 3, 7, 2, 3, 3]]
        ),
        "mask": np.array([[1, 1, 1], [0, 0, 1], [1, 1, 1]]),
        "logits": np.random.default_rng(0).normal(size=(ROWS, VOCABULARY)).astype(np.float32) * 2,
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NDArray[Any]]:
    folder = tmp_path_factory.mktemp("rules")
    np.savez(folder / "inputs.npz", **inputs())  # type: ignore[arg-type]
    cases = {
        label: {"settings": settings, "prompt_length": prompt, "length": length}
        for label, (settings, prompt, length) in CASES.items()
    }
    request = {"inputs": str(folder / "inputs.npz"), "cases": cases}
    return run_consumer("transformers5", CONSUMER, request, folder)


@pytest.mark.slow
@pytest.mark.parametrize("label", CASES)
def test_rules_give_the_logits_of_pytorch(label: str, expected: dict[str, NDArray[Any]]) -> None:
    asked, prompt, length = CASES[label]
    given = inputs()
    settings = resolve({"max_length": LONGEST}, asked, prompt)
    texts = Texts(jnp.array(given["tokens"]), jnp.int32(length), jnp.argmax(given["mask"], axis=1))

    logits = apply_rules(settings, texts, jnp.array(given["logits"]))

    np.testing.assert_allclose(logits, expected[label], rtol=1e-5, atol=1e-5)
    if label not in ("none", "sampling") and " is " not in label and "enough" not in label:
        changed = label != "4-grams in a short text"
        assert np.array_equal(logits, given["logits"]) != changed
