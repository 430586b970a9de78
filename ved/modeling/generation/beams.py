"""Beam search: keep the best continuations of each text, and return the best that ended.

Each text of the batch has `num_beams` running beams. In each step, every token after every beam is
a candidate. The best candidates that end a text compete for the finished texts, the best others are
the beams of the next step. Source: `_beam_search` in `generation/utils.py` of transformers 5.23.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ved.modeling.generation.decoding import State, Step, ends
from ved.modeling.generation.rules import Texts, apply_rules
from ved.modeling.generation.settings import GenerationSettings

_BAD = -1e9
"""The score of what must not be chosen. It is finite, because scores are added and compared."""


class Beams(NamedTuple):
    """The values that one step of beam search leaves to the next.

    Attributes:
        running: int32 (batch, beams, longest), the texts that have not ended, best first.
        scores: float32 (batch, beams), the sum of their log-probabilities.
        finished: int32 (batch, beams, longest), the best texts that have ended, best first.
        finished_scores: float32 (batch, beams), log-probabilities with the length penalty.
        is_finished: bool (batch, beams), whether there is such a text yet.
        can_improve: bool (batch, 1), whether a running text can become better than those.
        all_end: bool (), whether no candidate can go on.
        length: int32 (), how many tokens the running texts have.
        key: the key of the next random draw.
        cache: the cache of the model, (batch * beams, ...).
    """

    running: jax.Array
    scores: jax.Array
    finished: jax.Array
    finished_scores: jax.Array
    is_finished: jax.Array
    can_improve: jax.Array
    all_end: jax.Array
    length: jax.Array
    key: jax.Array
    cache: Any


def search(step: Step, settings: GenerationSettings, state: State) -> tuple[jax.Array, jax.Array]:
    """Return the best texts of each beam search.

    Args:
        step: one step of the model.
        settings: the settings of the generation.
        state: the result of `decoding.first_state`, with `num_beams` equal rows for each text.

    Returns:
        Texts, int32 (batch * num_return_sequences, `settings.max_length`), the best of each search
        first, and their scores, float32 (batch * num_return_sequences,).
    """
    first, beams = state.texts.first, _first_beams(settings, state)
    if settings.prompt_length > 1:
        beams = _advance(step, settings, beams, first, settings.prompt_length)

    def goes_on(beams: Beams) -> jax.Array:
        full = beams.is_finished.all() & (settings.early_stopping is True)
        return beams.can_improve.any() & ~full & ~beams.all_end

    end: Beams = jax.lax.while_loop(
        goes_on, lambda beams: _advance(step, settings, beams, first, 1), beams
    )
    count = settings.num_return_sequences
    texts = end.finished[:, :count].reshape(-1, settings.max_length)
    return texts, end.finished_scores[:, :count].reshape(-1)


def _first_beams(settings: GenerationSettings, state: State) -> Beams:
    """Return the beams before the first token."""
    rows = state.texts.tokens.shape[0]
    shape = (rows // settings.num_beams, settings.num_beams)
    # PyTorch evaluates `pad_token_id or eos_token_id[0]`, so the pad token 0 counts as none.
    fill = settings.pad_token_id or settings.padding
    if settings.eos_token_ids:
        fill = settings.pad_token_id or settings.eos_token_ids[0]
    is_prompt = jnp.arange(settings.max_length) < settings.prompt_length
    texts = jnp.where(is_prompt, state.texts.tokens, fill).reshape(*shape, -1)
    # All beams of a text are equal, so only the first one counts in the first step.
    scores = jnp.full(shape, _BAD).at[:, 0].set(0)
    return Beams(
        running=texts,
        scores=scores,
        finished=texts,
        finished_scores=jnp.full(shape, _BAD),
        is_finished=jnp.zeros(shape, bool),
        can_improve=jnp.ones((shape[0], 1), bool),
        all_end=jnp.array(False),
        length=state.texts.length,
        key=state.key,
        cache=state.cache,
    )


def _advance(
    step: Step, settings: GenerationSettings, beams: Beams, first: jax.Array, new: int
) -> Beams:
    """Add one token to each running text; `new` tokens at its end are not in the cache."""
    batch, count, longest = beams.running.shape
    texts = Texts(beams.running.reshape(-1, longest), beams.length, first)
    past = beams.length - new
    tokens = jax.lax.dynamic_slice_in_dim(texts.tokens, past, new, axis=1)
    logits, cache = step(tokens, past, beams.cache)  # (batch * beams, vocabulary)
    scores = jax.nn.log_softmax(logits.astype(jnp.float32))
    scores = apply_rules(settings, texts, scores)
    vocabulary = scores.shape[1]
    scores = scores.reshape(batch, count, vocabulary) + beams.scores[..., None]
    key, draw = jax.random.split(beams.key)
    # At most as many candidates end as there are ends for each beam, so `count` others remain.
    kept = max(2, 1 + len(settings.eos_token_ids)) * count
    best, indices = _candidates(settings, scores.reshape(batch, -1), kept, draw)
    parents, chosen = indices // vocabulary, indices % vocabulary  # (batch, kept)
    candidates = _gather(beams.running, parents)  # (batch, kept, longest)
    candidates = jax.lax.dynamic_update_slice_in_dim(
        candidates, chosen[..., None].astype(jnp.int32), beams.length, axis=2
    )
    end = ends(settings, chosen) | (beams.length + 1 >= settings.max_length)  # (batch, kept)

    running_scores, selected = jax.lax.top_k(best + end * _BAD, count)  # (batch, beams)
    origins = _gather(parents, selected)
    rows = (jnp.arange(batch)[:, None] * count + origins).reshape(-1)  # (batch * beams,)
    cache = jax.tree.map(lambda leaf: leaf[rows] if leaf.ndim else leaf, cache)
    beams = _finish(settings, beams, candidates, best, end)
    beams = beams._replace(
        running=_gather(candidates, selected),
        scores=running_scores,
        all_end=end.all(),
        length=beams.length + 1,
        key=key,
        cache=cache,
    )
    return beams._replace(can_improve=beams.can_improve & _can_improve(settings, beams))


def _candidates(
    settings: GenerationSettings, scores: jax.Array, kept: int, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return scores and indices of the candidates of each text, (batch, kept) each.

    Args:
        settings: the settings of the generation.
        scores: float32 (batch, beams * vocabulary).
        kept: how many to return.
        key: for a random choice.
    """
    if not settings.do_sample:
        best, indices = jax.lax.top_k(scores, kept)
        return best, indices
    # The best after Gumbel noise are a sample without replacement (https://arxiv.org/abs/1903.06059).
    noisy = scores + jax.random.gumbel(key, scores.shape)
    indices = jax.lax.top_k(noisy, kept)[1]
    return jnp.take_along_axis(scores, indices, axis=1), indices


