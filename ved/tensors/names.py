"""Find the source tensor of each Flax parameter by name.

In Flax and PyTorch, the path of a parameter differs in its last part only, and its elements in the
order of a kernel's axes only:

    Flax     h/0/mlp/c_fc/kernel    (in, out)  (height, width, in, out)
    PyTorch  h.0.mlp.c_fc.weight    (out, in)  (out, in, height, width)

Real checkpoints vary more. Some lack the prefix of the base model, some use TensorFlow's names
(gamma, beta), and some store a tied tensor under its other name. `ved.families` lists these cases.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ved.errors import ErrorCode, VedError
from ved.families.family import Family
from ved.families.wholes import UNUSED_HALF, Half
from ved.tensors.files import Layout, StoredWeight
from ved.tensors.tensor import Tensor, Transposed
from ved.text import quoted

ParameterPath = tuple[str, ...]
"""The keys that lead to a parameter in Flax's nested dictionaries."""

UNKNOWN = "no parameter of the model uses it"
"""Why a tensor is unused that the family's table does not list."""

NOT_COMPARED = "a tied tensor, which is not compared yet"
SAME = "the same tensor under another name"
DIFFERS = "it differs from the tensor that the checkpoint has in its place"
"""Why a tensor is unused that is tied to one in use: `Ledger.compared` finds out which."""

_PYTORCH_LEAF = {"kernel": "weight", "scale": "weight", "embedding": "weight"}
_OLD_LEAF = {"gamma": "weight", "beta": "bias"}
# The new order of a kernel's axes, by their number; see the table above.
_TO_FLAX = {2: (1, 0), 4: (2, 3, 1, 0)}
_TO_PYTORCH = {2: (1, 0), 4: (3, 2, 0, 1)}


@dataclass(frozen=True)
class Match:
    """A source tensor, and the path of the parameter that it becomes."""

    path: ParameterPath
    weight: StoredWeight

    def in_layout(self, layout: Layout) -> Tensor:
        """Return the tensor with the axes that the parameter has in a file of this layout."""
        # Compare both names: a tied embedding may be the source of an output kernel, or vice versa.
        has_flax_axes = self.weight.layout == "flax" and self.weight.name.endswith("kernel")
        needs_flax_axes = layout == "flax" and self.path[-1] == "kernel"
        if has_flax_axes == needs_flax_axes:
            return self.weight.tensor
        return transpose_kernel(self.weight.tensor, layout)


@dataclass(frozen=True)
class Tie:
    """An unused tensor of a source, and the tensor in use that it is tied to.

    Attributes:
        used: the tensor in use.
        other: the unused one, as if it were in use.
        is_head: whether PyTorch would use both with `tie_word_embeddings: false`.
    """

    used: Match
    other: Match
    is_head: bool

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """The used and the unused tensor, with the same order of axes."""
        return self.used.in_layout("pytorch"), self.other.in_layout("pytorch")


def pytorch_name(path: ParameterPath) -> str:
    """Return the PyTorch name of the Flax parameter at `path`."""
    return ".".join((*path[:-1], _PYTORCH_LEAF.get(path[-1], path[-1])))


def transpose_kernel(tensor: Tensor, layout: Layout) -> Tensor:
    """Return a kernel of the other layout with its axes in the order of `layout`.

    Args:
        tensor: a kernel with 2 or 4 axes; one with another number of axes is returned as it is.
        layout: the layout of the result.
    """
    axes = (_TO_FLAX if layout == "flax" else _TO_PYTORCH).get(len(tensor.shape))
    return Transposed(tensor, axes) if axes else tensor


def has_own_head(paths: Iterable[ParameterPath], family: Family) -> bool:
    """Return whether the language-model head of a decoder has a weight of its own.

    Args:
        paths: the parameters of the Flax model, which follow the config's `tie_word_embeddings`.
        family: the family of the decoder.
    """
    return any(_without_prefix(pytorch_name(path), family) == family.head for path in paths)


def second_names(
    paths: Iterable[ParameterPath], family: Family
) -> dict[ParameterPath, ParameterPath]:
    """Return the second name that PyTorch has for a parameter, as a path, by the parameter's path.

    If a head has a weight of its own, transformers 5 does not tie the two names of its bias. It
    would leave a bias that it finds under its first name alone at zero.

    Args:
        paths: the parameters of the Flax model.
        family: the family of the decoder.
    """
    paths = [*paths]
    if family.head_biases is None or not has_own_head(paths, family):
        return {}
    first, second = (tuple(name.split(".")) for name in family.head_biases)
    return {first: second} if first in paths else {}


