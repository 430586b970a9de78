"""Fresh parameters, the very bits Flax would have drawn, without drawing the rest.

A model's construction is traced once, which costs no memory and gives the shape of every parameter.
Drawing one parameter then evaluates, operation by operation, only the part of the trace that leads
to it. Operation by operation matters: compiled as a whole, XLA folds constants and changes the last
bit of a third of the tensors.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from ved.tensors.names import Path
from ved.tensors.tensor import Array


class Initialization:
    """The parameters that a model is constructed with.

    Args:
        construct: makes the model and returns its parameters, as nested dictionaries.

    Attributes:
        shapes: shape and dtype of every parameter, by path.
    """

    shapes: Mapping[Path, jax.ShapeDtypeStruct]

    def __init__(self, construct: Callable[[], Any]) -> None:
        self._trace, tree = jax.make_jaxpr(construct, return_shape=True)()
        leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
        self.shapes = {tuple(str(key.key) for key in keys): shape for keys, shape in leaves}
        self._position = {path: position for position, path in enumerate(self.shapes)}

    def draw(self, path: Path) -> Array:
        """Return the fresh parameter at `path`."""
        (value,) = jaxpr_as_fun(_only(self._trace, self._position[path]))()
        return np.asarray(value)


def _only(trace: ClosedJaxpr, position: int) -> ClosedJaxpr:
    """Return the trace without what the output at `position` does not need."""
    jaxpr = trace.jaxpr
    output = jaxpr.outvars[position]
    needed, kept = {output}, []
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(equation.outvars):
            kept.append(equation)
            needed.update(var for var in equation.invars if not isinstance(var, Literal))
    wanted = jaxpr.replace(
        eqns=kept[::-1],
        outvars=[output],
        debug_info=jaxpr.debug_info._replace(result_paths=None),
    )
    return ClosedJaxpr(wanted, trace.consts)
