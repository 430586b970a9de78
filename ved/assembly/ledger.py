"""The ledger: where every parameter of a checkpoint comes from, and what a source had besides.

The parameters are the Flax model's. Each is copied from a source where the source has it, and drawn
fresh where a warm start has to: cross-attention, which an encoder-decoder adds to its decoder, and
the few parts that the family's table expects real checkpoints to lack. Anything else that is
missing is an error, so that no encoder can come out random.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ved.errors import ErrorCode, VedError
from ved.families.family import Family, Role
from ved.tensors.files import StoredWeight
from ved.tensors.names import UNKNOWN, Match, ParameterPath, SourceNames, pytorch_name
from ved.tensors.tensor import FLOATING
from ved.text import join_limited

Reason = Literal["cross-attention", "projection", "absent from the source"]


@dataclass(frozen=True)
class Contents:
    """How many numbers of a part are copied and fresh, and the dtypes that they are written in."""

    copied: int
    initialized: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class Ledger:
    """Where the parameters of one part of a checkpoint come from.

    Attributes:
        role: the part; "projection" has no source.
        copied: source tensors by parameter path, the part's own path left out, in the source's
            order.
        fresh: why each remaining parameter is drawn fresh.
        left_out: why each source tensor that is not used has no place, by name, in the source's
            order; UNKNOWN where the family's table does not tell.
    """

    role: Role | Literal["projection"]
    copied: Mapping[ParameterPath, Match] = field(default_factory=dict)
    initialized: Mapping[ParameterPath, Reason] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its owner should know: parameters and tensors that were not expected so."""
        absent = tuple(
            f"The {self.role} has no {group}, which is drawn at random instead."
            for group, reason in initialized_groups(self.copied, self.initialized).items()
            if reason == "absent from the source"
        )
        unused = unused_groups(self.unused)
        unknown = [name for name, reason in unused.items() if reason == UNKNOWN]
        if not unknown:
            return absent
        message = (
            f"Tensors of the {self.role} are not used, because {UNKNOWN}: {join_limited(unknown)}."
        )
        return (*absent, message)


def initialized_groups(
    copied: Iterable[ParameterPath], initialized: Mapping[ParameterPath, Reason]
) -> dict[str, Reason]:
    """Return the fresh parameters in short, by group, with why they are fresh.

    A group is the shortest start of a path, layers counted as one, that nothing copied shares:
    `transformer/h/*/crossattention`.
    """
    taken = {start for path in copied for start in _starts(path)}
    return {
        "/".join(next((start for start in _starts(path) if start not in taken), path)): reason
        for path, reason in initialized.items()
    }


def unused_groups(unused: Mapping[str, str]) -> dict[str, str]:
    """Return why tensors are not used, by name, layers counted as one: `h.*.attn.bias`."""
    return {".".join(_layers_as_one(name.split("."))): reason for name, reason in unused.items()}


def _starts(path: ParameterPath) -> Iterator[ParameterPath]:
    """Yield the starts of a path, shortest first, with every layer's number as `*`."""
    keys = _layers_as_one(path)
    return (keys[:length] for length in range(1, len(keys) + 1))


def _layers_as_one(keys: Iterable[str]) -> ParameterPath:
    return tuple("*" if key.isdigit() else key for key in keys)


def match_parameters(
    role: Role,
    shapes: Mapping[ParameterPath, tuple[int, ...]],
    weights: Iterable[StoredWeight],
    family: Family,
    origin: str,
    config_origin: str,
) -> Ledger:
    """Decide for every parameter of a source's part where it comes from.

    Args:
        role: the part.
        shapes: the shape of every parameter, by path.
        weights: the source's tensors.
        family: the source's family.
        origin: the source, for errors.
        config_origin: where the shapes come from, for errors.

    Raises:
        VedError: a tensor has the wrong shape, or a parameter is missing that must not be; one
            error names all that are wrong.
    """
    names = SourceNames(weights, family, origin)
    found = {path: names.find(path) for path in shapes}
    copied = {hit.path: hit for hit in names.in_source_order(found.values())}
    _check_shapes(role, shapes, copied, origin, config_origin)
    _check_dtypes(role, copied, origin)
    unused = names.unused(copied.values())
    initialized: dict[ParameterPath, Reason] = {}
    missing = []
    for path in shapes.keys() - copied.keys():
        if _is_cross_attention(path, family):
            initialized[path] = "cross-attention"
        elif names.canonical(path).startswith(family.optional):
            initialized[path] = "absent from the source"
        else:
            missing.append(pytorch_name(path))
    if any(_is_cross_attention(path, family) for path in copied):
        # Trained in part is not trained: half of it at random would ruin the other half.
        missing += [
            pytorch_name(path) for path, why in initialized.items() if why == "cross-attention"
        ]
    if missing:
        raise _missing_error(role, sorted(missing), list(unused), origin)
    return Ledger(role, copied, dict(sorted(initialized.items())), unused)


def _check_shapes(
    role: Role,
    shapes: Mapping[ParameterPath, tuple[int, ...]],
    copied: Mapping[ParameterPath, Match],
    origin: str,
    config_origin: str,
) -> None:
    wrong = [
        f"{hit.weight.name} in {hit.weight.file} of {origin} has shape {shape}, where the config "
        f"of {config_origin} makes {'/'.join((role, *path))} {shapes[path]}"
        for path, hit in copied.items()
        if (shape := hit.in_layout("flax").shape) != shapes[path]
    ]
    if wrong:
        raise VedError(
            f"The weights of the {role} do not fit its config: {join_limited(wrong, '; ')} "
            "(with all axes in Flax's order).",
            "Use the config that belongs to the weights.",
            code=ErrorCode.WEIGHTS_DO_NOT_FIT,
        )


def _is_cross_attention(path: ParameterPath, family: Family) -> bool:
    return any(part in f".{pytorch_name(path)}" for part in family.cross_attention)


def _check_dtypes(role: Role, copied: Mapping[ParameterPath, Match], origin: str) -> None:
    wrong = [
        f"{hit.weight.name} in {hit.weight.file} is {hit.weight.tensor.dtype.name}"
        for hit in copied.values()
        if hit.weight.tensor.dtype not in FLOATING
    ]
    if wrong:
        raise VedError(
            f"The weights of the {role} {origin} are not floating-point numbers: "
            f"{join_limited(wrong, '; ')}.",
            "Use a source that is not quantized.",
            code=ErrorCode.UNSUPPORTED_SETTINGS,
        )


def _missing_error(role: Role, missing: list[str], unused: list[str], origin: str) -> VedError:
    close = sorted(
        {near for name in missing for near in difflib.get_close_matches(name, unused, n=1)}
    )
    hint = f" Nearest names that it does have: {join_limited(close)}." if close else ""
    return VedError(
        f"{origin} lacks {len(missing)} tensors of the {role}, which would be random: "
        f"{join_limited(missing)}.{hint}",
        "Check that it is a transformers checkpoint of the family that its config names.",
        code=ErrorCode.WEIGHTS_DO_NOT_FIT,
    )
