"""Variants of sample checkpoints: other names, layouts, tokenizers and licenses."""

from dataclasses import replace
from pathlib import Path

from tests.checkpoints.options import DecoderOptions, EncoderOptions, Options
from tests.checkpoints.torch_pickle import write_torch_pickle
from ved.localhub.samples import SampleCheckpoint
from ved.localhub.samples.weights import (
    Tensors,
    cast,
    tied_names,
    without_tied_names,
    write_weights,
)


def write_encoder(directory: Path, sample: SampleCheckpoint, options: EncoderOptions) -> None:
    """Write a variant of a sample encoder into an existing directory."""
    size, processor = options.processor_size, sample.image_processor
    if size is not None and processor is not None:
        square = {"height": size, "width": size}
        is_cut = "shortest_edge" in processor["size"]
        sizes = {"size": {"shortest_edge": size * 8 // 7} if is_cut else square}
        if is_cut or processor.get("do_center_crop"):
            sizes["crop_size"] = square
        sample = replace(sample, image_processor={**processor, **sizes})
    sample = _with_options(sample, options)
    sample.write_settings(directory)
    _write_weights(directory, sample, without_tied_names(sample.tensors), options)


def write_decoder(directory: Path, sample: SampleCheckpoint, options: DecoderOptions) -> None:
    """Write a variant of a sample decoder into an existing directory."""
    sample = _with_options(sample, options)
    sample.write_settings(directory)
    _write_weights(directory, sample, _tied(sample.tensors, options), options)
    _write_tokenizer(directory, sample, options)


def _with_options(sample: SampleCheckpoint, options: Options) -> SampleCheckpoint:
    return replace(
        sample,
        has_heads=sample.has_heads if options.prefix is None else options.prefix,
        license=sample.license if options.license is None else options.license,
    )


def _tied(tensors: Tensors, options: DecoderOptions) -> Tensors:
    """Keep the names of tied weights that `options.tied` names."""
    if options.tied == "both":
        return tensors
    if options.tied == "embedding":
        return without_tied_names(tensors)
    # The head's bias keeps its first name: no known tool writes it only as decoder.bias.
    kept = {names[-1] if tensors[names[0]].ndim == 2 else names[0] for names in tied_names(tensors)}
    return {name: tensor for name, tensor in tensors.items() if name in kept}


def _write_weights(
    directory: Path, sample: SampleCheckpoint, tensors: Tensors, options: Options
) -> None:
    tensors = _renamed(cast(tensors, options.dtype), options)
    if options.layout == "pickle":
        write_torch_pickle(directory / "pytorch_model.bin", tensors)
    else:
        write_weights(directory, tensors, options.layout, sample.flax_prefix)


def _renamed(tensors: Tensors, options: Options) -> Tensors:
    renamed = {}
    for name, tensor in tensors.items():
        if name.startswith(options.without):
            continue
        for text, replacement in options.rename.items():
            name = name.replace(text, replacement)
        renamed[name] = tensor
    return renamed


def _write_tokenizer(directory: Path, sample: SampleCheckpoint, options: DecoderOptions) -> None:
    assert sample.tokenizer is not None
    extra = [f"<extra_{number}>" for number in range(options.extra_tokens)]
    is_new = options.tokenizer == "transformers5"
    sample.tokenizer.write(directory, "transformers5" if is_new else "transformers4", extra)
    if options.tokenizer == "slow":
        (directory / "tokenizer.json").unlink()
