"""The parts of a checkpoint: the encoder, the decoder, and the projection between them.

Each part is initialized on its own. This module reads the headers of weight files, which name the
tensors of a source, but no weights.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from ved.assembly import ledger
from ved.assembly.config import CheckpointConfig, PartConfig
from ved.assembly.generation_settings import NEUTRAL
from ved.assembly.initialization import Initialization, KeptDraws
from ved.assembly.ledger import KEPT_BYTES, Ledger, PartSummary
from ved.assembly.model_size import check_model_size
from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.manifest.fields import Dtype
from ved.modeling.decoder import DecoderSettings
from ved.modeling.families import decoder_settings, encoder_settings
from ved.modeling.image_settings import ImageSettings
from ved.modeling.initial_parameters import decoder_params, encoder_params, projection_params
from ved.sources.source import ResolvedSource, Source
from ved.tensors.files import Layout, StoredWeight, open_weights
from ved.tensors.names import ParameterPath, transpose_kernel
from ved.tensors.tensor import DTYPES, Array, LazyTensor, Tensor, nbytes

_GENERATION = {
    *NEUTRAL,
    *(f"{name}_token_id" for name in ("bos", "eos", "pad", "sep", "decoder_start")),
}
"""Settings that no parameter depends on."""

_OTHER_WIDTH = "it reads the states of an encoder of another width"
"""Why the cross-attention of a source is unused."""


@dataclass(frozen=True)
class OutputDtypes:
    """The dtypes that the parameters of a checkpoint are written in.

    Attributes:
        copied: for copied parameters; None leaves each in the dtype of its source.
        initialized: for newly initialized parameters.
    """

    copied: np.dtype[Any] | None
    initialized: np.dtype[Any]


@dataclass(frozen=True)
class Part:
    """The encoder, the decoder or the projection of a checkpoint.

    Attributes:
        ledger: the origin of its parameters.
        initialization: the initial values of its parameters.
        prefix: the start of its parameters' paths in the checkpoint.
        buffers: what PyTorch stores beside its parameters, by path inside the part.
    """

    ledger: Ledger
    initialization: Initialization
    prefix: ParameterPath = ()
    buffers: Mapping[ParameterPath, Array] = field(default_factory=dict)

    def summary(self, dtypes: OutputDtypes) -> PartSummary:
        """Return counts and dtypes of its parameters."""
        num_copied, num_initialized = (
            sum(prod(self.initialization.shapes[path].shape) for path in paths)
            for paths in (self.ledger.copied, self.ledger.initialized)
        )
        names = {
            (dtypes.copied or match.weight.tensor.dtype).name
            for match in self.ledger.copied.values()
        }
        if num_initialized:
            names.add(dtypes.initialized.name)
        return PartSummary(num_copied, num_initialized, tuple(sorted(names)))

    def copied(self, layout: Layout) -> Iterator[tuple[ParameterPath, Tensor]]:
        """Yield the path and tensor of each copied parameter, in the order of the source."""
        for path, match in self.ledger.copied.items():
            for name in self._names(path, layout):
                yield name, match.in_layout(layout)

    def initialized(self, layout: Layout) -> Iterator[tuple[ParameterPath, Tensor]]:
        """Yield the path and tensor of each newly initialized parameter, which is drawn lazily."""
        for path, reason in self.ledger.initialized.items():
            drawn = self.initialization.shapes[path]
            draw = partial(self._draws.draw, path)
            if reason == "always zero":
                draw = partial(np.zeros, drawn.shape, drawn.dtype)
            tensor: Tensor = LazyTensor(drawn.shape, drawn.dtype, draw)
            if layout == "pytorch" and path[-1] == "kernel":
                tensor = transpose_kernel(tensor, layout)
            for name in self._names(path, layout):
                yield name, tensor

    def stored_buffers(self, layout: Layout) -> Iterator[tuple[ParameterPath, Tensor]]:
        """Yield the path and array of each buffer, which only PyTorch's layout has."""
        for path, array in self.buffers.items() if layout == "pytorch" else ():
            yield (
                (*self.prefix, *path),
                LazyTensor(array.shape, array.dtype, partial(np.asarray, array)),
            )

    def _names(self, path: ParameterPath, layout: Layout) -> list[ParameterPath]:
        """Return the paths in the checkpoint of the parameter at a path."""
        second = self.ledger.second_names.get(path) if layout == "pytorch" else None
        return [(*self.prefix, *each) for each in (path, second) if each is not None]

    def draw_ahead(self) -> None:
        """Draw the parameters that are kept, while the writers of the files do something else."""
        if isinstance(self._draws, KeptDraws):
            self._draws.draw_all()

    @cached_property
    def _draws(self) -> Initialization | KeptDraws:
        """The source of drawn parameters; it keeps them if their total is small."""
        initialized = sorted(self.ledger.initialized.items())
        paths = tuple(path for path, reason in initialized if reason != "always zero")
        if sum(nbytes(self.initialization.shapes[path]) for path in paths) > KEPT_BYTES:
            return self.initialization
        keep = _keep_for_next_pair if self.ledger.role == "decoder" else KeptDraws
        return keep(self.initialization, paths)


