"""A checkpoint's parts, which are initialized apart: encoder, decoder, projection between them.

Nothing of the weights is read here: their headers say which parameters a source has.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from math import prod
from typing import Any

import numpy as np
from transformers import (
    AutoConfig,
    FlaxAutoModel,
    FlaxAutoModelForCausalLM,
    FlaxVisionEncoderDecoderModel,
)

from ved.assembly import ledger
from ved.assembly.initialization import Initialization
from ved.assembly.ledger import Contents, Ledger
from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.sources.source import Source
from ved.tensors.files import Layout, open_weights
from ved.tensors.names import ParameterPath, transpose_kernel
from ved.tensors.tensor import Array, LazyTensor, Tensor

_CLASSES: dict[Role, Any] = {"encoder": FlaxAutoModel, "decoder": FlaxAutoModelForCausalLM}

KEPT_BYTES = 128 * 2**20
"""How much of a part's fresh parameters is kept in memory rather than drawn for each file."""


@dataclass(frozen=True)
class Part:
    """The encoder, the decoder or the projection, which are initialized apart.

    Attributes:
        ledger: where its parameters come from.
        initialization: its fresh parameters.
        path: what comes before a path of its ledger in the checkpoint.
    """

    ledger: Ledger
    initialization: Initialization
    path: ParameterPath = ()

    def contents(self, asked: np.dtype[Any] | None, initialized: np.dtype[Any]) -> Contents:
        """Return what its parameters amount to; the arguments are those of `nbytes`."""
        copied, drawn = (
            sum(prod(self.initialization.shapes[path].shape) for path in paths)
            for paths in (self.ledger.copied, self.ledger.initialized)
        )
        matches = self.ledger.copied.values()
        dtypes = {(asked or match.weight.tensor.dtype).name for match in matches}
        return Contents(
            copied, drawn, tuple(sorted(dtypes | ({initialized.name} if drawn else set())))
        )

    def nbytes(self, asked: np.dtype[Any] | None, initialized: np.dtype[Any]) -> int:
        """Return how many bytes its parameters take in one weight file.

        Args:
            asked: the dtype of what is copied; None as the source has it.
            fresh: the dtype of what is drawn.
        """
        shapes = self.initialization.shapes
        sizes = dict.fromkeys(self.ledger.initialized, initialized.itemsize)
        for path, match in self.ledger.copied.items():
            sizes[path] = (asked or match.weight.tensor.dtype).itemsize
        return sum(prod(shapes[path].shape) * size for path, size in sizes.items())

    def copied(self, layout: Layout) -> Iterator[tuple[ParameterPath, Tensor]]:
        """Yield the parameters that a source has, in the source's order."""
        for path, match in self.ledger.copied.items():
            yield (*self.path, *path), match.in_layout(layout)

    @cached_property
    def _draw(self) -> Callable[[ParameterPath], Array]:
        """Draws a fresh parameter; keeps it for the other weight file, if all of them are few."""
        shapes = [self.initialization.shapes[path] for path in self.ledger.initialized]
        size = sum(prod(shape.shape) * shape.dtype.itemsize for shape in shapes)
        draw = self.initialization.draw
        return cache(draw) if size <= KEPT_BYTES else draw

    def initialized(self, layout: Layout) -> Iterator[tuple[ParameterPath, Tensor]]:
        """Yield the others; each is drawn when it is read."""
        for path in self.ledger.initialized:
            drawn = self.initialization.shapes[path]
            tensor: Tensor = LazyTensor(drawn.shape, drawn.dtype, partial(self._draw, path))
            if layout == "pytorch" and path[-1] == "kernel":
                tensor = transpose_kernel(tensor, layout)
            yield (*self.path, *path), tensor


def load_config(source: Source) -> Any:
    """Return a source's transformers config.

    Raises:
        VedError: it cannot be read.
    """
    try:
        config = AutoConfig.from_pretrained(
            source.config_path.parent, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # whatever a damaged config makes transformers raise
        raise VedError(
            f"The config of {source.resolved.config_snapshot} cannot be read: {error}.",
            code=ErrorCode.CONFIG_NOT_USABLE,
        ) from error
    # A path of this machine has no place in a published config, and neither has remote code.
    config._name_or_path = source.resolved.config_snapshot.name
    for name in ("auto_map", "custom_pipelines"):
        vars(config).pop(name, None)
    return config


def source_part(source: Source, config: Any, seed: int) -> Part:
    """Return the encoder or the decoder of a checkpoint.

    Args:
        source: where its weights are, or their headers.
        config: the source's transformers config, as the checkpoint is to have it; it is changed to
            what constructing the model makes of it.
        seed: what fresh parameters are drawn with.

    Raises:
        VedError: config and weights do not make a model that is wholly the source's.
        OSError: a file cannot be read.
    """
    resolved = source.resolved
    weights = open_weights(source.weight_paths)
    try:
        layers = max(getattr(config, name, 0) for name in ("num_hidden_layers", "decoder_layers"))
        if layers > len(weights):
            raise ValueError(f"it has {layers} layers, and the weights are {len(weights)} tensors")
        initialization, constructed = _trace(_CLASSES[resolved.role], config.to_json_string(), seed)
    except Exception as error:  # whatever flax and transformers raise of a config
        raise VedError(
            f"The config of {resolved.config_snapshot} makes no {resolved.role}: {error}.",
            "Use a config that transformers can make a model of.",
            code=ErrorCode.CONFIG_NOT_USABLE,
        ) from error
    # BART's decoder, for one, says on construction that it is no encoder-decoder any more.
    vars(config).update(
        (name, value) for name, value in vars(constructed).items() if not name.startswith("_")
    )
    matched = ledger.match_parameters(
        resolved.role,
        {path: shape.shape for path, shape in initialization.shapes.items()},
        weights,
        resolved.family,
        str(resolved.snapshot),
        str(resolved.config_snapshot),
    )
    return Part(matched, initialization, (resolved.role,))


@lru_cache(maxsize=16)
def _trace(model_class: Any, config_json: str, seed: int) -> tuple[Initialization, Any]:
    """Trace a model's construction, and return it with the config as construction leaves it.

    Pairs that share a source's config share the trace.
    """
    config = AutoConfig.for_model(**json.loads(config_json))
    return Initialization(lambda: model_class.from_config(config, seed=seed).params), config


def projection_part(config: Any, seed: int) -> list[Part]:
    """Return the projection from the encoder's width to the decoder's, where those differ.

    Args:
        config: the checkpoint's transformers config; it gets what the projection is drawn by.
        seed: what it is drawn with.
    """
    if config.encoder.hidden_size == config.decoder.hidden_size:
        return []
    # transformers asks any decoder for initializer_range, now and whenever the checkpoint is
    # loaded; BART calls it init_std.
    if not hasattr(config.decoder, "initializer_range"):
        config.decoder.initializer_range = config.decoder.init_std
    whole = Initialization(lambda: FlaxVisionEncoderDecoderModel(config, seed=seed).params)
    paths = [path for path in whole.shapes if path[0] not in ("encoder", "decoder")]
    return [Part(Ledger("projection", initialized=dict.fromkeys(paths, "projection")), whole)]


def stored_dtype(parts: Iterable[Part]) -> np.dtype[Any]:
    """Return the dtype that most of the decoder is stored in."""
    (decoder,) = (part.ledger for part in parts if part.ledger.role == "decoder")
    numbers: Counter[np.dtype[Any]] = Counter()
    for match in decoder.copied.values():
        numbers[match.weight.tensor.dtype] += prod(match.weight.tensor.shape)
    return numbers.most_common(1)[0][0]
