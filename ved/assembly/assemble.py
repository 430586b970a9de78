"""One pair into one checkpoint: weights, configs, image processor and tokenizer in a directory.

No model is ever instantiated: parameters stream from the sources' files into the checkpoint's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from transformers import GenerationConfig, VisionEncoderDecoderConfig

from ved.assembly import processing, special_tokens
from ved.assembly.ledger import Contents, Ledger
from ved.assembly.parts import Part, load_config, projection_part, source_part, stored_dtype
from ved.assembly.special_tokens import TokenIds
from ved.errors import ErrorCode, VedError
from ved.manifest.fields import Dtype, WeightFormat
from ved.manifest.settings import CheckpointSettings
from ved.sources.source import Source
from ved.tensors import msgpack, safetensors
from ved.tensors.files import Layout
from ved.tensors.names import ParameterPath, pytorch_name
from ved.tensors.output import HashedFile
from ved.tensors.tensor import DTYPES, Cast, Tensor

FLAX_WEIGHTS = "flax_model.msgpack"
PYTORCH_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """An assembled checkpoint in a directory.

    Attributes:
        directory: where its files are.
        settings: what it was made with.
        token_ids: its special tokens.
        config: its transformers config.
        ledgers: where its parameters come from: encoder, decoder and, where their widths differ,
            the projection between them.
        contents: what the parameters of each of these parts amount to.
        weights_sha256: the digest of each weight file, by name.
    """

    directory: FilePath
    settings: CheckpointSettings
    token_ids: TokenIds
    config: Any
    ledgers: tuple[Ledger, ...]
    contents: Mapping[str, Contents]
    weights_sha256: Mapping[str, str]

    @property
    def parameters(self) -> int:
        """How many numbers its parameters hold."""
        return sum(part.copied + part.initialized for part in self.contents.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its owner should know."""
        return tuple(warning for ledger in self.ledgers for warning in ledger.warnings)


def assemble(
    encoder: Source,
    decoder: Source,
    directory: FilePath,
    settings: CheckpointSettings | None = None,
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
    settings = settings or CheckpointSettings()
    encoder_config, decoder_config = load_config(encoder), load_config(decoder)
    image_processor = processing.load_image_processor(encoder, encoder_config)
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder_config, decoder_config)
    parts = [
        source_part(encoder, config.encoder, settings.seed),
        source_part(decoder, config.decoder, settings.seed),
        *projection_part(config, settings.seed),
    ]
    # The small files first: what cannot be saved is found out before gigabytes are written.
    with processing.open_tokenizer(decoder, decoder_config) as tokenizer:
        ids = special_tokens.resolve_token_ids(
            settings.token_ids, decoder_config, tokenizer, str(decoder)
        )
        counts_from_pad = decoder.resolved.family.counts_from_pad
        special_tokens.apply_token_ids(ids, config, tokenizer, counts_from_pad=counts_from_pad)
        _write_configs(config, directory, settings.dtype)
        processing.save_processing(image_processor, tokenizer, directory)
    written = _write_weights(parts, directory, settings)
    asked = None if settings.dtype == "source" else DTYPES[settings.dtype]
    dtypes = asked, asked or stored_dtype(parts)
    return Checkpoint(
        directory,
        settings,
        ids,
        config,
        tuple(part.ledger for part in parts),
        {part.ledger.role: part.contents(*dtypes) for part in parts},
        {name: file.sha256 for name, file in written.items()},
    )


def _write_weights(
    parts: Sequence[Part], directory: FilePath, settings: CheckpointSettings
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


def _tensors(
    parts: Sequence[Part], layout: Layout, dtype: Dtype
) -> Iterator[tuple[ParameterPath, Tensor]]:
    """Yield every parameter of the checkpoint: the sources' in their order, then the fresh ones."""
    initialized_dtype = stored_dtype(parts) if dtype == "source" else DTYPES[dtype]
    for part in parts:
        for path, tensor in part.copied(layout):
            yield path, _cast(path, tensor, tensor.dtype if dtype == "source" else DTYPES[dtype])
    for part in parts:
        for path, tensor in part.initialized(layout):
            yield path, _cast(path, tensor, initialized_dtype)


def _cast(path: ParameterPath, tensor: Tensor, dtype: np.dtype[Any]) -> Tensor:
    return tensor if tensor.dtype == dtype else Cast(tensor, dtype, "/".join(path))


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
            code=ErrorCode.GENERATION_SETTINGS,
        ) from error
