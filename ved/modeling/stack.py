"""Run the layers of an encoder or a decoder one after the other."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from ved.modeling.layers import Dtype
from ved.modeling.linen import Module, compact, remat
from ved.modeling.settings import Settings

States = tuple[jax.Array, ...]


class StackOutput(NamedTuple):
    """The output of the layers of an encoder or a decoder.

    Attributes:
        last_hidden_state: (batch, states, width), the result of the last layer.
        hidden_states: the states before each layer, and the last ones; None if nobody asked.
        attentions: the weights (batch, heads, states, sources) of each self-attention; or None.
        cross_attentions: those of each cross-attention; or None.
    """

    last_hidden_state: jax.Array
    hidden_states: States | None = None
    attentions: States | None = None
    cross_attentions: States | None = None

    def with_last(self, states: jax.Array) -> "StackOutput":
        """Return the output with other states after the last layer: those after a norm."""
        return self._replace(last_hidden_state=states)

    def with_norm(self, norm: Callable[[jax.Array], jax.Array]) -> "StackOutput":
        """Return the output with a norm after the last layer, also in `hidden_states`."""
        states, between = norm(self.last_hidden_state), self.hidden_states
        if between is not None:
            between = (*between[:-1], states)
        return self._replace(last_hidden_state=states, hidden_states=between)


class DecoderOutput(NamedTuple):
    """The output of a decoder.

    Attributes:
        logits: (batch, tokens, vocabulary), the scores of the token after each token.
        hidden_states: see `StackOutput`.
        attentions: see `StackOutput`.
        cross_attentions: see `StackOutput`.
    """

    logits: jax.Array
    hidden_states: States | None = None
    attentions: States | None = None
    cross_attentions: States | None = None


class Stack(Module):
    """Layers with the names 0, 1, ...

    Attributes:
        layer: the class of a layer, or a partial of it. It is constructed with the settings, the
            number of the layer and the dtype. A call returns the states, and a tuple of the weights
            of its attentions.
        depth: how many layers.
        settings: the settings of the family.
        dtype: the dtype of the computation.
        rematerialize: whether training computes the inside of a layer twice, to save memory.
    """

    layer: Callable[..., Module]
    depth: int
    settings: Settings
    dtype: Dtype
    rematerialize: bool = False

    @compact
    def __call__(
        self,
        states: jax.Array,
        *inputs: jax.Array | None,
        deterministic: bool,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> StackOutput:
        """Return the states after all layers, and those between them if asked.

        Args:
            states: (batch, states, width).
            *inputs: what each layer gets besides the states.
            deterministic: whether there is no dropout.
            output_attentions: whether to return the weights of the attentions.
            output_hidden_states: whether to return the states between the layers.
        """
        layer_class = self.layer
        if self.rematerialize and not self.is_initializing():
            layer_class = remat(layer_class, static_argnums=(len(inputs) + 2,))
        between, weights = [states], []
        for number in range(self.depth):
            layer = layer_class(self.settings, number, self.dtype, name=str(number))
            states, of_layer = layer(states, *inputs, deterministic)
            between.append(states)
            weights.append(of_layer)
        attentions = (*zip(*weights, strict=True),) if output_attentions else ()
        return StackOutput(states, (*between,) if output_hidden_states else None, *attentions)


class Encoder(Stack):
    """A stack whose names begin with `layer`, as in the checkpoints of several families."""

    @compact
    def __call__(self, states: jax.Array, *inputs: jax.Array | None, **flags: bool) -> StackOutput:
        """Return the states after all layers; see `Stack`."""
        stack = Stack(
            self.layer, self.depth, self.settings, self.dtype, self.rematerialize, name="layer"
        )
        return stack(states, *inputs, **flags)
