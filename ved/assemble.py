"""One pair into one checkpoint: weights, configs, image processor and tokenizer in a directory."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
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
from ved.initialize import Initialization
from ved.ledger import Ledger
from ved.source import Source
from ved.tensors import msgpack
from ved.tensors.files import open_weights
from ved.tensors.names import Path
from ved.tensors.tensor import Cast, LazyTensor, Tensor
from ved.token_ids import TokenIds

FLAX_WEIGHTS = "flax_model.msgpack"


@dataclass(frozen=True)
class Checkpoint:
    """An assembled checkpoint in a directory.

    Attributes:
        directory: where its files are.
        token_ids: its special tokens.
        ledgers: where its parameters come from: encoder, decoder and, where their widths differ,
            the projection between them.
        config: its composite transformers config.
        parameters: how many numbers its parameters hold.
        weights_sha256: the digest of each weight file, by name.
        seed: what its fresh parameters were drawn with.
    """

    directory: FilePath
    token_ids: TokenIds
    ledgers: tuple[Ledger, ...]
    config: Any
    parameters: int
    weights_sha256: Mapping[str, str]
    seed: int


def assemble(
    encoder: Source,
    decoder: Source,
    directory: FilePath,
    *,
    token_ids_wanted: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Checkpoint:
    """Assemble two sources into a checkpoint.

    The parameters are those of transformers' create_model_from_encoder_decoder_models
    (examples/flax/image-captioning, transformers 4.57), bit for bit where that reads the sources
    rightly.

    Args:
        encoder: a vision encoder.
        decoder: a text decoder.
        directory: an existing directory to put the files in.
        token_ids_wanted: ids that come before those of the decoder's config.
        seed: what fresh parameters are drawn with; 0 is what transformers uses.

    Raises:
        VedError: the sources cannot be assembled; the directory may then hold some of the files.
        OSError: a file cannot be read or written.
    """
    encoder_config, decoder_config = _load_config(encoder), _load_config(decoder)
    image_processor = processing.load_image_processor(encoder)
    tokenizer = processing.load_tokenizer(decoder, decoder_config)
    ids = token_ids.resolve(token_ids_wanted or {}, decoder_config, tokenizer, str(decoder))
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder_config, decoder_config)
    parts = [
        _source_part(encoder, FlaxAutoModel, config.encoder, seed),
        _source_part(decoder, FlaxAutoModelForCausalLM, config.decoder, seed),
        *_projection_part(config, seed),
    ]
    parameters = _parameters(parts)
    written = msgpack.write(directory / FLAX_WEIGHTS, parameters)
    token_ids.apply(ids, config, tokenizer)
    _write_configs(config, directory)
    image_processor.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return Checkpoint(
        directory,
        ids,
        tuple(part.ledger for part in parts),
        config,
        sum(prod(tensor.shape) for tensor in parameters.values()),
        {FLAX_WEIGHTS: written.sha256},
        seed,
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

    def fresh(self, path: Path, dtype: np.dtype[Any]) -> Tensor:
        """Return the fresh parameter at a path of its ledger."""
        drawn = self.initialization.shapes[path]
        lazy = LazyTensor(drawn.shape, drawn.dtype, lambda: self.initialization.draw(path))
        return Cast(lazy, dtype)


def _load_config(source: Source) -> Any:
    config = AutoConfig.from_pretrained(
        source.config_path.parent, trust_remote_code=False, local_files_only=True
    )
    # A path of this machine has no place in a published config, and neither has remote code.
    config._name_or_path = source.resolved.config_snapshot.name
    if hasattr(config, "auto_map"):
        del config.auto_map
    return config


def _source_part(source: Source, model_class: Any, config: Any, seed: int) -> _Part:
    resolved = source.resolved
    initialization = Initialization(lambda: model_class.from_config(config, seed=seed).params)
    matched = ledger.match(
        resolved.role,
        {path: shape.shape for path, shape in initialization.shapes.items()},
        open_weights(source.weight_paths),
        resolved.family,
        str(resolved.snapshot),
        str(resolved.config_snapshot),
    )
    return _Part(matched, initialization, (resolved.role,))


def _projection_part(config: Any, seed: int) -> list[_Part]:
    """Return the projection from the encoder's width to the decoder's, where those differ."""
    if config.encoder.hidden_size == config.decoder.hidden_size:
        return []
    whole = Initialization(lambda: FlaxVisionEncoderDecoderModel(config, seed=seed).params)
    paths = [path for path in whole.shapes if path[0] not in ("encoder", "decoder")]
    return [_Part(Ledger("projection", fresh=dict.fromkeys(paths, "projection")), whole)]


def _parameters(parts: list[_Part]) -> dict[Path, Tensor]:
    """Return every parameter of the checkpoint by its path.

    Fresh parameters take the dtype that most of the decoder is stored in.
    """
    copied = {
        (*part.path, *path): match.tensor
        for part in parts
        for path, match in part.ledger.copied.items()
    }
    numbers: Counter[np.dtype[Any]] = Counter()
    for path, tensor in copied.items():
        if path[0] == "decoder":
            numbers[tensor.dtype] += prod(tensor.shape)
    dtype = numbers.most_common(1)[0][0]
    fresh = {
        (*part.path, *path): part.fresh(path, dtype) for part in parts for path in part.ledger.fresh
    }
    return copied | fresh


def _write_configs(config: Any, directory: FilePath) -> None:
    config.architectures = ["VisionEncoderDecoderModel"]
    config.save_pretrained(directory)
    GenerationConfig.from_model_config(config).save_pretrained(directory)
