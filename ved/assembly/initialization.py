"""Fresh parameters, the very bits Flax would have drawn, without drawing the rest.

A model's construction is traced once, which costs no memory and gives the shape of every parameter.
Drawing one parameter then evaluates, operation by operation, only the part of the trace that leads
to it. Operation by operation matters: compiled as a whole, XLA folds constants and changes the last
bit of a third of the tensors.
"""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from ved.tensors.names import ParameterPath
from ved.tensors.tensor import Array

_ONE_DRAW = Lock()


class Initialization:
    """The parameters that a model is constructed with.

    Args:
        construct: makes the model and returns its parameters, as nested dictionaries.

    Attributes:
        shapes: shape and dtype of every parameter, by path.
    """

    shapes: Mapping[ParameterPath, jax.ShapeDtypeStruct]

    def __init__(self, construct: Callable[[], Any]) -> None:
        self._trace, tree = jax.make_jaxpr(construct, return_shape=True)()
        leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
        self.shapes = {tuple(str(key.key) for key in keys): shape for keys, shape in leaves}
        self._variables = dict(zip(self.shapes, self._trace.jaxpr.outvars, strict=True))
        self._order = {
            variable: position
            for position, equation in enumerate(self._trace.jaxpr.eqns)
            for variable in equation.outvars
        }

    def draw(self, path: ParameterPath) -> Array:
        """Return the fresh parameter at `path`."""
        # One at a time: two threads that both need an operation would both compile it.
        with _ONE_DRAW:
            (value,) = jaxpr_as_fun(self._only(self._variables[path]))()
            return np.asarray(value)

    def _only(self, output: Any) -> ClosedJaxpr:
        """Return the trace without what `output` does not need."""
        jaxpr = self._trace.jaxpr
        needed: set[int] = set()
        open_variables = [output]
        while open_variables:
            position = self._order.get(open_variables.pop())
            if position is not None and position not in needed:
                needed.add(position)
                inputs = jaxpr.eqns[position].invars
                open_variables += [each for each in inputs if not isinstance(each, Literal)]
        wanted = jaxpr.replace(
            eqns=[jaxpr.eqns[position] for position in sorted(needed)],
            outvars=[output],
            debug_info=jaxpr.debug_info._replace(result_paths=None),
        )
        return ClosedJaxpr(wanted, self._trace.consts)
