"""The ledger: the origin of every parameter of a checkpoint, and the unused source tensors.

The parameters are those of the Flax model. A parameter is copied if the source has a tensor for it.
It is newly initialized if a warm start requires that: cross-attention, which an encoder-decoder
adds to its decoder, and the few parts that real checkpoints of a family may lack. Any other missing
parameter is an error, so no encoder can silently be random.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ved import limits
from ved.errors import ErrorCode, VedError
from ved.families.family import Family, Role
from ved.families.wholes import Half
from ved.tensors.files import StoredWeight
from ved.tensors.names import (
    DIFFERS,
    SAME,
    UNKNOWN,
    Match,
    ParameterPath,
    SourceNames,
    Tie,
    has_own_head,
    pytorch_name,
    second_names,
)
from ved.tensors.tensor import FLOATING, have_same_values
from ved.text import join_limited

Reason = Literal["cross-attention", "projection", "absent from the source", "always zero"]
"""Why a parameter is newly initialized. One that is always zero changes nothing: the source, whose
family has a twin, computes without it."""

KEPT_BYTES = 128 * 2**20
"""Newly initialized parameters of a part are kept in memory up to this size, in bytes.

Larger ones are drawn again for each weight file."""

_HEADS = ("cls", "generator_lm_head", "lm_head")
"""The groups that are language-model heads."""


@dataclass(frozen=True)
class PartSummary:
    """Counts and dtypes of the parameters of one part.

    Attributes:
        num_copied: how many numbers are copied from the source.
        num_initialized: how many numbers are newly initialized.
        dtypes: the dtypes that they are stored in, sorted.
    """

    num_copied: int
    num_initialized: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class Ledger:
    """The origin of the parameters of one part of a checkpoint.

    Attributes:
        role: the part; the projection has no source.
        copied: the source tensor of each copied parameter, by path inside the part, in the order
            of the source.
        initialized: why each other parameter is newly initialized, by path.
        unused: why each unused source tensor is not in the checkpoint, by name, in the order of the
            source, those outside of a half last; `UNKNOWN` if the family's table has no reason.
        ties: the unused tensors that are tied to tensors in use.
        has_own_head: whether the config does not tie the language-model head to the embeddings.
        second_names: the second name that PyTorch has for a parameter, by path.
    """

    role: Role | Literal["projection"]
    copied: Mapping[ParameterPath, Match] = field(default_factory=dict)
    initialized: Mapping[ParameterPath, Reason] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)
    ties: tuple[Tie, ...] = ()
    has_own_head: bool = False
    second_names: Mapping[ParameterPath, ParameterPath] = field(default_factory=dict)

    def compared(self) -> "Ledger":
        """Return the ledger with the reasons of tied tensors, which are read and compared.

        Raises:
            OSError: a file cannot be read.
        """
        reasons = {
            tie.other.weight.name: SAME if have_same_values(*tie.tensors) else DIFFERS
            for tie in self.ties
        }
        return replace(self, unused={**self.unused, **reasons})

    @property
    def tie_warnings(self) -> tuple[str, ...]:
        """Tensors that the config ties and that differ, and the reverse, a sentence each."""
        differing = [tie for tie in self.ties if self.unused[tie.other.weight.name] == DIFFERS]
        counts = Counter(match.weight.name for match in self.copied.values())
        return (
            *(self.difference(tie) for tie in differing),
            *(
                f"The config of the {self.role} does not tie its head to its embeddings, but the "
                f"source has only {name}. The checkpoint has these numbers twice."
                for name, count in counts.items()
                if count > 1
            ),
        )

    def difference(self, tie: Tie) -> str:
        """Return the sentences about a tied tensor that differs from the tensor in use."""
        used, other = tie.used.weight.name, tie.other.weight.name
        if self.has_own_head:
            return (
                f"{other} of the {self.role} differs from {used}, which the checkpoint has in its "
                "place."
            )
        text = (
            f"The config of the {self.role} ties {other} to {used}, but their numbers differ. The "
            f"checkpoint has {used} for both."
        )
        advice = f" To keep {other}, use a config with tie_word_embeddings: false."
        return text + advice if tie.is_head else text

    @property
    def warnings(self) -> tuple[str, ...]:
        """Unexpected gaps, a sentence each: random parameters, and tensors of unknown use."""
        absent = tuple(
            _describe_absent(self.role, group)
            for group, reason in initialized_groups(self.copied, self.initialized).items()
            if reason == "absent from the source"
        )
        unused = unused_groups(self.unused)
        unknown = [name for name, reason in unused.items() if reason == UNKNOWN]
        if not unknown:
            return absent
        message = f"No parameter of the {self.role} uses these tensors: {join_limited(unknown)}."
        return (*absent, message)


def _describe_absent(role: str, group: str) -> str:
    """Return the sentence for a group of parameters that the source should have had."""
    if group in _HEADS:
        return (
            f"The language-model head of the {role} ({group}) is randomly initialized, so it has "
            "to learn to write."
        )
    return f"The {role} has no {group}; these parameters are randomly initialized."


def initialized_groups(
    copied: Iterable[ParameterPath], initialized: Mapping[ParameterPath, Reason]
) -> dict[str, Reason]:
    """Return the newly initialized parameters by group, and the reason of each group.

    A group is the shortest start of a path that no copied parameter shares. `*` stands for every
    layer: `transformer/h/*/crossattention`.
    """
    taken = {start for path in copied for start in _starts(path)}
    return {
        "/".join(next((start for start in _starts(path) if start not in taken), path)): reason
        for path, reason in initialized.items()
    }


def unused_groups(unused: Mapping[str, str]) -> dict[str, str]:
    """Return the reasons of unused tensors by name, with `*` for every layer: `h.*.attn.bias`."""
    return {".".join(_without_layers(name.split("."))): reason for name, reason in unused.items()}


def _starts(path: ParameterPath) -> Iterator[ParameterPath]:
    """Yield the starts of a path, shortest first, with `*` for the number of a layer."""
    keys = _without_layers(path)
    return (keys[:length] for length in range(1, len(keys) + 1))


def _without_layers(keys: Iterable[str]) -> ParameterPath:
    return tuple("*" if key.isdigit() else key for key in keys)


def match_parameters(
    role: Role,
    shapes: Mapping[ParameterPath, tuple[int, ...]],
    weights: Iterable[StoredWeight],
    family: Family,
    origin: str,
    config_origin: str,
    half: Half | None = None,
) -> Ledger:
    """Find the origin of every parameter of an encoder or decoder.

    Args:
        role: the part.
        shapes: the shape of every parameter in Flax, by path.
        weights: the tensors of the source.
        family: the family of the source.
        origin: the source, for errors.
        config_origin: the source of the config, for errors.
        half: the half of the source that is used; None for all of it.

    Raises:
        VedError: a tensor has the wrong shape or is not floating-point, or a required parameter is
            missing. One error lists all parameters with the same problem.
    """
    names = SourceNames(weights, family, origin, half)
    own_head = has_own_head(shapes, family)
    found = {path: names.find(path, own_head=own_head) for path in shapes}
    copied = {match.path: match for match in names.in_source_order(found.values())}
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
        elif family.twin and names.canonical(path) in family.twin.zeros:
            initialized[path] = "always zero"
        else:
            missing.append(pytorch_name(path))
    if any(_is_cross_attention(path, family) for path in copied):
        # The random part of a partly trained cross-attention would ruin the trained part.
        missing += [
            pytorch_name(path) for path, why in initialized.items() if why == "cross-attention"
        ]
    if missing:
        raise _missing_error(role, sorted(missing), list(unused), origin)
    return Ledger(
        role,
        copied,
        dict(sorted(initialized.items())),
        unused,
        tuple(names.ties(copied.values())),
        own_head,
        second_names(shapes, family),
    )


def _check_shapes(
    role: Role,
    shapes: Mapping[ParameterPath, tuple[int, ...]],
    copied: Mapping[ParameterPath, Match],
    origin: str,
    config_origin: str,
) -> None:
    wrong = [
        f"{match.weight.name} in {match.weight.file} of {origin} has shape {shape}, but the config "
        f"of {config_origin} gives {'/'.join((role, *path))} the shape {shapes[path]}"
        for path, match in copied.items()
        if (shape := match.in_layout("flax").shape) != shapes[path]
    ]
    if wrong:
        raise VedError(
            f"The weights of the {role} do not fit its config: {join_limited(wrong, '; ')} "
            "(all axes in Flax's order).",
            "Use the config that belongs to the weights.",
            code=ErrorCode.WEIGHTS_DO_NOT_FIT,
        )


def _is_cross_attention(path: ParameterPath, family: Family) -> bool:
    return any(part in f".{pytorch_name(path)}" for part in family.cross_attention)


def _check_dtypes(role: Role, copied: Mapping[ParameterPath, Match], origin: str) -> None:
    wrong = [
        f"{match.weight.name} in {match.weight.file} is {match.weight.tensor.dtype.name}"
        for match in copied.values()
        if match.weight.tensor.dtype not in FLOATING
    ]
    if wrong:
        raise VedError(
            f"The weights of the {role} {origin} are not floating-point numbers: "
            f"{join_limited(wrong, '; ')}.",
            "Use a source that is not quantized.",
            code=ErrorCode.UNSUPPORTED_SETTINGS,
        )


def _missing_error(role: Role, missing: list[str], unused: list[str], origin: str) -> VedError:
    candidates = unused[: limits.COMPARED_NAMES]
    close = {
        near
        for name in missing[: limits.MISSING_NAMES]
        for near in difflib.get_close_matches(name, candidates, n=1)
    }
    hint = f" Similar names in the source: {join_limited(sorted(close))}." if close else ""
    return VedError(
        f"{origin} lacks {len(missing)} tensors of the {role}, which would be random: "
        f"{join_limited(missing)}.{hint}",
        "Check that the source is a transformers checkpoint of the family that its config names.",
        code=ErrorCode.WEIGHTS_DO_NOT_FIT,
    )