def buffers(paths: Iterable[ParameterPath], family: Family) -> list[ParameterPath]:
    """Return the paths of the buffers that PyTorch stores beside parameters; see `Family`."""
    return [
        tuple((name.removesuffix(part) + buffer).split("."))
        for name in map(".".join, paths)
        for part, buffer in family.buffers.items()
        if name.endswith(f".{part}")
    ]


class SourceNames:
    """The tensors of a source, indexed by the name of the parameter.

    Args:
        weights: all tensors of one source.
        family: the family of the source.
        origin: the source, for errors.
        half: the half of the source that is used; None for all of it.

    Raises:
        VedError: a tensor is there twice, with and without the family's prefix.
    """

    def __init__(
        self,
        weights: Iterable[StoredWeight],
        family: Family,
        origin: str,
        half: Half | None = None,
    ) -> None:
        self.family = family
        self._half = half
        self._weights: dict[str, StoredWeight] = {}
        self._outside: list[str] = []
        for weight in weights:
            if half is not None and not half.has(weight.name):
                self._outside.append(weight.name)
                continue
            name = self._stored(weight)
            if name in self._weights:
                raise VedError(
                    f"{origin} holds the tensor {quoted(name)} twice: as {quoted(weight.name)} and "
                    f"as {quoted(self._weights[name].name)}.",
                    "Remove one of them from the source.",
                    code=ErrorCode.DAMAGED_SOURCE,
                )
            self._weights[name] = weight

    def find(self, path: ParameterPath, *, own_head: bool = False) -> Match | None:
        """Return the tensor of the parameter at `path`; None if the source has none.

        Args:
            path: the parameter.
            own_head: whether the head has a weight of its own; see `has_own_head`.
        """
        candidates = self._names(path)
        if own_head and candidates == self.family.head_biases:
            candidates = candidates[::-1]  # PyTorch computes with the second one
        for candidate in candidates:
            weight = self._weights.get(candidate)
            if weight is not None:
                return Match(path, weight)
        return None

    def ties(self, used: Iterable[Match]) -> list[Tie]:
        """Return the tensors that are not in `used`, but under another name of a tensor in it."""
        used = [*used]
        taken = {match.weight.name for match in used}
        head = self.family.head
        of_name = {
            name: match
            for match in used
            if self.canonical(match.path) != head  # a head of its own is tied to nothing
            for name in self._names(match.path)
        }
        heads = (head, *(self.family.head_biases or ())[1:])
        return [
            Tie(of_name[name], Match(of_name[name].path, weight), name in heads)
            for name, weight in self._weights.items()
            if name in of_name and weight.name not in taken
        ]

    def in_source_order(self, matches: Iterable[Match | None]) -> list[Match]:
        """Return the matches that are not None, in the order of their tensors in the source."""
        order = {weight.name: position for position, weight in enumerate(self._weights.values())}
        found = [match for match in matches if match is not None]
        return sorted(found, key=lambda match: order[match.weight.name])

    def unused(self, used: Iterable[Match]) -> dict[str, str]:
        """Return why each tensor is unused that is not in `used`, by its name in the source."""
        used = [*used]
        taken = {match.weight.name for match in used}
        tied = {tie.other.weight.name for tie in self.ties(used)}
        return {
            weight.name: NOT_COMPARED if weight.name in tied else self._reason(name)
            for name, weight in self._weights.items()
            if weight.name not in taken
        } | dict.fromkeys(self._outside, UNUSED_HALF)

    def canonical(self, path: ParameterPath) -> str:
        """Return the PyTorch name of the parameter at `path`, without the family's prefix."""
        return _without_prefix(pytorch_name(path), self.family)

    def _names(self, path: ParameterPath) -> tuple[str, ...]:
        """Return the names that the tensor of the parameter at `path` can have, best first."""
        name = self.canonical(path)
        return (name, *self.family.aliases.get(name, ()))

    def _reason(self, name: str) -> str:
        parts = (part for part in self.family.unused if part in f".{name}")
        return self.family.unused.get(next(parts, ""), UNKNOWN)

    def _stored(self, weight: StoredWeight) -> str:
        """Return the name of a stored tensor in the form of `canonical`."""
        name = weight.name if self._half is None else self._half.without_prefix(weight.name)
        *parents, leaf = name.split(".")
        if weight.layout == "flax":
            leaf = _PYTORCH_LEAF.get(leaf, leaf)
        name = _without_prefix(".".join((*parents, _OLD_LEAF.get(leaf, leaf))), self.family)
        return self.family.twin.tensor_name(name) if self.family.twin else name


def _without_prefix(name: str, family: Family) -> str:
    return name.removeprefix(family.prefix + ".")
