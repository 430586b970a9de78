"""One pair into one checkpoint: weights, configs, image processor and tokenizer in a directory.

No model is ever instantiated: parameters stream from the sources' files into the checkpoint's.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache, partial
from math import prod
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from transformers import (
    AutoConfig,
    FlaxAutoModel,
    FlaxAutoModelForCausalLM,
    FlaxVisionEncoderDecoderModel,
    GenerationConfig,
    VisionEncoderDecoderConfig,
)

from ved import ledger, processing, token_ids
from ved.errors import VedError
from ved.initialize import Initialization
from ved.ledger import Ledger
from ved.manifest import Dtype, WeightFormat
from ved.source import Source
from ved.tensors import msgpack, safetensors
from ved.tensors.files import Layout, open_weights
from ved.tensors.names import UNKNOWN, Path, pytorch_name, turned
from ved.tensors.output import HashedFile
from ved.tensors.tensor import DTYPES, Array, Cast, LazyTensor, Tensor
from ved.token_ids import TokenIds

FLAX_WEIGHTS = "flax_model.msgpack"
PYTORCH_WEIGHTS = "model.safetensors"

KEPT_BYTES = 128 * 2**20
"""How much of a part's fresh parameters is kept in memory rather than drawn for each file."""


@dataclass(frozen=True)
class Settings:
    """What a manifest may say of a checkpoint's content.

    Attributes:
        token_ids: ids that come before those of the decoder's config, by role.
        seed: what fresh parameters are drawn with; 0 is what transformers uses.
        dtype: of all parameters; "source" leaves each as its source has it, and makes fresh ones
            what most of the decoder is stored in.
        weights: the files to write: flax_model.msgpack, model.safetensors in PyTorch's layout.
    """

    token_ids: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    dtype: Dtype = "source"
    weights: tuple[WeightFormat, ...] = ("flax", "safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """An assembled checkpoint in a directory.

    Attributes:
        directory: where its files are.
        settings: what it was made with.
        token_ids: its special tokens.
        ledgers: where its parameters come from: encoder, decoder and, where their widths differ,
            the projection between them.
        parameters: how many numbers its parameters hold.
        weights_sha256: the digest of each weight file, by name.
    """

    directory: FilePath
    settings: Settings
    token_ids: TokenIds
    ledgers: tuple[Ledger, ...]
    parameters: int
    weights_sha256: Mapping[str, str]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its owner should know: parameters and tensors that were not expected so."""
        absent = (
            f"The {ledger.role} has no {group}, which is drawn at random instead."
            for ledger in self.ledgers
            for group, reason in ledger.fresh_groups().items()
            if reason == "absent from the source"
        )
        unknown = {
            each.role: [name for name, why in each.left_out_groups().items() if why == UNKNOWN]
            for each in self.ledgers
        }
        unused = (
            f"Tensors of the {role} are not used, because {UNKNOWN}: {ledger.listed(names)}."
            for role, names in unknown.items()
            if names
        )
        return (*absent, *unused)


def assemble(
    encoder: Source, decoder: Source, directory: FilePath, settings: Settings | None = None
) -> Checkpoint:
    """Assemble two sources into a checkpoint.

    The parameters are those of transformers' create_model_from_encoder_decoder_models
    (examples/flax/image-captioning, transformers 4.57), bit for bit where that reads the sources
    rightly.

    Args:
        encoder: a vision encoder.
        decoder: a text decoder.
        directory: an existing directory to put the files in.
        settings: what the manifest says; its defaults if None.

    Raises:
        VedError: the sources cannot be assembled; the directory may then hold some of the files.
        OSError: a file cannot be read or written.
    """
    settings = settings or Settings()
    encoder_config, decoder_config = _load_config(encoder), _load_config(decoder)
    image_processor = processing.load_image_processor(encoder, encoder_config)
    tokenizer = processing.load_tokenizer(decoder, decoder_config)
    ids = token_ids.resolve(settings.token_ids, decoder_config, tokenizer, str(decoder))
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder_config, decoder_config)
    parts = [
        _source_part(encoder, FlaxAutoModel, config.encoder, settings.seed),
        _source_part(decoder, FlaxAutoModelForCausalLM, config.decoder, settings.seed),
        *_projection_part(config, settings.seed),
    ]
    # The small files first: what cannot be saved is found out before gigabytes are written.
    token_ids.apply(ids, config, tokenizer)
    _write_configs(config, directory, settings.dtype)
    processing.save(image_processor, tokenizer, directory)
    written = _write_weights(parts, directory, settings)
    return Checkpoint(
        directory,
        settings,
        ids,
        tuple(part.ledger for part in parts),
        sum(part.size for part in parts),
        {name: file.sha256 for name, file in written.items()},
    )


