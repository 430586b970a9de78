"""Draw single parameters of a Flax model, with the bits that constructing the model gives them.

jax traces the construction of the model once. This takes no memory for parameters, and gives the
shape of each. To draw one parameter, only the operations of the trace that lead to it are
evaluated, one by one. They are not compiled together: XLA would then fold constants, which changes
the last bit in a third of the tensors.

Most are normal numbers. jax would compile their program for each shape. `ved.assembly.normal` has
one for all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from ved.assembly.keys import Words, compute_key
from ved.assembly.normal import draw_normal
from ved.interruption import raise_if_interrupted
from ved.tensors.names import ParameterPath
from ved.tensors.tensor import Array, nbytes

_DRAW_LOCK = Lock()


class Initialization:
    """The initial parameters of a model.

    Args:
        construct: constructs the model and returns its parameters as nested dictionaries.

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

    def draw(self, path: ParameterPath, out: Array | None = None) -> Array:
        """Return the initial parameter at `path`: an array with shape and dtype of `shapes`.

        Args:
            path: the parameter.
            out: a contiguous array of this shape and dtype, which may be used for the numbers.
        """
        # Two threads that need the same operation would both compile it.
        with _DRAW_LOCK:
            operations = self._only(self._variables[path])
            normal = _as_normal(operations.jaxpr.eqns)
            if normal is not None:
                return draw_normal(*normal, out)
            (value,) = jaxpr_as_fun(operations)()
            return np.asarray(value)

    def _only(self, output: Any) -> ClosedJaxpr:
        """Return the operations of the trace that the variable `output` depends on."""
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


class KeptDraws:
    """Parameters that are drawn once, by the thread that needs one first.

    They share one block of memory, so the system gets it back as a whole. Arrays of their own would
    lie between others, and a build of many pairs would need more memory for each pair.

    Args:
        initialization: draws them.
        paths: their paths, in the order in which `draw_all` draws them.
    """

    def __init__(self, initialization: Initialization, paths: Iterable[ParameterPath]) -> None:
        self._initialization = initialization
        self._lock = Lock()
        self._arrays: dict[ParameterPath, Array] = {}
        self._missing = {path: initialization.shapes[path] for path in paths}
        block, end = np.empty(sum(map(nbytes, self._missing.values())), np.uint8), 0
        for path, each in self._missing.items():
            start, end = end, end + nbytes(each)
            self._arrays[path] = block[start:end].view(each.dtype).reshape(each.shape)

    def draw(self, path: ParameterPath) -> Array:
        """Return what `Initialization.draw` returns."""
        with self._lock:
            if path in self._missing:
                # Most draws put their numbers there; then nothing is copied.
                self._arrays[path][...] = self._initialization.draw(path, self._arrays[path])
                del self._missing[path]
            return self._arrays[path]

    def draw_all(self) -> None:
        """Draw all parameters.

        Raises:
            KeyboardInterrupt: the process was interrupted.
        """
        for path in self._arrays:
            raise_if_interrupted()
            self.draw(path)


def _as_normal(operations: Sequence[Any]) -> tuple[Words, tuple[int, ...], float] | None:
    """Return key, shape and scale if operations are those of `jax.nn.initializers.normal`.

    Args:
        operations: the operations of a parameter; None is returned for any that are not known.
    """
    if len(operations) < 2:
        return None
    *of_key, draw, multiply = operations
    if draw.params.get("name") != "_normal" or multiply.primitive.name != "mul":
        return None
    (drawn,) = draw.outvars
    factors = [each for each in multiply.invars if each is not drawn]
    if len(factors) != 1 or not isinstance(factors[0], Literal) or drawn.aval.dtype != np.float32:
        return None
    key = compute_key(of_key, draw.invars[0])
    return None if key is None else (key, drawn.aval.shape, factors[0].val)


def compile_draws() -> None:
    """Compile what draws parameters of any model, for a time when a processor is idle."""
    draw_normal(np.zeros(2, np.uint32), (1,), 1.0)
