"""Compute the random key of a parameter from a trace, in numpy.

A key takes a handful of operations on two words of 32 bits. jax compiles a program for each of
them, which takes a third of a second.

Source of the formulas: jax/_src/random/threefry2x32.py in https://github.com/jax-ml/jax, with
jax_threefry_partitionable. Threefry itself: Salmon et al., Parallel random numbers: as easy as
1, 2, 3 (https://doi.org/10.1145/2063384.2063405).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jax.extend.core import Literal
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def threefry(key: Words, first: Words, second: Words) -> Words:
    """Return the Threefry-2x32 hash of pairs of words, with 20 rounds.

    Args:
        key: uint32 (2,).
        first: the first word of each pair, uint32 (pairs,).
        second: the second word, as `first`.

    Returns:
        uint32 (pairs, 2).
    """
    keys = (key[0], key[1], key[0] ^ key[1] ^ np.uint32(_PARITY))
    x, y = first + keys[0], second + keys[1]
    for step in range(5):
        for rotation in _ROTATIONS[step % 2]:
            x = x + y
            y = (y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation))
            y = x ^ y
        x = x + keys[(step + 1) % 3]
        y = y + keys[(step + 2) % 3] + np.uint32(step + 1)
    words: Words = np.stack([x, y], axis=-1)
    return words


def _seed(_: Mapping[str, Any], seed: Any) -> Words:
    return np.array([0, int(seed) % 2**32], np.uint32)  # a seed has 32 bits


def _split(params: Mapping[str, Any], key: Words) -> Words:
    (count,) = params["shape"]
    return threefry(key, np.zeros(count, np.uint32), np.arange(count, dtype=np.uint32))


def _fold_in(_: Mapping[str, Any], key: Words, data: Any) -> Words:
    (words,) = threefry(key, *_seed({}, data)[:, None])
    folded: Words = words
    return folded


def _slice(params: Mapping[str, Any], words: Words) -> Words:
    bounds = zip(params["start_indices"], params["limit_indices"], strict=True)
    part: Words = words[tuple(slice(*each) for each in bounds)]
    return part


_RULES: Mapping[str, Callable[..., Words]] = {
    "random_seed": _seed,
    "random_split": _split,
    "random_fold_in": _fold_in,
    "random_wrap": lambda _, words: words,
    "random_unwrap": lambda _, words: words,
    "slice": _slice,
    "squeeze": lambda params, words: np.squeeze(words, params["dimensions"]),
}


def compute_key(operations: Sequence[Any], output: Any) -> Words | None:
    """Return the two words of a key, uint32 (2,); None if it takes an operation without a rule.

    Args:
        operations: the operations of a trace that lead to the key, in order.
        output: the variable of the key.
    """
    values: dict[Any, Any] = {}
    for operation in operations:
        rule = _RULES.get(operation.primitive.name)
        if rule is None:
            return None
        inputs = [
            each.val if isinstance(each, Literal) else values[each] for each in operation.invars
        ]
        (variable,) = operation.outvars
        values[variable] = rule(operation.params, *inputs)
    return np.asarray(values[output], np.uint32)
