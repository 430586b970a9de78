"""Which source tensor belongs to which Flax parameter.

Flax and PyTorch agree on a parameter's path but for its last part, and on its elements but for the
order of a kernel's axes. What remains is the habits of real checkpoints: a prefix that some have
and others lack, names from TensorFlow's time (gamma, beta), and tied tensors that are stored under
either of their names. `ved.families` lists them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ved.errors import ErrorCode, VedError
from ved.families.family import Family
from ved.tensors.files import Layout, StoredWeight
from ved.tensors.tensor import Tensor, Transposed

ParameterPath = tuple[str, ...]

UNKNOWN = "nothing in the model takes them"
"""Why a tensor is left out that the family's table does not know."""

_PYTORCH_LEAF = {"kernel": "weight", "scale": "weight", "embedding": "weight"}
_OLD_LEAF = {"gamma": "weight", "beta": "bias"}
# Axes of a PyTorch linear (out, in) or convolution (out, in, height, width) weight, put in the
# order that Flax's kernels have, (in, out) and (height, width, in, out); and the way back.
_TO_FLAX = {2: (1, 0), 4: (2, 3, 1, 0)}
_TO_PYTORCH = {2: (1, 0), 4: (3, 2, 0, 1)}


@dataclass(frozen=True)
class Match:
    """A source tensor that is the parameter at `path`."""

    path: ParameterPath
    weight: StoredWeight

    def in_layout(self, layout: Layout) -> Tensor:
        """Return the tensor as the parameter has it in a file of that layout."""
        stored = self.weight.tensor
        # A tied embedding may stand in for an output kernel, or the other way round.
        is_turned = self.weight.layout == "flax" and self.weight.name.endswith("kernel")
        wants_turned = layout == "flax" and self.path[-1] == "kernel"
        if is_turned == wants_turned:
            return stored
        return transpose_kernel(stored, layout)


def pytorch_name(path: ParameterPath) -> str:
    """Return the PyTorch name of the Flax parameter at `path`."""
    return ".".join((*path[:-1], _PYTORCH_LEAF.get(path[-1], path[-1])))


def transpose_kernel(tensor: Tensor, layout: Layout) -> Tensor:
    """Return a kernel of the other layout with its axes in the order that `layout` has them."""
    axes = (_TO_FLAX if layout == "flax" else _TO_PYTORCH).get(len(tensor.shape))
    return Transposed(tensor, axes) if axes else tensor


class SourceNames:
    """A source's tensors, to be found by Flax path.

    Args:
        weights: all tensors of one source.
        family: whose habits to allow for.
        origin: the source, for errors.

    Raises:
        VedError: two tensors are the same parameter, once with and once without the prefix.
    """

    def __init__(self, weights: Iterable[StoredWeight], family: Family, origin: str) -> None:
        self.family = family
        self._weights: dict[str, StoredWeight] = {}
        for weight in weights:
            name = self._stored(weight)
            if name in self._weights:
                raise VedError(
                    f"{origin} holds the tensor {name!r} twice: as {weight.name!r} and as "
                    f"{self._weights[name].name!r}.",
                    "VED cannot tell which one is meant; remove one from the source.",
                    code=ErrorCode.DAMAGED_SOURCE,
                )
            self._weights[name] = weight

    def find(self, path: ParameterPath) -> Match | None:
        """Return the tensor for the parameter at `path`, or None where the source has none."""
        name = self.canonical(path)
        for candidate in (name, *self.family.aliases.get(name, ())):
            weight = self._weights.get(candidate)
            if weight is not None:
                return Match(path, weight)
        return None

    def in_source_order(self, matches: Iterable[Match | None]) -> list[Match]:
        """Return the matches that are there, as their tensors come in the source."""
        order = {weight.name: position for position, weight in enumerate(self._weights.values())}
        found = [match for match in matches if match is not None]
        return sorted(found, key=lambda match: order[match.weight.name])

    def unused(self, used: Iterable[Match]) -> dict[str, str]:
        """Return why the tensors that none of the matches uses are not needed, by stored name."""
        taken = {match.weight.name for match in used}
        return {
            weight.name: self._reason(name)
            for name, weight in self._weights.items()
            if weight.name not in taken
        }

    def canonical(self, path: ParameterPath) -> str:
        """Return the PyTorch name of the parameter at `path`, without the family's prefix."""
        return self._without_prefix(pytorch_name(path))

    def _reason(self, name: str) -> str:
        parts = (part for part in self.family.unused if part in f".{name}")
        return self.family.unused.get(next(parts, ""), UNKNOWN)

    def _stored(self, weight: StoredWeight) -> str:
        """Return a stored tensor's name as `canonical` has it."""
        *parents, leaf = weight.name.split(".")
        if weight.layout == "flax":
            leaf = _PYTORCH_LEAF.get(leaf, leaf)
        return self._without_prefix(".".join((*parents, _OLD_LEAF.get(leaf, leaf))))

    def _without_prefix(self, name: str) -> str:
        return name.removeprefix(self.family.prefix + ".")
