"""Rules that change the logits of the next token, in the order of transformers 5.

Each rule is a pure function. `Texts` are the rows so far: a buffer of fixed size, because a
compiled program has fixed shapes, and the number of tokens in it. Source of every formula:
`generation/logits_process.py` of transformers 5.23.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ved.modeling.generation.settings import GenerationSettings

NEVER = -jnp.inf
"""The logit of a token that must not come next."""


class Texts(NamedTuple):
    """The texts so far.

    Attributes:
        tokens: int32 (rows, longest), of which the first `length` are in use.
        length: int32 (), how many tokens each text has, with the prompt.
        first: int32 (rows,), the first token of each text that is not padding.
    """

    tokens: jax.Array
    length: jax.Array
    first: jax.Array


def apply_rules(settings: GenerationSettings, texts: Texts, logits: jax.Array) -> jax.Array:
    """Return logits after all rules that the settings have.

    Args:
        settings: the settings of this generation.
        texts: the texts so far.
        logits: float32 (rows, vocabulary); for beams, log-probabilities.

    Returns:
        float32 (rows, vocabulary).
    """
    if settings.sequence_bias:
        logits = logits + _sequence_bias(settings.sequence_bias, texts, logits)
    if settings.repetition_penalty != 1:
        logits = _penalize_repetition(settings.repetition_penalty, texts, logits)
    if settings.no_repeat_ngram_size:
        logits = _forbid_ngrams(settings.no_repeat_ngram_size, texts, logits)
    if settings.bad_words_ids:
        never = tuple((words, -float("inf")) for words in settings.bad_words_ids)
        logits = logits + _sequence_bias(never, texts, logits)
    if settings.eos_token_ids:
        too_short = texts.length < settings.min_length
        logits = _forbid(settings.eos_token_ids, logits, when=too_short)
    if settings.forced_bos_token_id is not None:
        logits = _force((settings.forced_bos_token_id,), logits, when=texts.length == 1)
    if settings.forced_eos_token_ids:
        is_last = texts.length == settings.max_length - 1
        logits = _force(settings.forced_eos_token_ids, logits, when=is_last)
    if settings.remove_invalid_values:
        limits = np.finfo(np.float32)
        logits = jnp.nan_to_num(logits, nan=0.0, posinf=float(limits.max), neginf=float(limits.min))
    if settings.exponential_decay_length_penalty:
        logits = _favor_end(settings, texts, logits)
    if settings.suppress_tokens:
        logits = _forbid(settings.suppress_tokens, logits)
    if settings.begin_suppress_tokens:
        is_first = texts.length == settings.begin_index
        logits = _forbid(settings.begin_suppress_tokens, logits, when=is_first)
    if settings.do_sample:
        logits = _shape_distribution(settings, logits)
    if settings.renormalize_logits:
        logits = jax.nn.log_softmax(logits)
    return logits


def _forbid(ids: tuple[int, ...], logits: jax.Array, when: jax.Array | bool = True) -> jax.Array:
    forbidden = logits.at[:, jnp.array(ids)].set(NEVER)
    return jnp.where(when, forbidden, logits)


def _force(ids: tuple[int, ...], logits: jax.Array, when: jax.Array) -> jax.Array:
    forced = jnp.full_like(logits, NEVER).at[:, jnp.array(ids)].set(0)
    return jnp.where(when, forced, logits)


def _penalize_repetition(penalty: float, texts: Texts, logits: jax.Array) -> jax.Array:
    """Lower the logits of tokens that a text has (https://arxiv.org/abs/1909.05858)."""
    positions = jnp.arange(texts.tokens.shape[1])
    counts = (positions < texts.length) & (positions >= texts.first[:, None])  # (rows, longest)
    has = _mark(texts.tokens, counts, logits.shape[1])  # (rows, vocabulary)
    lower = jnp.where(logits < 0, logits * penalty, logits / penalty)
    return jnp.where(has, lower, logits)


def _forbid_ngrams(size: int, texts: Texts, logits: jax.Array) -> jax.Array:
    """Forbid tokens that complete a run of `size` tokens that the text already has."""
    longest = texts.tokens.shape[1]
    if size > longest:
        return logits
    count = longest - size + 1
    end = _last(texts, size - 1)  # (rows, size - 1)
    # The run at every position but its last token equals the end of the text.
    runs = [texts.tokens[:, offset : offset + count] for offset in range(size)]
    matches = jnp.arange(count)[None] + size <= texts.length  # (1, count)
    for offset in range(size - 1):
        matches = matches & (runs[offset] == end[:, offset, None])  # (rows, count)
    matches = jnp.broadcast_to(matches, runs[-1].shape)
    return jnp.where(_mark(runs[-1], matches, logits.shape[1]), NEVER, logits)


def _sequence_bias(
    biases: tuple[tuple[tuple[int, ...], float], ...], texts: Texts, logits: jax.Array
) -> jax.Array:
    """Return what to add to each logit: the bias of each sequence that it would complete."""
    added = jnp.zeros_like(logits)
    for (*start, last), bias in biases:
        if len(start) > texts.tokens.shape[1]:
            continue
        fits = (_last(texts, len(start)) == jnp.array(start, jnp.int32)).all(axis=1)  # (rows,)
        fits &= texts.length >= len(start)
        added = added.at[:, last].add(jnp.where(fits, bias, 0.0))
    return added


def _favor_end(settings: GenerationSettings, texts: Texts, logits: jax.Array) -> jax.Array:
    """Raise the logits of the end tokens more and more after some length."""
    assert settings.exponential_decay_length_penalty is not None
    start, factor = settings.exponential_decay_length_penalty
    excess = texts.length - (start + settings.prompt_length)
    ends = jnp.array(settings.eos_token_ids)
    current = logits[:, ends]
    more = jnp.abs(current) * (jnp.power(jnp.float32(factor), excess) - 1)
    more = jnp.where(jnp.isfinite(current) & (excess > 0), more, 0.0)
    return logits.at[:, ends].add(more)


def _last(texts: Texts, count: int) -> jax.Array:
    """Return the last `count` tokens of each text: (rows, count); any tokens if it has fewer."""
    start = jnp.maximum(texts.length - count, 0)
    return jax.lax.dynamic_slice_in_dim(texts.tokens, start, count, axis=1)


def _mark(tokens: jax.Array, where: jax.Array, vocabulary: int) -> jax.Array:
    """Return which tokens of the vocabulary are in a row where `where` is true.

    Args:
        tokens: int32 (rows, any).
        where: bool (rows, any).
        vocabulary: the number of tokens in the vocabulary.

    Returns:
        bool (rows, vocabulary).
    """
    rows = jnp.arange(tokens.shape[0])[:, None]
    # An index outside of the vocabulary is dropped.
    indices = jnp.where(where, tokens, vocabulary)
    return jnp.zeros((tokens.shape[0], vocabulary), bool).at[rows, indices].set(True, mode="drop")


def _shape_distribution(settings: GenerationSettings, logits: jax.Array) -> jax.Array:
    """Return logits after the settings that change the distribution that is sampled."""
    # Beams need one token more than there are ends, to have something to go on with.
    keep = 1 + len(settings.eos_token_ids or (0,)) if settings.num_beams > 1 else 1
    keep = min(keep, logits.shape[1])
    if settings.temperature != 1:
        logits = logits / settings.temperature
    if settings.top_k:
        logits = _keep_best(logits, min(max(settings.top_k, keep), logits.shape[1]))
    if settings.top_p < 1:
        logits = _keep_nucleus(logits, settings.top_p, keep)
    if settings.min_p is not None:
        probabilities = jax.nn.softmax(logits)
        least = settings.min_p * probabilities.max(axis=1, keepdims=True)
        logits = _remove(logits, probabilities < least, keep)
    if settings.typical_p < 1:
        logits = _keep_typical(logits, settings.typical_p, keep)
    if settings.epsilon_cutoff > 0:
        low = jax.nn.softmax(logits) < settings.epsilon_cutoff
        logits = _remove(logits, low, keep)
    if settings.eta_cutoff > 0:
        probabilities = jax.nn.softmax(logits)
        entropy = -jax.scipy.special.xlogy(probabilities, probabilities).sum(axis=1)
        epsilon = jnp.float32(settings.eta_cutoff)
        eta = jnp.minimum(epsilon, jnp.sqrt(epsilon) * jnp.exp(-entropy))
        logits = _remove(logits, probabilities < eta[:, None], keep)
    return logits


def _keep_best(logits: jax.Array, count: int) -> jax.Array:
    """Keep the `count` best tokens, and those that equal the last one of them."""
    least = jax.lax.top_k(logits, count)[0][:, -1:]
    return jnp.where(logits < least, NEVER, logits)


def _remove(logits: jax.Array, removed: jax.Array, keep: int) -> jax.Array:
    """Remove tokens, but keep the `keep` best ones."""
    least = jax.lax.top_k(logits, keep)[0][:, -1:]
    return jnp.where(removed & (logits < least), NEVER, logits)


def _keep_nucleus(logits: jax.Array, mass: float, keep: int) -> jax.Array:
    """Keep the fewest tokens that have a probability of `mass` (https://arxiv.org/abs/1904.09751)."""
    order = jnp.argsort(logits, axis=1)  # worst first
    ordered = jnp.take_along_axis(logits, order, axis=1)
    removed = jnp.cumsum(jax.nn.softmax(ordered), axis=1) <= 1 - mass
    removed = removed.at[:, -keep:].set(False)
    return _where_ordered(logits, order, removed)


def _keep_typical(logits: jax.Array, mass: float, keep: int) -> jax.Array:
    """Keep tokens whose information is near the expected one (https://arxiv.org/abs/2202.00666)."""
    logarithms = jax.nn.log_softmax(logits)
    products = jnp.where(jnp.isfinite(logarithms), jnp.exp(logarithms) * logarithms, 0.0)
    entropy = -products.sum(axis=1, keepdims=True)
    distances = jnp.abs(-logarithms - entropy)
    order = jnp.argsort(distances, axis=1)  # the most typical token first
    ordered = jnp.take_along_axis(distances, order, axis=1)
    chosen = jnp.take_along_axis(logits, order, axis=1)
    below = jnp.cumsum(jax.nn.softmax(chosen), axis=1) < mass
    last = jnp.minimum(below.sum(axis=1, keepdims=True), logits.shape[1] - 1)
    removed = ordered > jnp.take_along_axis(ordered, last, axis=1)
    removed = removed.at[:, :keep].set(False)
    return _where_ordered(logits, order, removed)


def _where_ordered(logits: jax.Array, order: jax.Array, removed: jax.Array) -> jax.Array:
    """Remove tokens, given in an order: `removed[r, i]` is about the token `order[r, i]`."""
    rows = jnp.arange(logits.shape[0])[:, None]
    return jnp.where(jnp.zeros_like(removed).at[rows, order].set(removed), NEVER, logits)