def source_part(source: Source, config: PartConfig, seed: int) -> Part:
    """Return the encoder or the decoder of a checkpoint.

    Args:
        source: the source; its weight files may be headers only.
        config: the config of the part in the checkpoint.
        seed: the seed of newly initialized parameters.

    Raises:
        VedError: no model can be created from the config, or the model's parameters are not those
            of the weights.
        OSError: a file cannot be read.
    """
    resolved = source.resolved
    weights, half = open_weights(source.weight_paths), resolved.half
    own = [each for each in weights if half is None or half.has(each.name)]
    check_model_size(config, resolved, own)
    try:
        settings = _modeling_settings(resolved.role, config)
        initialization = _initialize(resolved.role, settings, repr(settings), seed)
        buffers = {tuple(name.split(".")): each for name, each in settings.buffers.items()}
    except Exception as error:  # a wrong config makes jax and flax raise anything
        raise VedError(
            f"The config of {resolved.config_snapshot} does not describe a working "
            f"{resolved.role}: {error}.",
            "Use a config that transformers can create a model from.",
            code=ErrorCode.CONFIG_NOT_USABLE,
        ) from error
    dropped = _attention_to_other_width(resolved, config, weights)
    matched = ledger.match_parameters(
        resolved.role,
        {path: shape.shape for path, shape in initialization.shapes.items()},
        [weight for weight in weights if weight.name not in dropped],
        resolved.family,
        str(resolved.snapshot),
        str(resolved.config_snapshot),
        half,
    )
    matched = replace(matched, unused={**matched.unused, **dropped})
    return Part(matched, initialization, (resolved.role,), buffers)


def _attention_to_other_width(
    source: ResolvedSource, config: PartConfig, weights: Iterable[StoredWeight]
) -> dict[str, str]:
    """Return why cross-attention is unused that reads states of another width, by tensor.

    In a checkpoint, a projection gives the encoder's states the width of the decoder.
    """
    if source.config.get("cross_attention_hidden_size") in (None, config["hidden_size"]):
        return {}
    parts, names = source.family.cross_attention, [weight.name for weight in weights]
    return {name: _OTHER_WIDTH for name in names if any(part in f".{name}" for part in parts)}


def _modeling_settings(role: Role, config: PartConfig) -> ImageSettings | DecoderSettings:
    """Return the settings of a part's model.

    Raises:
        ModelingError: the config has a setting that is not computed.
    """
    read = encoder_settings if role == "encoder" else decoder_settings
    return read({name: each for name, each in config.settings.items() if name not in _GENERATION})


@lru_cache(maxsize=1)
def _keep_for_next_pair(
    initialization: Initialization, paths: tuple[ParameterPath, ...]
) -> KeptDraws:
    """Return the draws of a decoder; the next pair with the same model and seed has the same."""
    return KeptDraws(initialization, paths)


@lru_cache(maxsize=16)
def _initialize(role: Role, settings: Any, text: str, seed: int) -> Initialization:
    """Return the initial parameters of a model; pairs with the same settings share them.

    Args:
        role: the role of the model.
        settings: its settings.
        text: the same as text: 0.0 equals -0.0, but a range of -0.0 draws other bits.
        seed: the seed.
    """
    params = encoder_params if role == "encoder" else decoder_params
    return Initialization(lambda: params(settings, seed))


def projection_part(config: CheckpointConfig, seed: int) -> list[Part]:
    """Return the projection from the encoder's width to the decoder's, if the widths differ.

    Args:
        config: the config of the checkpoint.
        seed: the seed of the projection.

    Returns:
        A list of one part, or an empty list.
    """
    if not config.has_projection:
        return []
    halves = {"encoder": config.encoder.settings, "decoder": config.decoder.settings}
    drawn = Initialization(lambda: projection_params(halves, seed))
    entry = Ledger("projection", initialized=dict.fromkeys(drawn.shapes, "projection"))
    return [Part(entry, drawn)]


def output_dtypes(parts: Iterable[Part], dtype: Dtype) -> OutputDtypes:
    """Return the dtypes that the parameters of a checkpoint are written in.

    Args:
        parts: the parts of the checkpoint.
        dtype: the dtype that the manifest asks for. "source" gives newly initialized parameters
            the dtype of most of the decoder's numbers.
    """
    if dtype != "source":
        return OutputDtypes(DTYPES[dtype], DTYPES[dtype])
    (decoder,) = (part.ledger for part in parts if part.ledger.role == "decoder")
    numbers: Counter[np.dtype[Any]] = Counter()
    for match in decoder.copied.values():
        numbers[match.weight.tensor.dtype] += prod(match.weight.tensor.shape)
    return OutputDtypes(None, numbers.most_common(1)[0][0])