@dataclass(frozen=True)
class _Part:
    """The encoder, the decoder or the projection, which are initialized apart.

    Attributes:
        ledger: where its parameters come from.
        initialization: its fresh parameters.
        path: what comes before a path of its ledger in the checkpoint.
    """

    ledger: Ledger
    initialization: Initialization
    path: Path = ()

    @property
    def size(self) -> int:
        """How many numbers its parameters hold."""
        paths = (*self.ledger.copied, *self.ledger.fresh)
        return sum(prod(self.initialization.shapes[path].shape) for path in paths)

    def copied(self, layout: Layout) -> Iterator[tuple[Path, Tensor]]:
        """Yield the parameters that a source has, in the source's order."""
        for path, match in self.ledger.copied.items():
            yield (*self.path, *path), match.in_layout(layout)

    @cached_property
    def _draw(self) -> Callable[[Path], Array]:
        """Draws a fresh parameter; keeps it for the other weight file, if all of them are few."""
        shapes = [self.initialization.shapes[path] for path in self.ledger.fresh]
        size = sum(prod(shape.shape) * shape.dtype.itemsize for shape in shapes)
        draw = self.initialization.draw
        return cache(draw) if size <= KEPT_BYTES else draw

    def fresh(self, layout: Layout) -> Iterator[tuple[Path, Tensor]]:
        """Yield the others; each is drawn when it is read."""
        for path in self.ledger.fresh:
            drawn = self.initialization.shapes[path]
            tensor: Tensor = LazyTensor(drawn.shape, drawn.dtype, partial(self._draw, path))
            if layout == "pytorch" and path[-1] == "kernel":
                tensor = turned(tensor, layout)
            yield (*self.path, *path), tensor


