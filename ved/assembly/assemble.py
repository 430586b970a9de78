"""Assemble a pair into a checkpoint: weights, configs, image processor and tokenizer.

No model is instantiated. Parameters stream from the files of the sources into those of the
checkpoint.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ved.assembly import processing_files, special_tokens
from ved.assembly.config import CheckpointConfig, as_decoder, combine
from ved.assembly.config_files import complete, write_config, write_generation_config
from ved.assembly.ledger import Ledger, PartSummary
from ved.assembly.parts import (
    OutputDtypes,
    Part,
    output_dtypes,
    projection_part,
    source_part,
)
from ved.assembly.prepared import PreparedSource
from ved.assembly.processing_files import ImageProcessorFiles, Package, TokenizerFiles
from ved.assembly.special_tokens import DecoderSettings, SpecialTokens, TokenIds
from ved.assembly.token_search import resolve_special_tokens
from ved.families.family import Role
from ved.manifest.fields import WeightFormat
from ved.manifest.settings import CheckpointSettings
from ved.sources.source import Source
from ved.tensors import msgpack_writer, safetensors
from ved.tensors.files import Layout
from ved.tensors.names import ParameterPath, pytorch_name
from ved.tensors.output import HashedFile
from ved.tensors.tensor import Cast, Tensor

FLAX_WEIGHTS = "flax_model.msgpack"
PYTORCH_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """An assembled checkpoint in a directory.

    Attributes:
        directory: the directory of its files.
        settings: the settings that it was assembled with.
        special_tokens: its special tokens.
        config: its config.
        ledgers: the origin of its parameters: encoder, decoder and, if their widths differ, the
            projection.
        summaries: counts and dtypes of the parameters, by the role of each ledger.
        weights_sha256: the digest of each weight file, by name.
        packages: what people have to install for its tokenizer, besides transformers.
    """

    directory: Path
    settings: CheckpointSettings
    special_tokens: SpecialTokens
    config: CheckpointConfig
    ledgers: tuple[Ledger, ...]
    summaries: Mapping[str, PartSummary]
    weights_sha256: Mapping[str, str]
    packages: tuple[Package, ...]

    @property
    def num_parameters(self) -> int:
        """How many numbers its parameters have together."""
        return sum(part.num_copied + part.num_initialized for part in self.summaries.values())

    @property
    def token_ids(self) -> TokenIds:
        """The ids of its special tokens."""
        return self.special_tokens.ids

    @property
    def warnings(self) -> tuple[str, ...]:
        """Random parameters, unknown tensors, tied ones and ids that differ, a sentence each."""
        found = tuple(warning for ledger in self.ledgers for warning in ledger.warnings)
        return (*found, *self.tie_warnings, *self.special_tokens.warnings)

    @property
    def tie_warnings(self) -> tuple[str, ...]:
        """Tensors that the config ties and that differ, and the reverse, a sentence each."""
        return tuple(warning for ledger in self.ledgers for warning in ledger.tie_warnings)


def assemble(
    encoder: Source,
    decoder: Source,
    directory: Path,
    settings: CheckpointSettings,
    prepared: Mapping[Role, PreparedSource],
) -> Checkpoint:
    """Assemble two sources into a checkpoint, and write its files.

    The parameters are those of transformers' create_model_from_encoder_decoder_models
    (examples/flax/image-captioning, transformers 4.57), bit for bit. They differ only if that
    script reads a source wrongly: it loses BART's token embeddings.

    Args:
        encoder: a vision encoder.
        decoder: a text decoder.
        directory: an existing directory for the files.
        settings: the settings of the manifest.
        prepared: the results of both sources' examinations, by role.

    Raises:
        VedError: the sources cannot be assembled; the directory may then hold some of the files.
        OSError: a file cannot be read or written.
    """
    image_processor, tokenizer = prepared["encoder"].files, prepared["decoder"].files
    assert isinstance(image_processor, ImageProcessorFiles)
    assert isinstance(tokenizer, TokenizerFiles)
    encoder_config, decoder_config = (
        complete(each.resolved.family.config_class, prepared[each.resolved.role].config)
        for each in (encoder, decoder)
    )
    config = combine(encoder_config, as_decoder(decoder_config))
    parts = [
        source_part(encoder, config.encoder, settings.seed),
        source_part(decoder, config.decoder, settings.seed),
        *projection_part(config, settings.seed),
    ]
    # The small files come first: an error in them should not cost the time of writing gigabytes.
    resolved = decoder.resolved
    of_decoder = DecoderSettings(
        resolved.config, resolved.generation, decoder_config, resolved.of_whole
    )
    tokens = resolve_special_tokens(settings.token_ids, of_decoder, tokenizer, str(decoder))
    config = special_tokens.apply_special_tokens(
        tokens, config, counts_from_pad=resolved.family.counts_from_pad
    )
    write_config(config, directory, settings.dtype)
    write_generation_config(tokens, of_decoder, directory)
    processing_files.write_tokenizer(tokenizer, tokens.ids, decoder.directory, directory)
    processing_files.write_image_processor(image_processor, directory)
    parts = [replace(part, ledger=part.ledger.compared()) for part in parts]
    dtypes = output_dtypes(parts, settings.dtype)
    written = _write_weights(parts, directory, settings.weights, dtypes)
    return Checkpoint(
        directory,
        settings,
        tokens,
        config,
        tuple(part.ledger for part in parts),
        {part.ledger.role: part.summary(dtypes) for part in parts},
        {name: file.sha256 for name, file in written.items()},
        tokenizer.packages,
    )


def _write_weights(
    parts: Sequence[Part],
    directory: Path,
    formats: Sequence[WeightFormat],
    dtypes: OutputDtypes,
) -> dict[str, HashedFile]:
    """Write the weight files in parallel.

    Returns:
        The files, by name.
    """
    writers = [_writer(name, parts, directory, dtypes) for name in formats]
    with ThreadPoolExecutor() as pool:
        drawing = [pool.submit(part.draw_ahead) for part in parts]
        files = [pool.submit(writer) for writer in writers]
        for each in drawing:
            each.result()
        return {name: file for each in files for name, file in each.result().items()}


def _writer(
    name: WeightFormat, parts: Sequence[Part], directory: Path, dtypes: OutputDtypes
) -> Callable[[], dict[str, HashedFile]]:
    """Return what writes a weight file. Its tensors are listed at once, and read when written."""
    if name == "flax":
        flax = dict(_tensors(parts, "flax", dtypes))
        return partial(msgpack_writer.write, directory / FLAX_WEIGHTS, flax)
    pytorch = {pytorch_name(path): each for path, each in _tensors(parts, "pytorch", dtypes)}
    return partial(safetensors.write, directory / PYTORCH_WEIGHTS, pytorch)


def _tensors(
    parts: Sequence[Part], layout: Layout, dtypes: OutputDtypes
) -> Iterator[tuple[ParameterPath, Tensor]]:
    """Yield path and tensor of every parameter, and of every buffer of this layout.

    Copied parameters come first, in the order of the sources: storage that finds equal blocks, such
    as Xet, then finds those of the sources again.
    """
    for part in parts:
        for path, tensor in part.copied(layout):
            yield path, _cast(path, tensor, dtypes.copied or tensor.dtype)
    for part in parts:
        for path, tensor in part.initialized(layout):
            yield path, _cast(path, tensor, dtypes.initialized)
    for part in parts:
        yield from part.stored_buffers(layout)


def _cast(path: ParameterPath, tensor: Tensor, dtype: np.dtype[Any]) -> Tensor:
    return tensor if tensor.dtype == dtype else Cast(tensor, dtype, "/".join(path))
