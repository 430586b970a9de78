"""One function for each family, which writes a checkpoint of it."""

import functools
import io
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from tests.checkpoints.formats import CONFIGS, TOKENIZERS
from tests.checkpoints.options import DecoderOptions, EncoderOptions, takes
from tests.checkpoints.variants import write_decoder, write_encoder
from ved.localhub import samples
from ved.localhub.samples.decoders import build_roberta
from ved.localhub.samples.formats import write_json
from ved.localhub.samples.vocabularies import SENTENCES, SampleTokenizer, roberta_tokenizer
from ved.localhub.samples.weights import RandomTensors, Tensors


@takes(EncoderOptions)
def vit(directory: Path, options: EncoderOptions) -> None:
    """Write a ViT. With a prefix it has a head and no pooler, as google/vit-base-patch16-224."""
    sample = samples.vit(options.of_sample)
    if options.prefix:
        base = {k: tensor for k, tensor in sample.base.items() if not k.startswith("pooler.")}
        sample = replace(sample, base=base)
    write_encoder(directory, sample, options)


@takes(EncoderOptions)
def beit(directory: Path, options: EncoderOptions) -> None:
    """Write a BEiT."""
    write_encoder(directory, samples.beit(options.of_sample), options)


@takes(EncoderOptions)
def dinov2(directory: Path, options: EncoderOptions) -> None:
    """Write a DINOv2."""
    write_encoder(directory, samples.dinov2(options.of_sample), options)


@takes(DecoderOptions)
def gpt2(directory: Path, options: DecoderOptions) -> None:
    """Write a GPT-2.

    With a prefix it has the buffers that transformers long saved: masks of bytes, and a
    masked_bias with each. A request for the head's name implies the prefix, because PyTorch
    classes reject a file that has the head and no prefix.
    """
    if options.prefix is None and options.tied != "embedding":
        options = replace(options, prefix=True)
    sample = samples.gpt2(options.of_sample)
    if options.prefix:
        sample = replace(sample, base=_with_old_buffers(sample.base))
    write_decoder(directory, sample, options)


@takes(DecoderOptions)
def bert(directory: Path, options: DecoderOptions) -> None:
    """Write a BERT."""
    write_decoder(directory, samples.bert(options.of_sample), options)


@takes(DecoderOptions)
def roberta(directory: Path, options: DecoderOptions) -> None:
    """Write a RoBERTa."""
    write_decoder(directory, samples.roberta(options.of_sample), options)


@takes(DecoderOptions)
def xlm_roberta(directory: Path, options: DecoderOptions) -> None:
    """Write an XLM-RoBERTa like FacebookAI/xlm-roberta-base: RoBERTa's names and a pooler."""
    sample = build_roberta(
        options.of_sample, CONFIGS["XLMRoberta"], _xlm_roberta_tokenizer(), pooler=True
    )
    sample = replace(sample, language="[multilingual, en]")
    write_decoder(directory, sample, options)


@takes(DecoderOptions)
def roberta_prelayernorm(directory: Path, options: DecoderOptions) -> None:
    """Write a RoBERTa-PreLayerNorm like andreasmadsen/efficient_mlm_m0.40."""
    sample = build_roberta(options.of_sample, CONFIGS["RobertaPreLayerNorm"], roberta_tokenizer())
    base = {_with_norm_first(name): tensor for name, tensor in sample.base.items()}
    base |= RandomTensors(options.seed + 1).norm("LayerNorm", sample.config.hidden_size)
    sample = replace(sample, base=base, prefix="roberta_prelayernorm")
    write_decoder(directory, sample, options)


@takes(DecoderOptions)
def bart(directory: Path, options: DecoderOptions) -> None:
    """Write a BART."""
    write_decoder(directory, samples.bart(options.of_sample), options)


def config_only(directory: Path, model_type: str, **config: Any) -> Path:
    """Write only config.json, for a model type that VED does not support."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "config.json", {"model_type": model_type, **config})
    return directory


def _with_old_buffers(base: Tensors) -> Tensors:
    """Return GPT-2's tensors with masks as uint8, and a masked_bias after each."""
    tensors: Tensors = {}
    for name, tensor in base.items():
        if name.endswith(".attn.bias"):
            tensors[name] = tensor.astype(np.uint8)
            tensors[name.replace("attn.bias", "attn.masked_bias")] = np.array(-1e4, np.float32)
        else:
            tensors[name] = tensor
    return tensors


def _with_norm_first(name: str) -> str:
    """Return RoBERTa-PreLayerNorm's name of a tensor of RoBERTa."""
    if ".attention.output.LayerNorm." in name:
        return name.replace(".output.LayerNorm.", ".LayerNorm.")
    return name.replace(".output.LayerNorm.", ".intermediate.LayerNorm.")


def _xlm_roberta_tokenizer() -> SampleTokenizer:
    files = {"sentencepiece.bpe.model": sentencepiece_model()}
    return SampleTokenizer(TOKENIZERS["XLMRobertaTokenizer"], files)


@functools.cache
def sentencepiece_model(**ids: Any) -> bytes:
    """Return a unigram model, trained by sentencepiece.

    The Unigram trainer of `tokenizers` is not deterministic. Real XLM-RoBERTa tokenizers normalize
    more, with tables of 240 kB.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES.splitlines()),
        model_writer=model,
        model_type="unigram",
        vocab_size=256,
        required_chars=string.digits + string.ascii_letters + string.punctuation,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
        **ids,
    )
    return model.getvalue()