def _load_config(source: Source) -> Any:
    try:
        config = AutoConfig.from_pretrained(
            source.config_path.parent, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # whatever a damaged config makes transformers raise
        raise VedError(
            f"The config of {source.resolved.config_snapshot} cannot be read: {error}."
        ) from error
    # A path of this machine has no place in a published config, and neither has remote code.
    config._name_or_path = source.resolved.config_snapshot.name
    for name in ("auto_map", "custom_pipelines"):
        vars(config).pop(name, None)
    return config


def _source_part(source: Source, model_class: Any, config: Any, seed: int) -> _Part:
    resolved = source.resolved
    weights = open_weights(source.weight_paths)
    layers = max(getattr(config, name, 0) for name in ("num_hidden_layers", "decoder_layers"))
    try:
        if layers > len(weights):
            raise ValueError(f"it has {layers} layers, and the weights are {len(weights)} tensors")
        initialization, constructed = _trace(model_class, config.to_json_string(), seed)
    except Exception as error:  # whatever flax and transformers raise of a config
        raise VedError(
            f"The config of {resolved.config_snapshot} makes no {resolved.role}: {error}.",
            "Use a config that transformers can make a model of.",
        ) from error
    # BART's decoder, for one, says on construction that it is no encoder-decoder any more.
    vars(config).update(
        (name, value) for name, value in vars(constructed).items() if not name.startswith("_")
    )
    matched = ledger.match(
        resolved.role,
        {path: shape.shape for path, shape in initialization.shapes.items()},
        weights,
        resolved.family,
        str(resolved.snapshot),
        str(resolved.config_snapshot),
    )
    return _Part(matched, initialization, (resolved.role,))


@lru_cache(maxsize=16)
def _trace(model_class: Any, config_json: str, seed: int) -> tuple[Initialization, Any]:
    """Trace a model's construction, and return it with the config as construction leaves it.

    Pairs that share a source's config share the trace.
    """
    config = AutoConfig.for_model(**json.loads(config_json))
    return Initialization(lambda: model_class.from_config(config, seed=seed).params), config


def _projection_part(config: Any, seed: int) -> list[_Part]:
    """Return the projection from the encoder's width to the decoder's, where those differ."""
    if config.encoder.hidden_size == config.decoder.hidden_size:
        return []
    whole = Initialization(lambda: FlaxVisionEncoderDecoderModel(config, seed=seed).params)
    paths = [path for path in whole.shapes if path[0] not in ("encoder", "decoder")]
    return [_Part(Ledger("projection", fresh=dict.fromkeys(paths, "projection")), whole)]


def _write_weights(
    parts: Sequence[_Part], directory: FilePath, settings: Settings
) -> dict[str, HashedFile]:
    """Write the weight files, side by side, and return them by name."""
    jobs: dict[WeightFormat, Callable[[], dict[str, HashedFile]]] = {
        "flax": lambda: msgpack.write(
            directory / FLAX_WEIGHTS, dict(_tensors(parts, "flax", settings.dtype))
        ),
        "safetensors": lambda: safetensors.write(
            directory / PYTORCH_WEIGHTS,
            {
                pytorch_name(path): tensor
                for path, tensor in _tensors(parts, "pytorch", settings.dtype)
            },
        ),
    }
    with ThreadPoolExecutor() as pool:
        files = pool.map(lambda name: jobs[name](), settings.weights)
        return {name: file for written in files for name, file in written.items()}


def _tensors(parts: Sequence[_Part], layout: Layout, dtype: Dtype) -> Iterator[tuple[Path, Tensor]]:
    """Yield every parameter of the checkpoint: the sources' in their order, then the fresh ones."""
    fresh_dtype = _stored_dtype(parts) if dtype == "source" else DTYPES[dtype]
    for part in parts:
        for path, tensor in part.copied(layout):
            yield path, _cast(path, tensor, tensor.dtype if dtype == "source" else DTYPES[dtype])
    for part in parts:
        for path, tensor in part.fresh(layout):
            yield path, _cast(path, tensor, fresh_dtype)


def _cast(path: Path, tensor: Tensor, dtype: np.dtype[Any]) -> Tensor:
    return tensor if tensor.dtype == dtype else Cast(tensor, dtype, "/".join(path))


def _stored_dtype(parts: Sequence[_Part]) -> np.dtype[Any]:
    """Return the dtype that most of the decoder is stored in."""
    (decoder,) = (part.ledger for part in parts if part.ledger.role == "decoder")
    numbers: Counter[np.dtype[Any]] = Counter()
    for match in decoder.copied.values():
        numbers[match.weight.tensor.dtype] += prod(match.weight.tensor.shape)
    return numbers.most_common(1)[0][0]


def _write_configs(config: Any, directory: FilePath, dtype: Dtype) -> None:
    config.architectures = ["VisionEncoderDecoderModel"]
    if dtype != "source":
        for part in (config, config.encoder, config.decoder):
            part.dtype = dtype
    config.save_pretrained(directory)
    try:
        GenerationConfig.from_model_config(config).save_pretrained(directory)
    except ValueError as error:
        raise VedError(
            f"The decoder's config has generation settings that do not fit together: {error}",
            "Use a config without them: decoder: {model: ..., config: ...}.",
        ) from error
