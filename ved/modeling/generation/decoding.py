"""Choose one token at a time: the best one, or one drawn at random."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ved.modeling.generation.rules import Texts, apply_rules
from ved.modeling.generation.settings import GenerationSettings

Step = Callable[[jax.Array, jax.Array, Any], tuple[jax.Array, Any]]
"""One step of a model; see `ved.modeling.generation`."""


class State(NamedTuple):
    """The values that one step of generation leaves to the next.

    Attributes:
        texts: the texts so far.
        finished: bool (rows,), whether a text has ended.
        key: the key of the next random draw.
        cache: the cache of the model, with all tokens of the texts but the last one.
    """

    texts: Texts
    finished: jax.Array
    key: jax.Array
    cache: Any


def first_state(
    settings: GenerationSettings,
    prompt: jax.Array,
    mask: jax.Array | None,
    key: jax.Array,
    cache: Any,
) -> State:
    """Return the state before the first token.

    Args:
        settings: the settings of the generation.
        prompt: int32 (rows, `settings.prompt_length`).
        mask: int32, as the prompt, 0 for padding; None if there is none.
        key: a key of `jax.random`.
        cache: the empty cache of the model.
    """
    tokens = jnp.full((prompt.shape[0], settings.max_length), settings.padding, jnp.int32)
    texts = Texts(
        tokens.at[:, : prompt.shape[1]].set(prompt),
        jnp.int32(prompt.shape[1]),
        jnp.zeros(prompt.shape[0], jnp.int32) if mask is None else jnp.argmax(mask != 0, axis=1),
    )
    return State(texts, jnp.zeros(prompt.shape[0], bool), key, cache)


def decode(step: Step, settings: GenerationSettings, state: State) -> jax.Array:
    """Return texts, one token at a time, until all have ended.

    Args:
        step: one step of the model.
        settings: the settings of the generation.
        state: the result of `first_state`.

    Returns:
        int32 (rows, `settings.max_length`), with padding after the end of each text.
    """
    if settings.prompt_length > 1:  # the prompt is one step of another shape
        state = advance(step, settings, state, settings.prompt_length)

    def goes_on(state: State) -> jax.Array:
        return (state.texts.length < settings.max_length) & ~state.finished.all()

    end: State = jax.lax.while_loop(goes_on, lambda state: advance(step, settings, state, 1), state)
    return end.texts.tokens


def advance(step: Step, settings: GenerationSettings, state: State, new: int) -> State:
    """Add one token to each text.

    Args:
        step: one step of the model.
        settings: the settings of the generation.
        state: the state before.
        new: how many tokens at the ends of the texts are not in the cache.

    Returns:
        The state after. A text that had ended has one more token of padding.
    """
    texts = state.texts
    past = texts.length - new
    tokens = jax.lax.dynamic_slice_in_dim(texts.tokens, past, new, axis=1)  # (rows, new)
    logits, cache = step(tokens, past, state.cache)  # (rows, vocabulary)
    logits = apply_rules(settings, texts, logits.astype(jnp.float32))
    key, draw = jax.random.split(state.key)
    if settings.do_sample:
        chosen = jax.random.categorical(draw, logits)  # (rows,)
    else:
        chosen = jnp.argmax(logits, axis=1)  # (rows,)
    chosen = jnp.where(state.finished, settings.padding, chosen).astype(jnp.int32)
    finished = state.finished | ends(settings, chosen)
    longer = texts._replace(
        tokens=jax.lax.dynamic_update_slice_in_dim(
            texts.tokens, chosen[:, None], texts.length, axis=1
        ),
        length=texts.length + 1,
    )
    return State(longer, finished, key, cache)


def ends(settings: GenerationSettings, tokens: jax.Array) -> jax.Array:
    """Return which tokens end a text: bool, with the shape of `tokens`."""
    return jnp.isin(tokens, jnp.array(settings.eos_token_ids, jnp.int32))