def _finish(
    settings: GenerationSettings,
    beams: Beams,
    candidates: jax.Array,
    scores: jax.Array,
    end: jax.Array,
) -> Beams:
    """Let the candidates that end compete with the finished texts.

    Args:
        settings: the settings of the generation.
        beams: the beams before.
        candidates: int32 (batch, kept, longest), best first.
        scores: float32 (batch, kept), the sums of their log-probabilities.
        end: bool (batch, kept), whether a candidate ends.
    """
    count = settings.num_beams
    # Candidates after the first `count` only keep the search going.
    end = end & (jnp.arange(end.shape[1]) < count)
    new = (beams.length + 1 - settings.prompt_length).astype(jnp.float32)
    scores = scores / new**settings.length_penalty
    is_full = beams.is_finished.all(axis=1, keepdims=True) & (settings.early_stopping is True)
    scores = scores + is_full * _BAD + ~beams.can_improve * _BAD + ~end * _BAD
    all_scores = jnp.concatenate((beams.finished_scores, scores), axis=1)
    best, indices = jax.lax.top_k(all_scores, count)
    texts = jnp.concatenate((beams.finished, candidates), axis=1)
    is_finished = jnp.concatenate((beams.is_finished, end), axis=1)
    return beams._replace(
        finished=_gather(texts, indices),
        finished_scores=best,
        is_finished=_gather(is_finished, indices),
    )


def _can_improve(settings: GenerationSettings, beams: Beams) -> jax.Array:
    """Return whether the best running text could get a better score than the worst finished one.

    Returns:
        bool (batch, 1).
    """
    length = beams.length
    if settings.early_stopping == "never" and settings.length_penalty > 0:
        length = jnp.int32(settings.max_length)
    new = (length - settings.prompt_length).astype(jnp.float32)
    possible = beams.scores[:, :1] / new**settings.length_penalty
    worst = beams.finished_scores.min(axis=1, keepdims=True)
    worst = jnp.where(beams.is_finished, worst, _BAD)  # (batch, beams)
    return (possible > worst).any(axis=1, keepdims=True)


def _gather(array: jax.Array, indices: jax.Array) -> jax.Array:
    """Return the entries of each text: (batch, old, ...) and (batch, new) to (batch, new, ...)."""
    gathered: jax.Array = jax.vmap(lambda row, chosen: row[chosen])(array, indices)
    return gathered
