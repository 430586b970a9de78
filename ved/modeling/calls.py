"""The inputs and outputs of calls of a model."""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from ved.modeling.errors import ModelingError
from ved.modeling.stack import States

Output = TypeVar("Output", bound=tuple[Any, ...])


class DecodeOutput(NamedTuple):
    """The result of `decode`.

    Attributes:
        logits: (batch, tokens, vocabulary), the scores of the token after each token.
        past_key_values: the new cache; None if there was none.
        hidden_states: see `StackOutput`.
        attentions: see `StackOutput`.
        cross_attentions: see `StackOutput`.
    """

    logits: jax.Array
    past_key_values: Any = None
    hidden_states: States | None = None
    attentions: States | None = None
    cross_attentions: States | None = None


def integers(array: Any) -> jax.Array | None:
    """Return an array as int32; None if there is none."""
    return None if array is None else jnp.asarray(array, jnp.int32)


def returned(output: Output, return_dict: bool | None) -> Output:
    """Return an output, or a tuple of what is not None if `return_dict` is False."""
    if return_dict is False:
        return tuple(  # type: ignore[return-value]
            value for value in output if value is not None
        )
    return output


def rngs(key: jax.Array | None, *, train: bool) -> dict[str, jax.Array]:
    """Return the keys of a call.

    Raises:
        ModelingError: there is no key for training.
    """
    if train and key is None:
        raise ModelingError("Pass dropout_rng with train=True: the key of dropout.")
    return {} if key is None else {"dropout": key}
